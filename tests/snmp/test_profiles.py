"""Profiles: what is checked, which one a device gets, and what a trial prints."""

import json
from pathlib import Path

import pytest
from snmp_agent_process import AgentProcess
from typer.testing import CliRunner

from netmote.cli.main import app
from netmote.errors import ConfigError
from netmote.snmp.oid import parse_oid
from netmote.snmp.profiles.loader import load_profiles

MINE = """\
profile: mine
sys_object_id: [1.3.6.1.4.1.8072.3]
objects:
  - name: hrMemorySize
    quantity: other
    scalar: 1.3.6.1.2.1.25.2.2.0
    unit: KiB
  - name: hrStorageAllocationUnits
    quantity: storage
    column: 1.3.6.1.2.1.25.2.3.1.4
    label: 1.3.6.1.2.1.25.2.3.1.3
    where: {column: 1.3.6.1.2.1.25.2.3.1.2, any_of: [1.3.6.1.2.1.25.2.1.2]}
    unit: KiB
    scale: 0.0009765625
  - name: sysDescr
    quantity: other
    scalar: 1.3.6.1.2.1.1.1.0
    unit: number
  - name: notThere
    quantity: fan
    scalar: 1.3.6.1.4.1.99999.1.0
    unit: rpm
"""


def problems_of(path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_profiles((str(path),))
    return [str(problem) for problem in caught.value.problems]


def test_every_mistake_of_a_profile_is_named_with_its_line(tmp_path: Path) -> None:
    """All at once: a broken OID, an unknown key with what is meant, two places, a quantity that does not exist."""
    file = tmp_path / "p.yaml"
    text = MINE.replace("scalar: 1.3.6.1.2.1.25.2.2.0", "scalar: hrMemorySize").replace("quantity: fan", "quantity: wind")
    text = text.replace("scale: 0.0009765625", "scael: 2").replace("unit: number", "unit: number\n    column: 1.3.6.1.2")
    found = problems_of(file, text)
    assert any(f"{file}:6:" in each and "'hrMemorySize' is no object identifier" in each for each in found)
    assert any(f"{file}:14:" in each and "did you mean 'scale'?" in each for each in found)
    assert any("not both" in each for each in found)
    assert any("wind" in each for each in found)
    assert 4 <= len(found) <= 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("objects:", "things:"), "is missing"),
        (("name: sysDescr", "name: hrMemorySize"), "given twice: hrMemorySize"),
        (
            ("where: {column: 1.3.6.1.2.1.25.2.3.1.2, any_of: [1.3.6.1.2.1.25.2.1.2]}", "where: {column: 1.3.6.1}"),
            "any_of or none_of",
        ),
        (("unit: rpm", "unit: rpm\n    minimum: 5\n    maximum: 1"), "nothing would be believed"),
        (("unit: rpm", "unit: rpm\n    label: 1.3.6.1.2"), "a scalar has no rows"),
        (("profile: mine", "profile: My Profile"), "small letters, digits and hyphens"),
        (("unit: rpm", "unit: rpm\n    scale: much"), "scale: must be a number (given: 'much')"),
        (("unit: rpm", "unit: rpm\n    states: {up: 1}"), "such as {1: up, 2: down}; not 'up': 1"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    """Each mistake says what is wrong."""
    assert any(message in each for each in problems_of(tmp_path / "p.yaml", MINE.replace(*change)))


def test_bad_rows_are_named_one_by_one_in_the_words_of_the_file(tmp_path: Path) -> None:
    """Each row that is no object once, with its file, line and key, and what it must be; nothing about tuples, unions or instances, and
    no word of a list that is too short, which is only so because its rows are wrong.
    """
    file = tmp_path / "p.yaml"
    found = problems_of(
        file,
        """profile: mine
sys_object_id: [1.3.6.1.4.1.99999]
objects:
  - just text
  - name: fan
    quantity: fan
    column: 1.3.6.1.4.1.99999.1
    unit: rpm
    where: {column: 1.3.6.1.4.1.99999.2, any_of: [1.5, yes, [3], up, 4]}
  -
""",
    )
    assert found[0].startswith(f"{file}:4: objects[0]: must be a mapping of name, quantity, scalar, column,")
    assert found[0].endswith("(given: 'just text')")
    assert found[1:4] == [
        f"{file}:9: objects[1].where.any_of[0]: 1.5 is neither a whole number nor text, which is all that a device's cell is compared with",
        f"{file}:9: objects[1].where.any_of[1]: true is neither a number nor text; put the device's word in quotes",
        f"{file}:9: objects[1].where.any_of[2]: [3] is neither a whole number nor text, which is all that a device's cell is compared with",
    ]
    assert found[4].startswith(f"{file}:10: objects[2]: must be a mapping of")
    assert found[4].endswith("(nothing is given)")
    assert len(found) == 5
    assert problems_of(file, "profile: mine\nsys_object_id: 1.3\nobjects: []\n") == [
        f"{file}:2: sys_object_id: must be a list (given: 1.3)",
        f"{file}:3: objects: must have at least one entry",
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Every path of the list, at once."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError) as caught:
        load_profiles((str(tmp_path / "none.yaml"), str(tmp_path / "empty")))
    assert len(caught.value.problems) == 2


def test_the_longest_beginning_wins_and_ones_own_goes_over_a_shipped_one(tmp_path: Path) -> None:
    """By whole arcs: 1.3.6.1.4.1.9 is not the beginning of 1.3.6.1.4.1.99."""
    (tmp_path / "p.yaml").write_text(MINE.replace("1.3.6.1.4.1.8072.3", "1.3.6.1.4.1.9.1.617, 1.3.6.1.4.1.789.2"))
    profiles = load_profiles(("builtin", str(tmp_path / "p.yaml")))

    def of(oid: str) -> str | None:
        profile = profiles.match(parse_oid(oid))
        return None if profile is None else profile.profile

    assert of("1.3.6.1.4.1.9.1.617") == "mine"
    assert of("1.3.6.1.4.1.9.1.516") == "cisco"
    assert of("1.3.6.1.4.1.789.2.3") == "mine"
    assert of("1.3.6.1.4.1.99.1") is None
    assert profiles.match(b"") is None


def test_check_names_the_mistakes_of_a_profile(tmp_path: Path) -> None:
    """`netmote check` finds them, by the file of the profile."""
    (tmp_path / "p.yaml").write_text(MINE.replace("quantity: fan", "quantity: wind"))
    config = tmp_path / "netmote.yaml"
    config.write_text(f"snmp: {{profiles: [builtin, {tmp_path / 'p.yaml'}]}}\n")
    result = CliRunner().invoke(app, ["check", str(config)])
    assert result.exit_code == 78
    assert f"{tmp_path / 'p.yaml'}:20:" in result.stdout


def test_a_trial_says_what_each_object_gives_or_why_nothing(agent: AgentProcess, tmp_path: Path) -> None:
    """`netmote poll --profile` on a real snmpd: a value with its unit, rows by name, and two reasons."""
    file = tmp_path / "p.yaml"
    file.write_text(MINE)
    result = CliRunner().invoke(app, ["poll", f"127.0.0.1:{agent.port}", "--profile", str(file), "--json"])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    tried = {each["name"]: each for each in lines if each["type"] == "profile_object"}
    gauges = {each["name"]: each for each in lines if each["type"] == "gauge" and each["group"] == "profile mine"}
    assert gauges["hrMemorySize"]["value"] == float(agent.snmpget("1.3.6.1.2.1.25.2.2.0").split()[1])
    assert tried["notThere"]["nothing"] == "the device does not have it"
    assert tried["sysDescr"]["nothing"].endswith("is not a number")
    assert gauges["hrStorageAllocationUnits/Physical memory"]["value"] == 1.0
    assert gauges["hrStorageAllocationUnits/Physical memory"]["unit"] == "KiB"
    assert tried["hrStorageAllocationUnits"]["values"] == 1  # of all storage that alone is hrStorageRam
    text = CliRunner().invoke(app, ["poll", f"127.0.0.1:{agent.port}", "--profile", str(file)]).stdout
    assert "profile mine" in text
    assert "memTotalReal" in text


def test_details_can_be_left_out(agent: AgentProcess) -> None:
    """`--no-details` prints ports alone."""
    result = CliRunner().invoke(app, ["poll", f"127.0.0.1:{agent.port}", "--no-details", "--json"])
    assert {json.loads(line)["type"] for line in result.stdout.splitlines()} == {"device", "interface"}

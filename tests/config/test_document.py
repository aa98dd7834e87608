"""Every problem of a document is told at once, with its line and what is allowed."""

from pathlib import Path

import pytest

from netmote.config.document import check_document, load_document, parse_document
from netmote.config.section import duration_seconds, duration_text, size_bytes, size_text
from netmote.daemon.config import Config
from netmote.errors import ConfigError, Retryable


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_document(parse_document(text, "c.yaml"), Config)
    return [str(problem) for problem in caught.value.problems]


def test_all_problems_at_once_with_lines() -> None:
    """Three mistakes in three places are three problems, each on its own line."""
    found = problems_of("snmp:\n  interval: 5\n  targts: []\nweb:\n  port: 99999\n")
    assert len(found) == 3
    assert any(p.startswith("c.yaml:2: snmp.interval: 5 is not understood") and '"30s"' in p for p in found)
    assert any(p.startswith("c.yaml:3: snmp.targts: is not a known key; did you mean 'targets'?") for p in found)
    assert any(p.startswith("c.yaml:5: web.port: input should be less than or equal to 65535") for p in found)


def test_problem_inside_a_list_of_kinds() -> None:
    """A mistake in one sink names the sink and its keys, not the machinery of the union."""
    found = problems_of(
        "sinks:\n  - type: journal\n  - type: webhook\n    name: up\n    url: https://x.example/\n    tokn: env:T\n"
    )
    assert len(found) == 1
    assert found[0].startswith("c.yaml:6: sinks[1].tokn: is not a known key; did you mean 'token'?")


def test_missing_and_unknown_kind() -> None:
    """A missing key and an unknown kind of sink say what must be there."""
    found = problems_of("snmp:\n  targets:\n    - name: a\nsinks:\n  - type: pager\n")
    assert any(p.startswith("c.yaml:3: snmp.targets[0].address: is missing") for p in found)
    assert any("journal" in p and "webhook" in p for p in found)


def test_secret_is_refused_in_the_document_and_not_printed() -> None:
    """A password written into the document is refused without being repeated."""
    found = problems_of("snmp:\n  targets:\n    - {name: a, address: 127.0.0.1, community: hunter2}\n")
    assert len(found) == 1
    assert "by reference" in found[0]
    assert "hunter2" not in found[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", "c.yaml:2: a: is given twice; first on line 1"),
        ("a: [1\n", "c.yaml:2: is not YAML"),
        ("- a\n", "c.yaml:1: must be a mapping"),
        ("a: !!python/object:os.system x\n", "c.yaml:1: is not YAML"),
    ],
)
def test_no_document(text: str, expected: str) -> None:
    """What is no document says why and where."""
    assert problems_of(text)[0].startswith(expected)


def test_nesting_is_bounded() -> None:
    """A document nested a thousand levels deep is refused, not recursed into."""
    assert "is not YAML" in problems_of("a: " + "[" * 1000 + "]" * 1000)[0]


def test_file_problems_name_the_file(tmp_path: Path) -> None:
    """A file that is absent, not text or too large is a problem of that file."""
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read: No such file"):
        load_document(tmp_path / "absent.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"bytes\.yaml: is not UTF-8"):
        load_document(tmp_path / "bytes.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (5 * 2**20))
    with pytest.raises(ConfigError, match=r"large\.yaml: is larger than"):
        load_document(tmp_path / "large.yaml")


def test_page_only_on_loopback() -> None:
    """The page cannot be put on an address of the network."""
    assert "loopback" in problems_of("web:\n  address: 0.0.0.0\n")[0]


@pytest.mark.parametrize("text", ["250ms", "30s", "5m", "7d", "36h", "0s"])
def test_durations_round_trip(text: str) -> None:
    """What a duration is written as is what it is read from."""
    assert duration_text(duration_seconds(text)) == text


@pytest.mark.parametrize(("text", "count"), [("8MB", 8_000_000), ("64MiB", 2**26), ("1.5kB", 1500), ("10B", 10)])
def test_sizes(text: str, count: int) -> None:
    """Powers of ten and of two are told apart, and a size written back means the same."""
    assert size_bytes(text) == count
    assert size_bytes(size_text(count)) == count


@pytest.mark.parametrize("text", ["30", "s", "-5s", "5 years", "1e9s"])
def test_not_a_duration(text: str) -> None:
    """A bare number, a negative one and an unknown unit are refused with an example."""
    with pytest.raises(ValueError, match='"30s"'):
        duration_seconds(text)


def test_secret_is_a_reference_that_can_be_revealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A validated secret reveals what it refers to, and its printed form is the reference alone."""
    (tmp_path / "community").write_text("s3cret\n")
    monkeypatch.setenv("NETMOTE_TEST_SECRET", "from-env")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    text = "snmp:\n  targets:\n" + "".join(
        f"    - {{name: t{n}, address: 127.0.0.1, community: '{reference}'}}\n"
        for n, reference in enumerate((f"file:{tmp_path}/community", "env:NETMOTE_TEST_SECRET", "credential:community"))
    )
    config = check_document(parse_document(text, "c.yaml"), Config)
    assert [t.community.reveal() for t in config.snmp.targets if t.community] == ["s3cret", "from-env", "s3cret"]
    assert "s3cret" not in repr(config) + config.model_dump_json()


def test_absent_secret_may_come_later(tmp_path: Path) -> None:
    """A secret that is not there is a reason to try again, and names where it was looked for."""
    config = check_document(
        parse_document(f"snmp: {{targets: [{{name: a, address: b, community: 'file:{tmp_path}/none'}}]}}", "c.yaml"), Config
    )
    assert config.snmp.targets[0].community is not None
    with pytest.raises(Retryable, match="none"):
        config.snmp.targets[0].community.reveal()

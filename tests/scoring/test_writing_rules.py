"""The guide to writing rules: every block of YAML in it loads, it names every key, and its example is found by a replay."""

import re
from pathlib import Path

import pytest
import yaml
from capture_files import SECOND, pcap
from tiny_recordings import tcp
from typer.testing import CliRunner

from netmote.cli.main import app
from netmote.records.fact import CONDITIONS, OCCURRENCES
from netmote.scoring.config import ScoringConfig
from netmote.scoring.finding import Severity
from netmote.scoring.rules.document import Condition, Rule
from netmote.scoring.rules.quantity import parse_quantity, written_units
from netmote.scoring.rules.rule_set import RuleSet

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/writing-rules.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
RULE_BLOCKS = [block for block in BLOCKS if block.startswith("rules:")]
runner = CliRunner()


def _section(title: str) -> str:
    return GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _keys(text: str) -> set[str]:
    """What stands in the first column of the tables."""
    return set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE))


def _load(folder: Path, block: str) -> RuleSet:
    path = folder / "own.yaml"
    path.write_text(block)
    return RuleSet.load([str(path)])


@pytest.mark.parametrize("block", RULE_BLOCKS)
def test_every_rule_of_the_guide_loads(block: str, tmp_path: Path) -> None:
    """A reader may copy any of them."""
    assert _load(tmp_path, block).rules


def test_all_rules_of_the_guide_live_together_beside_the_shipped_ones(tmp_path: Path) -> None:
    """Their ids are unique, and no shipped rule has one of them."""
    for number, block in enumerate(RULE_BLOCKS):
        (tmp_path / f"{number}.yaml").write_text(block)
    assert len(RuleSet.load(["builtin", str(tmp_path)]).rules) > len(RuleSet.load(["builtin"]).rules) + len(RULE_BLOCKS) - 1


def test_the_other_blocks_are_configuration() -> None:
    """What is no rule is a part of the configuration that says which rules are in force."""
    (block,) = [block for block in BLOCKS if block not in RULE_BLOCKS]
    scoring = ScoringConfig.model_validate(yaml.safe_load(block)["scoring"])
    assert scoring.rules[0] == "builtin"
    assert RuleSet.load(["builtin"], disabled=scoring.disabled_rules).rules


def test_every_key_is_explained_and_no_other() -> None:
    """The tables name the keys of a rule and of a condition as the code knows them."""
    assert _keys(_section("What a rule says")) == {field.alias or name for name, field in Rule.model_fields.items()}
    joined = {"all", "any", "not"}
    hysteresis = {"clear_below", "clear_above"}
    assert all(f"`{word}`" in _section("Conditions") for word in joined)
    assert all(f"`{word}`" in _section("Hysteresis") for word in hysteresis)
    known = {field.alias or name for name, field in Condition.model_fields.items()}
    assert _keys(_section("Conditions")) == known - joined - hysteresis


def test_severities_facts_and_units_are_those_of_the_code() -> None:
    """Every word the guide offers is accepted, and every severity is offered."""
    (row,) = [line for line in GUIDE.splitlines() if line.startswith("| `severity`")]
    assert set(re.findall(r"`([a-z]+)`", row)) - {"severity"} == {severity.word for severity in Severity}
    facts = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", _section("Facts").partition("```")[0]))
    assert facts
    assert facts <= set(CONDITIONS + OCCURRENCES)
    rows = re.findall(r"^\| `([^`]+)`[^|]*\| (.*) \|$", _section("Units"), re.MULTILINE)
    assert len(rows) == 7
    for unit, offered in rows:
        for written in re.findall(r"`([^`]+)`", offered):
            if written == "/s":
                continue
            noun = unit.replace("{packet}", "{address}") if "addresses" in written else unit
            parse_quantity(written if written[0].isdigit() else f"1 {written}", noun)
    assert written_units("By/s").keys() >= {"Tbit/s", "GiB/s"}


def test_the_baseline_example_is_found_by_a_replay(tmp_path: Path) -> None:
    """The whole way of the last section: check, then replay of eight ordinary minutes and an upload, which is one alert."""
    (block,) = [block for block in RULE_BLOCKS if "upload_unlike_itself" in block]
    (tmp_path / "own.yaml").write_text(block)
    config = tmp_path / "netmote.yaml"
    config.write_text(f"scoring: {{rules: [builtin, {tmp_path / 'own.yaml'}]}}\nmodels: {{bundles: []}}\n")
    assert runner.invoke(app, ["check", str(config)]).exit_code == 0
    packets = []
    for second in range(600):
        rate = 120 if 480 <= second < 540 else 10
        for number in range(rate):
            time_ns = (1_700_000_000 + second) * SECOND + number * SECOND // rate
            frame = tcp("10.0.0.5", "10.0.0.9", 40_000, 443, 0x18, size=1400 if rate > 10 else 100)
            packets.append((time_ns, frame))
    (tmp_path / "upload.pcap").write_bytes(pcap(packets))
    result = runner.invoke(app, ["replay", str(tmp_path / "upload.pcap"), "--config", str(config)])
    assert result.exit_code == 0, result.output
    alert, summary = result.output.splitlines()
    assert alert.startswith("2023-11-14T22:22:30Z warning   firing   10.0.0.5 sends 144 kB/s, far more than")
    assert alert.partition(";")[0] + "; ...\n" in GUIDE
    assert f"\n{summary.replace(str(tmp_path) + '/', '')}\n" in GUIDE
    (tmp_path / "own.yaml").write_text(block.replace("feature: out_bytes_ps", "feature: out_byte_ps"))
    refused = runner.invoke(app, ["check", str(config)])
    assert refused.exit_code == 78
    said = refused.output.replace(str(tmp_path), "/etc/netmote/rules").partition("allowed: ")[0]
    assert f"\n{said}allowed: ...\n" in GUIDE

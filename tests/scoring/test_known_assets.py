"""Hosts whose work looks like an attack: exempt from the rules it would set off, and from no other."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from netmote.errors import ConfigError
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.config import ScoringConfig
from netmote.scoring.known_assets import ROLE_RULES, KnownAsset
from netmote.scoring.rules.rule_set import RuleSet
from netmote.windows.schemas import TRAFFIC
from netmote.windows.vector import VectorBatch

RULES = """
rules:
  - {id: horizontal_scan, title: "{name}", severity: error, over: traffic, when: {feature: uniq_dst, above: 10}}
  - {id: exfiltration, title: "{name}", severity: error, over: traffic, when: {feature: uniq_dst, above: 10}}
"""


def _found(folder: Path, *assets: dict[str, object]) -> set[tuple[str, str]]:
    """(rule, host) of a window in which three hosts set both rules off."""
    (folder / "rules.yaml").write_text(RULES)
    config = ScoringConfig.model_validate({"rules": [str(folder / "rules.yaml")], "known_assets": assets})
    found = RuleSet.configured(config).evaluate(_window())
    return {(finding.group, finding.entity.name) for finding in found}


def _window() -> VectorBatch:
    entities = tuple(Entity(EntityKind.HOST, f"10.0.0.{number}") for number in (1, 2, 3))
    values = np.zeros((3, len(TRAFFIC)))
    values[:, TRAFFIC.index["uniq_dst"]] = 99.0
    return VectorBatch(
        schema=TRAFFIC,
        start_ns=0,
        end_ns=TRAFFIC.window_ns,
        entities=entities,
        values=values,
        present=np.ones(values.shape, bool),
        coverage=np.ones(3),
        quality=np.zeros(3, np.uint8),
        loss_ratio=np.zeros(3),
    )


def test_a_role_exempts_from_its_rules_alone(tmp_path: Path) -> None:
    """The scanner may scan; it may not carry data off, and nobody else may scan."""
    found = _found(tmp_path, {"name": "nessus", "addresses": ["10.0.0.1"], "roles": ["scanner"]})
    assert found == {
        ("exfiltration", "10.0.0.1"),
        *(((rule, f"10.0.0.{n}")) for n in (2, 3) for rule in ("horizontal_scan", "exfiltration")),
    }


def test_single_rules_are_named_or_kept(tmp_path: Path) -> None:
    """A network, an exemption beyond the roles, and a rule that watches all the same."""
    found = _found(
        tmp_path,
        {"name": "backup", "addresses": ["10.0.0.2/31"], "roles": ["backup"], "exempt_from": ["horizontal_scan"]},
        {"name": "probe", "addresses": ["10.0.0.1"], "roles": ["scanner", "backup"], "watched_by": ["exfiltration"]},
    )
    assert found == {("exfiltration", "10.0.0.1")}


def test_roles_name_rules_that_are_shipped() -> None:
    """A rule that was renamed would silently lose its exemptions."""
    shipped = {rule.id for rule in RuleSet.load(["builtin"]).rules}
    assert frozenset().union(*ROLE_RULES.values()) <= shipped


def test_unknown_rules_are_named_with_what_is_near(tmp_path: Path) -> None:
    """The asset, the key, the word, and what was probably meant."""
    asset = KnownAsset.model_validate(
        {"name": "nms", "addresses": ["10.0.0.1"], "exempt_from": ["ping_swep"], "watched_by": ["beaconin"]}
    )
    with pytest.raises(ConfigError) as refused:
        RuleSet.load(["builtin"], known_assets=[asset])
    first, second = refused.value.problems
    assert (first.key, second.key) == ("scoring.known_assets (nms).exempt_from", "scoring.known_assets (nms).watched_by")
    assert "did you mean ping_sweep" in first.message
    assert "did you mean beaconing" in second.message


@pytest.mark.parametrize(
    "asset", [{}, {"roles": ["scanner"], "addresses": []}, {"roles": ["printer"]}, {"roles": [], "exempt_from": []}]
)
def test_an_asset_that_says_nothing_is_a_mistake(asset: dict[str, object]) -> None:
    """Without an address, a known role or a rule it would change nothing."""
    with pytest.raises(ValidationError):
        KnownAsset.model_validate({"name": "x", "addresses": ["10.0.0.1"], **asset})


def test_the_table_of_roles_in_the_documentation_is_this_one() -> None:
    """A line a role, naming exactly its rules."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text()
    for role, rules in ROLE_RULES.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{role}` |")]
        assert set(line.replace("`", "").replace(",", " ").strip("| ").split()[2:]) == rules

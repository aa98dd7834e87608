"""A user's rule that compares hosts with themselves: from a rule file and panes of flows to an alert, through the whole middle."""

from pathlib import Path

import pytest
from observed_records import SCANNER, pane

from netmote.alerts.alert import Alert, AlertState
from netmote.analysis.analysis import Analysis
from netmote.analysis.config import AnalysisConfig
from netmote.analysis.outcome import Outcome
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.baseline import KNOWN_FROM
from netmote.scoring.rules.rule_set import RuleSet
from netmote.windows.schemas import TRAFFIC

HOST = Entity(EntityKind.HOST, SCANNER)
PANES_PER_HOP = 2
# Windows end each hop once the first is full, so this many panes give KNOWN_FROM windows and some more.
ORDINARY = PANES_PER_HOP * (KNOWN_FROM + 10)
RULES = """\
rules:
  - id: busier_than_usual
    title: "{name} opens {flows_out_ps}"
    severity: notice
    over: traffic
    entity: host
    when: {feature: flows_out_ps, above_baseline_sigma: 6}
    keep_firing_for: 1m
  - id: as_usual
    title: "{name} is not busier than usual"
    severity: debug
    over: traffic
    entity: host
    when: {not: {feature: flows_out_ps, above_baseline_sigma: 6}}
    keep_firing_for: 1m
"""


@pytest.fixture
def rules(tmp_path: Path) -> RuleSet:
    """The two rules above, from a file."""
    path = tmp_path / "own.yaml"
    path.write_text(RULES)
    return RuleSet.load([str(path)])


@pytest.fixture
def analysis(rules: RuleSet) -> Analysis:
    """With these rules and no model."""
    return analysis_of(rules)


def analysis_of(rules: RuleSet) -> Analysis:
    return Analysis(AnalysisConfig(), sensor="s1", rules=rules, detectors=())


def run(analysis: Analysis, panes: range, *, ports: int = 0) -> Outcome:
    return Outcome.joined([analysis.observe(pane(number, ports=ports)) for number in panes])


def firing(outcome: Outcome, group: str) -> list[Alert]:
    return [alert for alert in outcome.alerts if alert.group == group and alert.state is AlertState.FIRING]


def test_a_host_that_deviates_from_itself_raises_an_alert(analysis: Analysis, rules: RuleSet) -> None:
    """After enough ordinary windows the rule fires, and says what was usual before this window and how far off it is."""
    assert not firing(run(analysis, range(ORDINARY)), "busier_than_usual")
    for number in range(ORDINARY, ORDINARY + 6):
        learned = analysis.learned()
        outcome = run(analysis, range(number, number + 1), ports=100)
        if firing(outcome, "busier_than_usual"):
            break
    (first,) = firing(outcome, "busier_than_usual")
    assert first.entity == HOST
    (told,) = [each for each in first.contributors if each.feature == "flows_out_ps"]
    # Twelve slices in a minute; the first windows were not observed from their beginning.
    assert told.baseline == pytest.approx(12 / 60, rel=0.02)
    assert told.sigma is not None
    assert told.sigma > 6
    before = analysis_of(rules)
    before.restore_learned(learned)
    (window,) = (window for window in outcome.vectors if window.schema is TRAFFIC)
    usual, cell = before.scoring.usual(window), (window.entities.index(HOST), TRAFFIC.index["flows_out_ps"])
    assert (told.baseline, told.sigma) == (usual.centre[cell], usual.deviation[cell])


def test_without_a_baseline_nothing_is_claimed(analysis: Analysis) -> None:
    """Before the baseline is known neither the condition nor its opposite holds, however wild the host."""
    outcome = Outcome.joined([run(analysis, range(20)), run(analysis, range(20, 40), ports=300)])
    assert [window for window in outcome.vectors if window.schema.name == "traffic"]
    assert not outcome.alerts


def test_an_ordinary_host_is_known_to_be_ordinary(analysis: Analysis) -> None:
    """Once the baseline is known, the opposite of the condition is known as well."""
    outcome = run(analysis, range(ORDINARY))
    assert firing(outcome, "as_usual")[0].entity.kind is EntityKind.HOST
    assert not firing(outcome, "busier_than_usual")


def test_what_was_learned_before_a_restart_counts(analysis: Analysis, rules: RuleSet) -> None:
    """Baselines are part of what is kept: a new process fires from its first full window."""
    run(analysis, range(ORDINARY))
    heir = analysis_of(rules)
    heir.restore_learned(analysis.learned())
    assert firing(run(heir, range(ORDINARY, ORDINARY + 16), ports=100), "busier_than_usual")


def test_the_alert_lasts_as_long_as_the_deviation(analysis: Analysis) -> None:
    """Windows that a rule found wrong teach nothing, so the alert does not wear off; back at the usual it ends."""
    run(analysis, range(ORDINARY))
    began = ORDINARY + 6
    busy = run(analysis, range(ORDINARY, began + PANES_PER_HOP * 60), ports=100)
    assert len({alert.alert_id for alert in firing(busy, "busier_than_usual")}) == 1
    assert not [alert for alert in busy.alerts if alert.group == "busier_than_usual" and alert.state is AlertState.RESOLVED]
    calm = run(analysis, range(began + PANES_PER_HOP * 60, began + PANES_PER_HOP * 60 + 40))
    assert [alert.state for alert in calm.alerts if alert.group == "busier_than_usual"][-1] is AlertState.RESOLVED

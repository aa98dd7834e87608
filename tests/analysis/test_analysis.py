"""The assembled middle: real windows, rules, model scoring and alert book over hand-made records."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from observed_records import DEVICE, ORIGIN, SCANNER, SECOND, pane, reading, scan_story, unreachable

from netmote.alerts.alert import Alert, AlertState, Silence
from netmote.analysis.analysis import Analysis
from netmote.analysis.assembly import assemble
from netmote.analysis.config import AnalysisConfig
from netmote.analysis.outcome import Outcome
from netmote.records.batch import Batch
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.scoring.detector import Detector
from netmote.scoring.rules.rule_set import RuleSet
from netmote.windows.schema import FeatureSchema
from netmote.windows.schemas import TRAFFIC
from netmote.windows.vector import VectorBatch


class Volume:
    """A detector that scores by volume, and fails while it is told to."""

    name, version = "volume", "1.0.0"
    schema: FeatureSchema = TRAFFIC
    is_broken = False

    def score(self, vectors: VectorBatch) -> tuple[np.ndarray, np.ndarray]:
        if self.is_broken:
            raise RuntimeError("out of order")
        return vectors.values[:, 0].copy(), np.zeros(vectors.values.shape)


def analysis_of(detectors: Sequence[Detector] = ()) -> Analysis:
    config = AnalysisConfig()
    return Analysis(config, sensor="s1", rules=RuleSet.load(["builtin"]), detectors=detectors)


def run(analysis: Analysis, batches: Iterable[Batch]) -> Outcome:
    return Outcome.joined([analysis.observe(batch) for batch in batches])


def announced(alerts: Iterable[Alert]) -> list[tuple[str, int, AlertState]]:
    return [(alert.alert_id, alert.revision, alert.state) for alert in alerts]


def windows_of(outcome: Outcome) -> list[tuple[str, int]]:
    return [(window.schema.name, window.end_ns) for window in outcome.vectors]


def hashes(outcome: Outcome) -> list[str]:
    return [window.hash for window in outcome.vectors]


def test_a_scan_is_one_explained_alert() -> None:
    """A scan within one pane is in six windows, and one alert: with its ports, flows, technique and what to do."""
    analysis = analysis_of()
    outcome = Outcome.joined([run(analysis, scan_story()), analysis.finish()])
    scans = [alert for alert in outcome.alerts if alert.technique == "T1046" and alert.state is AlertState.FIRING]
    assert len({alert.alert_id for alert in scans}) == 1
    first = scans[0]
    assert first.entity == Entity(EntityKind.HOST, SCANNER)
    assert first.revision == 1
    assert [each.value for each in first.contributors if each.feature == "max_ports_per_dst"] == [401.0]
    assert len(first.evidence.top_ports) == 5
    assert first.evidence.top_flows
    assert first.check


def test_alerts_end_when_event_time_passes() -> None:
    """The clock alone resolves an alert whose cause has gone, at the end of its keep-firing time, not when it was noticed."""
    analysis = analysis_of()
    run(analysis, scan_story())
    after = analysis.advance(ORIGIN + 3600 * SECOND)
    ended = [alert for alert in after.alerts if alert.technique == "T1046"]
    assert [alert.state for alert in ended] == [AlertState.RESOLVED]
    assert ended[0].resolved_at_ns < ORIGIN + 900 * SECOND


@pytest.mark.parametrize("lag", [{"host": 0}, {"capture:eth0": 0}, {"host": 10}, {"capture:eth0": 10}])
def test_the_order_of_sources_does_not_matter(lag: dict[str, int]) -> None:
    """Whichever source comes first, or is seconds behind the other: the same windows to the bit, the same alerts."""
    # Both are known before the first window can close, as in the first seconds of a daemon.
    start: list[Batch] = [reading(-2, interval=5), pane(-2)]
    expected, analysis = analysis_of(), analysis_of()
    first = Outcome.joined([run(expected, [*start, pane(-1), *scan_story()]), expected.finish()])
    rest = sorted(
        [pane(-1), *scan_story()], key=lambda batch: (batch.end_ns + lag.get(batch.source, 0) * SECOND, batch.source in lag)
    )
    second = Outcome.joined([run(analysis, [*reversed(start), *rest]), analysis.finish()])
    assert sorted(hashes(second)) == sorted(hashes(first))
    assert announced(second.alerts) == announced(first.alerts)


@pytest.mark.parametrize("cut", [3, 8, 9, 10, 13, 20, 30])
def test_a_restart_anywhere_changes_nothing(cut: int) -> None:
    """Checkpoint, new process, windows rebuilt: every window is scored exactly once and every alert has the same id."""
    story = scan_story()
    whole = analysis_of()
    expected = Outcome.joined([run(whole, story), whole.finish()])

    before = analysis_of()
    first = run(before, story[:cut])
    state, event_time_ns = before.state(), before.event_time_ns
    firing = {alert.fingerprint: alert for alert in first.alerts if alert.state is AlertState.FIRING}

    after = analysis_of()
    after.restore(state)
    after.resume(event_time_ns, list(firing.values()))
    again = Outcome.joined([*(after.rebuild(batch) for batch in story[:cut]), after.rebuilt()])
    assert not again.alerts
    second = Outcome.joined([run(after, story[cut:]), after.finish()])

    assert windows_of(first) + windows_of(second) == windows_of(expected)
    assert hashes(first) + hashes(second) == hashes(expected)
    assert announced(first.alerts) + announced(second.alerts) == announced(expected.alerts)


def test_a_fact_ahead_of_the_windows_hides_none_of_them() -> None:
    """Event time of a fact runs ahead of windows still open; after a restart those are scored all the same."""
    story = [*[pane(number, ports=400 if number == 3 else 0) for number in range(5)], unreachable(28)]
    before = analysis_of()
    first = run(before, story)
    assert before.event_time_ns == ORIGIN + 28 * SECOND
    after = analysis_of()
    after.restore(before.state())
    after.resume(before.event_time_ns, [])
    Outcome.joined([*(after.rebuild(batch) for batch in story), after.rebuilt()])
    second = run(after, [pane(number) for number in range(5, 12)])
    ends = [end_ns for schema, end_ns in windows_of(first) + windows_of(second) if schema == "traffic"]
    assert ends == [ORIGIN + seconds * SECOND for seconds in (10, 20, 30, 40, 50, 60)]


def test_a_slow_lane_is_scored_after_a_restart() -> None:
    """Each schema closes at its own pace: one that lags behind the traffic is not taken for scored."""
    story: list[Batch] = [reading(0), reading(1), *[pane(number) for number in range(12)]]
    before = analysis_of()
    first = run(before, story)
    sensor = [end for schema, end in windows_of(first) if schema == "sensor"]
    after = analysis_of()
    after.restore(before.state())
    after.resume(before.event_time_ns, [])
    rebuilt = Outcome.joined([*(after.rebuild(batch) for batch in story), after.rebuilt()])
    second = run(after, [reading(number) for number in range(2, 6)])
    later = [end for schema, end in windows_of(rebuilt) + windows_of(second) if schema == "sensor"]
    assert sensor + later == sorted(set(sensor + later))
    assert {ORIGIN + seconds * SECOND for seconds in (30, 40, 50)} <= set(sensor + later)


def test_windows_the_clock_closed_are_not_scored_again() -> None:
    """A window closed for want of records stays closed over a restart, though its source goes on where it was."""
    story = [pane(number) for number in range(7)]
    before = analysis_of()
    run(before, story)
    closed = before.advance(ORIGIN + 40 * SECOND)
    assert ("traffic", ORIGIN + 40 * SECOND) in windows_of(closed)
    after = analysis_of()
    after.restore(before.state())
    after.resume(before.event_time_ns, [])
    again = Outcome.joined([*(after.rebuild(batch) for batch in story), after.rebuilt()])
    assert not again.vectors
    later = windows_of(run(after, [pane(7), pane(8), pane(9)]))
    assert [end_ns for schema, end_ns in later if schema == "traffic"] == [ORIGIN + 50 * SECOND]


def test_the_clock_may_be_set_back_after_a_restart() -> None:
    """What was scored before counts only while windows are rebuilt: times that come again are observed again."""
    before = analysis_of()
    run(before, scan_story())
    after = analysis_of()
    after.restore(before.state())
    after.resume(before.event_time_ns, [])
    after.rebuilt()
    assert run(after, [pane(number) for number in range(6)]).vectors


def test_facts_begin_and_end_conditions() -> None:
    """A certain fact fires at once and ends by its counterpart; repeated, it is the same alert."""
    analysis = analysis_of()
    begun = analysis.observe(unreachable(1))
    assert [(alert.group, alert.entity, alert.state) for alert in begun.alerts] == [
        ("device_unreachable", DEVICE, AlertState.FIRING)
    ]
    assert not analysis.observe(unreachable(1)).alerts
    ended = Outcome.joined([analysis.observe(unreachable(30, 0.0)), analysis.advance(ORIGIN + 3600 * SECOND)])
    assert announced(ended.alerts) == [(begun.alerts[0].alert_id, 2, AlertState.RESOLVED)]


def test_an_empty_batch_of_facts_says_nothing() -> None:
    """Facts that are only a watermark announce nothing and move no event time."""
    analysis = analysis_of()
    assert not analysis.observe(FactBatch("host", ORIGIN, ORIGIN, ()))
    assert analysis.event_time_ns == 0


def test_silences_hold_from_now_on_and_survive_beginning_anew() -> None:
    """A silenced alert is made and marked; the silence is not part of what a restart forgets."""
    analysis = analysis_of()
    analysis.silence([Silence("a", 0, ORIGIN * 2, "planned", entity=DEVICE)])
    analysis.begin_anew()
    assert [alert.is_silenced for alert in analysis.observe(unreachable(1)).alerts] == [True]


@pytest.mark.parametrize("damage", ["whole", "no json", "rules", "book", "progress", "list", "base85"])
def test_a_damaged_state_is_refused_whole(damage: str) -> None:
    """Whatever is wrong with a state, it raises ValueError and nothing of it was taken up."""
    before = analysis_of()
    run(before, scan_story())
    good = before.state()
    parts = {
        "whole": b"",
        "no json": good[:-20],
        "rules": good.replace(b'"rules"', b'"ruled"'),
        "book": good.replace(b'"book"', b'"look"'),
        "progress": good.replace(b'"progress"', b'"congress"'),
        "list": b"[1]",
        "base85": good.replace(b'"book": "', b'"book": "\\u00e4'),
    }
    analysis = analysis_of()
    fresh = analysis.state()
    with pytest.raises(ValueError, match="not a state of the analysis"):
        analysis.restore(parts[damage])
    assert analysis.state() == fresh


def test_beginning_anew_is_like_a_new_one() -> None:
    """After a crash nothing of what was half done is left: the same records give the same alerts as in a new analysis."""
    used, new = analysis_of(), analysis_of()
    run(used, [pane(number, ports=900) for number in range(20)])
    used.begin_anew()
    assert used.state() == new.state()
    assert hashes(run(used, scan_story())) == hashes(run(new, scan_story()))


def test_empty_windows_hold_nothing_of_before() -> None:
    """Windows that were given up are seen again only from what comes after."""
    analysis = analysis_of()
    run(analysis, [pane(number, ports=400) for number in range(5)])
    analysis.empty_windows()
    outcome = run(analysis, [pane(number) for number in range(6, 12)])
    assert outcome.vectors
    assert not outcome.alerts


def test_what_was_learned_goes_into_another_analysis() -> None:
    """Calibration and baselines are carried by `learned`, and rubbish is refused without a trace."""
    story = [pane(number) for number in range(140)]
    taught = analysis_of([Volume()])
    run(taught, story)
    assert taught.scoring.status()[0].learning > 0
    heir = analysis_of([Volume()])
    heir.restore_learned(taught.learned())
    assert heir.scoring.status()[0].learning == taught.scoring.status()[0].learning
    with pytest.raises(ValueError):
        heir.restore_learned(b"rubbish")
    assert heir.scoring.status()[0].learning == taught.scoring.status()[0].learning


def test_a_failing_model_leaves_the_rules_at_work_and_gets_another_chance() -> None:
    """A model that raises is out of use with its reason; the scan is found all the same; a retry brings it back."""
    volume = Volume()
    volume.is_broken = True
    analysis = analysis_of([volume])
    outcome = run(analysis, scan_story())
    assert analysis.scoring.failures == {"volume": "RuntimeError: out of order"}
    assert any(alert.technique == "T1046" for alert in outcome.alerts)
    assert not outcome.scores
    volume.is_broken = False
    analysis.retry_detectors()
    assert not analysis.scoring.failures
    assert run(analysis, [pane(number) for number in range(24, 30)]).scores


def test_a_clock_step_marks_windows_and_raises_its_own_alert() -> None:
    """Facts reach the windows too: a window over a clock step is marked."""
    analysis = analysis_of()
    step = Fact(Entity(EntityKind.SENSOR, "s1"), "clock_step", ORIGIN + 12 * SECOND, 5.0)
    story: list[Batch] = [pane(0), pane(1), FactBatch("host", step.time_ns, step.time_ns, (step,)), *map(pane, range(2, 9))]
    outcome = run(analysis, story)
    assert [alert.group for alert in outcome.alerts] == ["clock_step"]
    qualities = [int(window.quality.max()) for window in outcome.vectors]
    assert any(quality & 8 for quality in qualities)


def test_an_outcome_is_true_when_it_holds_anything() -> None:
    """An empty outcome is false, so that callers can skip it."""
    assert not Outcome()
    assert run(analysis_of(), itertools.chain(map(pane, range(4))))


def test_assembly_reads_rules_and_bundles() -> None:
    """The shipped configuration gives rules and at least one bundle with a state; nothing usable is no reason to fail."""
    assembled = assemble(AnalysisConfig(), sensor="s1")
    assert len(assembled.analysis.rules.rules) >= 12
    bare = assemble(AnalysisConfig.model_validate({"models": {"bundles": []}}), sensor="s1")
    assert bare.bundles == ()
    assert any(alert.technique == "T1046" for alert in run(bare.analysis, scan_story()).alerts)

"""Whatever is found in whatever order: alerts live one life at a time, are numbered without gaps, and come out the same again."""

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from netmote.alerts.alert import Alert, AlertState, Silence
from netmote.alerts.book import AlertBook
from netmote.alerts.config import AlertsConfig
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Cleared, Contributor, Finding, Severity
from netmote.windows.vector import WindowEvidence

S = 1_000_000_000
START = 1_700_000_000 * S
ENTITIES = (
    Entity(EntityKind.DEVICE, "sw1"),
    Entity(EntityKind.INTERFACE, "sw1/1"),
    Entity(EntityKind.HOST, "10.0.0.1"),
    Entity(EntityKind.HOST, "10.0.0.2"),
)
WINDOW_RULES = ("vertical_scan", "scanned", "failed_connections", "syn_flood")
MODEL_GROUPS = ("volume", "names")
CONDITIONS = ("device_unreachable", "interface_down")


@dataclass(frozen=True)
class Step:
    """One call of the book: what was found, what ended, and how far event time had come."""

    event_time_ns: int
    findings: tuple[Finding, ...] = ()
    cleared: tuple[Cleared, ...] = ()
    is_update: bool = True


@st.composite
def findings(draw, now: int) -> Finding:
    kind = draw(st.sampled_from(("rule", "model", "condition")))
    ended = now - draw(st.sampled_from((0, 0, 0, 1, 10, 70))) * S
    entity = draw(st.sampled_from(ENTITIES))
    peers = draw(st.sampled_from(((), (("10.0.0.1", 5),), (("10.0.0.2", 5),))))
    common = {
        "entity": entity,
        "end_ns": ended,
        "surprise": draw(st.sampled_from((4.0, 6.0))),
        "severity": draw(st.sampled_from((Severity.CRITICAL, Severity.ERROR, Severity.NOTICE))),
        "title": "t",
        "contributors": (Contributor("x", "1", 1.0),),
        "for_ns": draw(st.sampled_from((0, 0, 20, 60))) * S,
        "keep_firing_for_ns": draw(st.sampled_from((0, 30, 120))) * S,
        "evidence": WindowEvidence(top_peers=peers),
    }
    if kind == "condition":
        return Finding(group=draw(st.sampled_from(CONDITIONS)), detector="rule", start_ns=ended, is_until_cleared=True, **common)
    group = draw(st.sampled_from(WINDOW_RULES if kind == "rule" else MODEL_GROUPS))
    detector = "rule" if kind == "rule" else draw(st.sampled_from(("ae", "mahalanobis")))
    return Finding(group=group, detector=detector, start_ns=ended - 60 * S, hop_ns=10 * S, **common)


@st.composite
def steps(draw) -> list[Step]:
    now, made = START, []
    for _ in range(draw(st.integers(1, 14))):
        now += draw(st.sampled_from((-5, 0, 1, 10, 10, 10, 30, 300, 2000))) * S
        if draw(st.booleans()) or draw(st.booleans()):
            found = tuple(draw(st.lists(findings(now), max_size=4)))
            ends = st.builds(Cleared, st.sampled_from(CONDITIONS), st.sampled_from(ENTITIES), st.just(now))
            made.append(Step(now, found, tuple(draw(st.lists(ends, max_size=2)))))
        else:
            made.append(Step(now, is_update=False))
    return made


CONFIGS = st.builds(
    AlertsConfig,
    cool_down=st.sampled_from((0.0, 60.0, 1800.0)),
    max_active=st.sampled_from((1, 3, 1000)),
    update_interval=st.sampled_from((10.0, 300.0)),
)
SILENCES = st.lists(
    st.builds(
        lambda begins, lasts, group, entity: Silence("s", START + begins * S, START + (begins + lasts) * S, "", group, entity),
        st.integers(0, 500),
        st.integers(1, 500),
        st.sampled_from((None, "vertical_scan", "interface_down")),
        st.sampled_from((None, *ENTITIES)),
    ),
    max_size=2,
).map(tuple)


def made(config: AlertsConfig, silences: tuple[Silence, ...] = ()) -> AlertBook:
    book = AlertBook(config, sensor="probe")
    book.silences = silences
    return book


def take(book: AlertBook, step: Step) -> tuple[Alert, ...]:
    return book.update(step.event_time_ns, step.findings, step.cleared) if step.is_update else book.advance(step.event_time_ns)


@settings(deadline=None)
@given(CONFIGS, SILENCES, steps())
def test_one_life_at_a_time(config, silences, sequence):
    """Per fingerprint one episode after the other; each begins firing at 1, counts up by one, ends resolved at most once."""
    book = made(config, silences)
    revisions = [alert for step in sequence for alert in take(book, step)]
    episodes: dict[str, list[Alert]] = defaultdict(list)
    open_episode: dict[str, str] = {}
    for alert in revisions:
        episodes[alert.alert_id].append(alert)
        assert open_episode.setdefault(alert.fingerprint, alert.alert_id) == alert.alert_id
        if alert.state is AlertState.RESOLVED:
            del open_episode[alert.fingerprint]
    for episode in episodes.values():
        assert [alert.revision for alert in episode] == list(range(1, len(episode) + 1))
        assert [alert.state for alert in episode[:-1]] == [AlertState.FIRING] * (len(episode) - 1)
        assert episode[0].state is AlertState.FIRING
        for earlier, later in pairwise(episode):
            assert later.severity <= earlier.severity
            assert later.count >= earlier.count
            assert (later.started_at_ns, later.fired_at_ns) == (earlier.started_at_ns, earlier.fired_at_ns)
        last = episode[-1]
        assert last.started_at_ns <= last.last_seen_ns
        assert last.started_at_ns <= last.fired_at_ns
        if last.state is AlertState.RESOLVED:
            assert last.resolved_at_ns is not None
            assert last.resolved_at_ns >= last.last_seen_ns
            assert last.is_silenced is all(alert.is_silenced for alert in episode[:-1])
    assert book.active[AlertState.FIRING] == len(open_episode)
    assert sum(book.active.values()) <= config.max_active


@settings(deadline=None)
@given(CONFIGS, steps())
def test_every_finding_is_accounted_for(config, sequence):
    """Each finding ends in exactly one counter, and transitions add up to what is held."""
    book = made(config)
    for step in sequence:
        take(book, step)
    counters = book.counters
    assert counters.findings == sum(len(step.findings) for step in sequence)
    assert counters.findings == (
        counters.started
        + counters.continued
        + counters.deduplicated
        + counters.merged
        + counters.inhibited
        + counters.withheld
        + counters.refused
    )
    moves = counters.transitions
    begun = moves["inactive", "firing"] + moves["pending", "firing"]
    assert begun - moves["firing", "resolved"] == book.active[AlertState.FIRING]
    pending = moves["inactive", "pending"] - moves["pending", "firing"] - moves["pending", "inactive"]
    assert pending == book.active[AlertState.PENDING]


@settings(deadline=None)
@given(CONFIGS, SILENCES, steps(), st.data())
def test_a_restart_anywhere_changes_nothing(config, silences, sequence, data):
    """Through `state` and `restore_state` at any step the same revisions follow, with the same ids: replay and restart agree."""
    whole, first = made(config, silences), made(config, silences)
    at = data.draw(st.integers(0, len(sequence)))
    expected = [take(whole, step) for step in sequence]
    before = [take(first, step) for step in sequence[:at]]
    second = made(config, silences)
    second.restore_state(first.state())
    firing = {alert.fingerprint: alert for said in before for alert in said}
    second.restore([alert for alert in firing.values() if alert.state is AlertState.FIRING])
    assert [*before, *(take(second, step) for step in sequence[at:])] == expected
    assert second.state() == whole.state()


@settings(deadline=None)
@given(CONFIGS, steps(), st.randoms(use_true_random=False))
def test_the_order_within_one_update_does_not_matter(config, sequence, random):
    """Findings of one moment are a set: any order gives the same alerts. (Equal identities differ in content, so one of each.)"""

    def distinct(step: Step) -> Step:
        found = {(finding.group, finding.entity, finding.end_ns): finding for finding in step.findings}
        return replace(step, findings=tuple(found.values()))

    def shuffled(step: Step) -> Step:
        return replace(step, findings=tuple(random.sample(step.findings, len(step.findings))))

    sequence = [distinct(step) for step in sequence]
    one, other = made(config), made(config)
    assert [take(one, step) for step in sequence] == [take(other, shuffled(step)) for step in sequence]
    assert one.counters == other.counters


@settings(deadline=None)
@given(steps(), st.lists(st.integers(0, 400), max_size=8))
def test_a_quiet_end_comes_to_the_same_however_often_it_is_asked_for(sequence, pauses):
    """After the last finding, asking often or once resolves the same alerts at the same instants."""
    config = AlertsConfig()
    often, once = made(config), made(config)
    for step in sequence:
        take(often, step)
        take(once, step)
    begin = often.now_ns
    end = begin + 20_000 * S
    said = [alert for pause in sorted(pauses) for alert in often.advance(begin + pause * S)]
    said += often.advance(end)
    assert sorted(map(repr, said)) == sorted(map(repr, once.advance(end)))

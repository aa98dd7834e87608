"""The alert book: what fires, what is announced, what is held back, and that nothing is lost without a counter."""

from dataclasses import replace

import pytest

from netmote.alerts.alert import Alert, AlertState, Silence
from netmote.alerts.book import AlertBook
from netmote.alerts.config import AlertsConfig
from netmote.alerts.encoding import decode_alert, encode_alert
from netmote.alerts.fingerprint import alert_id_of, fingerprint_of
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Cleared, Contributor, Finding, Severity
from netmote.windows.vector import Quality, WindowEvidence

S = 1_000_000_000
HOST, OTHER = Entity(EntityKind.HOST, "10.0.0.1"), Entity(EntityKind.HOST, "10.0.0.2")
SWITCH, PORT = Entity(EntityKind.DEVICE, "sw1"), Entity(EntityKind.INTERFACE, "sw1/1")
FIRING, RESOLVED = AlertState.FIRING, AlertState.RESOLVED


def book(**config) -> AlertBook:
    return AlertBook(AlertsConfig(**config), sensor="probe")


def window(at: int, group: str = "icmp_tunnel", entity: Entity = HOST, **more) -> Finding:
    """A finding of the 60 s window that ended at this second; windows end every 10 s; it lasts a minute beyond the last."""
    values = {
        "detector": "rule", "surprise": 6.0, "severity": Severity.ERROR, "title": f"{group} at {at}", "hop_ns": 10 * S,
        "contributors": (Contributor("x", "1", 3.0, threshold=2.0),), "keep_firing_for_ns": 60 * S,
    }  # fmt: skip
    return Finding(group=group, entity=entity, start_ns=(at - 60) * S, end_ns=at * S, **{**values, **more})


def fact(at: int, group: str = "interface_down", entity: Entity = PORT, **more) -> Finding:
    """A condition that began at this second."""
    contributors = (Contributor("interface_down", "1", 1.0),)
    more = {"is_until_cleared": True, "hop_ns": 0, "keep_firing_for_ns": 0, "contributors": contributors, **more}
    return replace(window(at, group, entity), start_ns=at * S, **more)


def end(at: int, group: str = "interface_down", entity: Entity = PORT) -> Cleared:
    return Cleared(group, entity, at * S)


def run(alerts: AlertBook, findings, *, until: int = 0) -> list[Alert]:
    """Give each finding at its own time, then let time pass."""
    said = []
    for finding in findings:
        said.extend(alerts.update(finding.end_ns, [finding]))
    if until:
        said.extend(alerts.advance(until * S))
    return said


def told(alerts) -> list[tuple[AlertState, int, int]]:
    return [(alert.state, alert.revision, alert.count) for alert in alerts]


def accounted(alerts: AlertBook) -> bool:
    """Every finding ended in exactly one counter."""
    counters = alerts.counters
    ends = (
        counters.started,
        counters.continued,
        counters.deduplicated,
        counters.merged,
        counters.inhibited,
        counters.withheld,
        counters.refused,
    )
    return counters.findings == sum(ends)


def test_a_finding_fires_and_its_alert_carries_everything():
    """The first revision holds the finding whole, with ids derived from what it is about and when it began."""
    finding = window(100, technique="T1046", check="look", quality=Quality.LOSS, coverage=0.9, loss_ratio=0.02)
    (alert,) = book().update(100 * S, [finding])
    fingerprint = fingerprint_of("probe", "icmp_tunnel", HOST)
    assert (alert.fingerprint, alert.alert_id, alert.revision) == (fingerprint, alert_id_of(fingerprint, 100 * S), 1)
    assert (alert.started_at_ns, alert.fired_at_ns, alert.last_seen_ns, alert.resolved_at_ns) == (100 * S, 100 * S, 100 * S, None)
    assert (alert.window_start_ns, alert.window_end_ns, alert.count) == (40 * S, 100 * S, 1)
    assert (alert.technique, alert.check, alert.quality, alert.coverage, alert.loss_ratio) == (
        "T1046",
        "look",
        Quality.LOSS,
        0.9,
        0.02,
    )
    assert (alert.score, alert.surprise, alert.contributors) == (finding.score, 6.0, finding.contributors)
    assert dict(alert.labels) == {"sensor": "probe"}
    assert decode_alert(encode_alert(alert)) == alert


def test_a_scan_of_many_windows_is_two_announcements():
    """However many windows it lasts: firing once, resolved once, with the count and the time it was last seen."""
    alerts = book()
    said = run(alerts, [window(at) for at in range(100, 200, 10)], until=1000)
    assert told(said) == [(FIRING, 1, 1), (RESOLVED, 2, 10)]
    assert said[1].last_seen_ns == 190 * S
    assert said[1].resolved_at_ns == (190 + 20 + 60) * S
    assert alerts.counters.deduplicated == 9
    assert alerts.counters.transitions == {("inactive", "firing"): 1, ("firing", "resolved"): 1}
    assert accounted(alerts)


def test_the_end_does_not_depend_on_when_it_is_asked_for():
    """One late question gives the same end as one at every second."""
    seldom, often = book(), book()
    findings = [window(at) for at in (100, 110, 120)]
    late = run(seldom, findings, until=2000)
    early = run(often, findings)
    for second in range(121, 300):
        early.extend(often.advance(second * S))
    assert late == early


def test_evidence_at_the_very_end_continues_the_episode():
    """The end is exclusive: a window that ends exactly then still belongs to it, one a nanosecond later begins anew."""
    ends_at = 100 + 20 + 60
    assert told(run(book(cool_down=0.0), [window(100), window(ends_at)])) == [(FIRING, 1, 1)]
    later = replace(window(ends_at), end_ns=ends_at * S + 1)
    assert told(run(book(cool_down=0.0), [window(100), later])) == [(FIRING, 1, 1), (RESOLVED, 2, 1), (FIRING, 1, 1)]


def test_for_asks_for_windows_without_a_gap():
    """Firing waits until it has held that long; a window left out begins the wait anew."""
    waiting = {"for_ns": 30 * S}
    said = run(book(), [window(at, **waiting) for at in (100, 110, 120, 130)])
    assert [(alert.started_at_ns // S, alert.fired_at_ns // S, alert.count) for alert in said] == [(100, 130, 4)]
    alerts = book()
    said = run(alerts, [window(at, **waiting) for at in (100, 110, 130, 140, 150, 160)])
    assert [(alert.started_at_ns // S, alert.fired_at_ns // S) for alert in said] == [(130, 160)]
    assert alerts.counters.transitions["pending", "inactive"] == 1


def test_a_pending_alert_that_is_not_seen_again_is_given_up():
    """Nobody is told; it is counted, and holds no room any more."""
    alerts = book()
    assert run(alerts, [window(100, for_ns=30 * S)], until=1000) == []
    assert alerts.active == {AlertState.PENDING: 0, FIRING: 0}
    assert alerts.counters.transitions == {("inactive", "pending"): 1, ("pending", "inactive"): 1}


def test_a_long_alert_is_announced_again_at_most_every_update_interval():
    """Half an hour of windows: the count is told every five minutes."""
    said = run(book(update_interval=300.0), [window(at) for at in range(100, 1900, 10)])
    assert [alert.last_seen_ns // S for alert in said] == [100, 400, 700, 1000, 1300, 1600]
    assert [alert.revision for alert in said] == [1, 2, 3, 4, 5, 6]


def test_growing_graver_is_told_at_once_and_growing_milder_is_not():
    """Severity only rises within an episode: it cannot flicker."""
    severities = [Severity.WARNING, Severity.WARNING, Severity.CRITICAL, Severity.WARNING, Severity.CRITICAL]
    said = run(book(), [window(100 + 10 * step, severity=severity) for step, severity in enumerate(severities)])
    assert [(alert.severity, alert.count) for alert in said] == [(Severity.WARNING, 1), (Severity.CRITICAL, 3)]


def test_a_new_cause_is_told_at_once():
    """A model that joins a rule's alert is one more revision, not one more alert, and it is told once."""
    alerts = book()
    model = {"group": "volume", "detector": "traffic-ae"}
    said = []
    for at in (100, 110, 120, 130):
        said.extend(alerts.update(at * S, [window(at), *([window(at, **model)] if at >= 110 else [])]))
    assert [(alert.group, alert.detector, alert.revision) for alert in said] == [
        ("icmp_tunnel", "rule", 1),
        ("icmp_tunnel", "rule+traffic-ae", 2),
    ]
    assert accounted(alerts)


def test_a_model_that_lags_behind_the_rule_joins_its_alert():
    """The rule saw it in this window's time but has gone quiet: the model's finding belongs to the alert that names it."""
    alerts = book()
    said = run(alerts, [window(100), window(130, "volume", detector="ae")])
    assert [(alert.group, alert.detector, alert.count) for alert in said] == [
        ("icmp_tunnel", "rule", 1),
        ("icmp_tunnel", "ae+rule", 1),
    ]
    assert [alert.group for alert in run(alerts, [window(170, "volume", detector="ae")])] == ["volume"]
    assert accounted(alerts)


def test_a_model_is_not_swallowed_by_a_rule_that_cools_down():
    """The rule's alert was told and is over; what the model sees in the same windows is told under its own name."""
    alerts = book()
    run(alerts, [window(100)], until=1000)
    (alert,) = alerts.update(1010 * S, [window(1010), window(1010, "volume", detector="ae")])
    assert alert.group == "volume"
    assert alerts.counters.withheld == 1
    assert accounted(alerts)


def test_the_cool_down_is_of_fixed_length_and_ended_by_something_graver():
    """Findings within it are counted, do not prolong it, and a graver one is told; afterwards it fires anew under a new id."""
    alerts = book(cool_down=600.0)
    (first, resolved) = run(alerts, [window(100)], until=200)
    assert resolved.resolved_at_ns == 180 * S
    assert run(alerts, [window(at) for at in range(300, 780, 100)]) == []
    assert alerts.counters.withheld == 5
    (again,) = run(alerts, [window(780)])
    assert again.alert_id != first.alert_id
    assert again.fingerprint == first.fingerprint
    run(alerts, [], until=1000)
    (graver,) = run(alerts, [window(1000, severity=Severity.CRITICAL)])
    assert graver.severity is Severity.CRITICAL
    assert accounted(alerts)


def test_the_cool_down_is_of_one_entity_and_one_group():
    """What happens to another host, or by another cause, is news."""
    alerts = book()
    run(alerts, [window(100)], until=1000)
    assert len(run(alerts, [window(1000, entity=OTHER), window(1000, "dns_failures")])) == 2


def test_the_same_record_twice_makes_no_second_episode():
    """A batch delivered again after its alert resolved is recognised, also without a cool-down."""
    alerts = book(cool_down=0.0)
    assert len(run(alerts, [window(100)], until=300)) == 2
    assert run(alerts, [window(100)]) == []
    assert alerts.counters.deduplicated == 1


def test_a_condition_fires_until_it_is_cleared():
    """Hours of silence change nothing; the end resolves it at the time it ended, and the next one is no matter of cool-downs."""
    alerts = book()
    assert told(run(alerts, [fact(100)], until=90_000)) == [(FIRING, 1, 1)]
    (resolved,) = alerts.update(90_100 * S, [], [end(90_050)])
    assert (resolved.state, resolved.resolved_at_ns) == (RESOLVED, 90_050 * S)
    (again,) = alerts.update(90_200 * S, [fact(90_200)])
    assert (again.state, again.revision) == (FIRING, 1)


def test_a_condition_is_damped_by_its_keep_firing_for():
    """Ending and beginning again within it is one episode."""
    alerts = book()
    flapping = {"keep_firing_for_ns": 60 * S}
    said = [*alerts.update(100 * S, [fact(100, **flapping)]), *alerts.update(120 * S, [], [end(120)])]
    said += [*alerts.update(150 * S, [fact(150, **flapping)]), *alerts.update(160 * S, [], [end(160)]), *alerts.advance(300 * S)]
    assert told(said) == [(FIRING, 1, 1), (RESOLVED, 2, 2)]
    assert said[1].resolved_at_ns == 220 * S


def test_a_condition_waits_for_its_for():
    """It fires by time alone, at the instant `for` was satisfied; one that ended before does not; one asked about late does."""
    waiting = {"for_ns": 600 * S}
    (alert,) = run(book(), [fact(100, **waiting)], until=900)
    assert (alert.started_at_ns, alert.fired_at_ns) == (100 * S, 700 * S)
    short = book()
    short.update(100 * S, [fact(100, **waiting)])
    assert short.update(500 * S, [], [end(500)]) == ()
    late = book()
    late.update(100 * S, [fact(100, **waiting)])
    said = late.update(2000 * S, [], [end(1000)])
    assert [(alert.state, alert.fired_at_ns // S, alert.resolved_at_ns) for alert in said] == [
        (FIRING, 700, None),
        (RESOLVED, 700, 1000 * S),
    ]


def test_what_waited_less_fires_first_though_time_leaps_over_both():
    """A port that was down before its device counts as silent is told, whether or not anybody asked in between."""
    alerts = book()
    alerts.update(100 * S, [fact(100, for_ns=20 * S), fact(100, "device_unreachable", SWITCH, for_ns=60 * S)])
    assert [alert.group for alert in alerts.advance(1000 * S)] == ["interface_down", "device_unreachable"]


def test_beginnings_and_ends_in_one_batch_are_taken_by_time():
    """Down, up, down within one poll: one episode that ended and one that goes on."""
    alerts = book()
    said = alerts.update(200 * S, [fact(100), fact(150)], [end(120)])
    assert [(alert.state, alert.started_at_ns // S) for alert in said] == [(FIRING, 100), (RESOLVED, 100), (FIRING, 150)]


def test_a_late_beginning_does_not_undo_an_end():
    """A fact that arrives after the condition ended, but happened before, changes nothing; one at the very end begins it again."""
    alerts = book()
    damped = {"keep_firing_for_ns": 60 * S}
    alerts.update(100 * S, [fact(100, **damped)])
    alerts.update(120 * S, [], [end(120)])
    alerts.update(130 * S, [fact(90, **damped), fact(119, **damped)])
    (resolved,) = alerts.advance(1000 * S)
    assert (resolved.state, resolved.last_seen_ns, resolved.resolved_at_ns) == (RESOLVED, 100 * S, 180 * S)
    alerts.update(1000 * S, [fact(1000, **damped)])
    alerts.update(1010 * S, [fact(1010, **damped)], [end(1010)])
    assert alerts.advance(5000 * S) == ()


def test_an_end_of_nothing_is_counted():
    """Collectors say at start what is well; that resolves nothing and is no error."""
    alerts = book()
    assert alerts.update(100 * S, [], [end(100)]) == ()
    alerts.update(200 * S, [fact(200)])
    assert alerts.update(210 * S, [], [end(190)]) == ()
    assert alerts.counters.unmatched_clears == 2


def test_a_silent_device_explains_what_is_said_of_its_ports():
    """While it does not answer, its ports begin nothing; a port that is still down when it is back fires then."""
    alerts = book()
    silent = fact(100, "device_unreachable", SWITCH)
    said = alerts.update(100 * S, [silent, fact(100), window(100, "interface_errors", PORT)])
    assert [alert.group for alert in said] == ["device_unreachable"]
    assert alerts.counters.inhibited == 1
    back = alerts.update(400 * S, [], [end(400, "device_unreachable", SWITCH)])
    assert [(alert.group, alert.state) for alert in back] == [("device_unreachable", RESOLVED), ("interface_down", FIRING)]
    assert accounted(alerts)


def test_an_explained_alert_that_fires_already_goes_on_quietly():
    """It is not announced again while it is explained, and still told when it ends."""
    alerts = book(update_interval=10.0)
    run(alerts, [window(100, "interface_errors", PORT)])
    alerts.update(105 * S, [fact(105)])
    said = run(alerts, [window(at, "interface_errors", PORT) for at in range(110, 200, 10)], until=1000)
    assert [(alert.group, alert.state, alert.count) for alert in said] == [("interface_errors", RESOLVED, 10)]


def test_a_scan_is_one_alert_wherever_it_is_seen():
    """Scanner, scanned and segment see it in the same window: the scanner has the alert."""
    alerts = book()
    seen = WindowEvidence(top_peers=((HOST.name, 1000),))
    segment = Entity(EntityKind.INTERFACE, "probe/eth0")
    findings = [
        window(100, "scanned", OTHER, evidence=seen),
        window(100, "segment_vertical_scan", segment),
        window(100, "failed_connections"),
        window(100, "vertical_scan"),
    ]
    assert [(alert.group, alert.entity) for alert in alerts.update(100 * S, findings)] == [("vertical_scan", HOST)]
    assert alerts.counters.inhibited == 3


def test_a_full_book_refuses_the_mild_and_makes_room_for_the_grave():
    """Pending ones give way to graver ones, firing ones never; each refusal and each loss is counted."""
    alerts = book(max_active=2)
    run(alerts, [window(100), window(100, entity=OTHER, for_ns=600 * S, severity=Severity.NOTICE)])
    third = Entity(EntityKind.HOST, "10.0.0.3")
    assert run(alerts, [window(100, entity=third, severity=Severity.NOTICE)]) == []
    (grave,) = run(alerts, [window(100, entity=third, severity=Severity.CRITICAL)])
    assert grave.entity == third
    assert run(alerts, [window(100, entity=OTHER, severity=Severity.EMERGENCY)]) == []
    assert (alerts.counters.refused, alerts.counters.evicted) == (2, 1)
    assert accounted(alerts)


def test_cool_downs_are_bounded():
    """Thousands of hosts that each had an alert: the book remembers four times as many as may be active."""
    alerts = book(max_active=5)
    for number in range(100):
        run(alerts, [window(100 + number, entity=Entity(EntityKind.HOST, f"10.0.1.{number}"), keep_firing_for_ns=0, hop_ns=1)])
        alerts.advance((100 + number) * S + 10)
    assert len(alerts.state()) < 5_000
    assert alerts.counters.forgotten == 80


def silence(begins: int, ends: int, **of) -> Silence:
    return Silence("s1", begins * S, ends * S, "maintenance", **of)


def test_a_silenced_alert_is_told_as_silenced_and_anew_when_the_silence_ends():
    """Stored and shown; when the silence ends and it still fires, the world hears of it, and later of its end."""
    alerts = book()
    alerts.silences = (silence(0, 150, group="icmp_tunnel", entity=HOST),)
    said = run(alerts, [window(at) for at in (100, 110, 120, 130, 140, 150)], until=1000)
    assert [(alert.state, alert.is_silenced, alert.revision) for alert in said] == [
        (FIRING, True, 1),
        (FIRING, False, 2),
        (RESOLVED, False, 3),
    ]


def test_the_end_of_an_alert_that_was_told_is_told_through_a_silence():
    """Otherwise it would fire upstream for ever. One that nobody was told of ends unheard."""
    alerts = book()
    run(alerts, [window(100)])
    alerts.silences = (silence(0, 10_000),)
    assert [alert.is_silenced for alert in run(alerts, [window(100, entity=OTHER)], until=1000)] == [True, False, True]


@pytest.mark.parametrize("of", [{"group": "scanned"}, {"entity": OTHER}, {"group": "icmp_tunnel", "entity": OTHER}])
def test_a_silence_of_something_else_silences_nothing(of):
    """Group and entity both have to match."""
    alerts = book()
    alerts.silences = (silence(0, 10_000, **of),)
    assert [alert.is_silenced for alert in run(alerts, [window(100)])] == [False]


def test_event_time_never_goes_backwards():
    """A source that lags is taken with its own times; the book's time stays and counts it."""
    alerts = book()
    alerts.advance(500 * S)
    said = alerts.update(400 * S, [window(400)])
    assert told(said) == [(FIRING, 1, 1), (RESOLVED, 2, 1)]
    assert said[1].resolved_at_ns == 480 * S
    assert (alerts.now_ns, alerts.counters.clamped) == (500 * S, 1)


def test_a_restart_from_the_ledger_alone_goes_on_with_the_same_alert():
    """Without a state, what fires is taken from the ledger: same id, next revision; conditions still wait for their end."""
    before = book()
    firing = run(before, [window(100), fact(100)])
    after = book()
    after.restore(firing)
    assert after.active[FIRING] == 2
    said = [*run(after, [window(110, severity=Severity.CRITICAL)], until=5000), *after.update(6000 * S, [], [end(6000)])]
    assert [(alert.alert_id, alert.revision, alert.state) for alert in said] == [
        (firing[0].alert_id, 2, FIRING),
        (firing[0].alert_id, 3, RESOLVED),
        (firing[1].alert_id, 2, RESOLVED),
    ]


def test_the_ledger_is_believed_where_it_knows_more_than_the_state():
    """An older state brings an older revision: the next one must not repeat a number."""
    alerts = book()
    run(alerts, [window(100)])
    old = alerts.state()
    (graver,) = run(alerts, [window(110, severity=Severity.CRITICAL)])
    after = book()
    after.restore_state(old)
    after.restore([graver])
    (resolved,) = after.advance(5000 * S)
    assert (resolved.revision, resolved.severity) == (3, Severity.CRITICAL)
    same = book()
    same.restore_state(old)
    same.restore([replace(graver, revision=1)])
    assert same.state() == old

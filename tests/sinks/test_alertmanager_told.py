"""What Alertmanager is told, and what it is spared."""

from types import MappingProxyType

from heartbeats import sample_heartbeat
from sink_alerts import SECOND, START, committed_alert

from netmote.alerts.alert import AlertState, Committed
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Severity
from netmote.sinks.alertmanager.posted_alert import described, heartbeat
from netmote.sinks.alertmanager.told import ENDED_RETENTION_SECONDS, Told

NOW = START + 100 * SECOND
RESOLVED = {"state": AlertState.RESOLVED, "resolved_at_ns": START + 60 * SECOND, "revision": 2}


def labels(committed: Committed) -> dict[str, str]:
    return described(committed)["labels"]


def knowing(*active: Committed) -> Told:
    told = Told()
    assert len(list(told.learn(active))) == len(active)
    return told


def test_what_identifies_and_what_changes() -> None:
    """Labels are equal over revisions and episodes of one alert; what changes is in the annotations. Names fit Prometheus' model."""
    first = labels(committed_alert(3, labels=MappingProxyType({"sensor": "x", "site-id": "7", "9": "digit", "empty": ""})))
    again = committed_alert(3, alert_id="another episode", revision=9, count=40, title="more", last_seen_ns=NOW)
    assert first == {
        "alertname": "port_scan",
        "sensor": "branch-7",
        "severity": "critical",
        "entity": "host:192.0.2.7",
        "entity_kind": "host",
        "fingerprint": f"{3:032x}",
        "site_id": "7",
        "_9": "digit",
    }
    assert labels(again).items() <= first.items()


def test_an_active_alert_is_told_as_it_stands_without_an_end() -> None:
    """Whichever revision comes along; Alertmanager counts its own time-out."""
    told = knowing(committed_alert(1, revision=5, title="the latest"))
    alert = told.answer(committed_alert(1), now_ns=NOW)
    assert alert is not None
    assert alert["annotations"]["summary"] == "the latest"
    assert alert["annotations"]["because"].startswith("max_ports_per_dst 412 (usually 3), ")
    assert alert["startsAt"] == "2023-11-14T22:13:20.000000Z"
    assert "endsAt" not in alert


def test_history_is_not_told() -> None:
    """Neither a firing of what has ended since, nor an end of what fires again."""
    told = knowing(committed_alert(1, alert_id="second episode"))
    assert told.answer(committed_alert(2), now_ns=NOW) is None
    assert told.answer(committed_alert(1, alert_id="first episode", **RESOLVED), now_ns=NOW) is None


def test_an_end_is_now_and_told_for_a_while() -> None:
    """Not at the original end, which Alertmanager would take for long over; fifteen minutes long, unless it fires again."""
    told = knowing()
    alert = told.answer(committed_alert(1, **RESOLVED), now_ns=NOW)
    assert alert is not None
    assert alert["endsAt"] == "2023-11-14T22:15:00.000000Z"
    told.accepted([alert], monotonic=0.0)
    assert told.everything(now_ns=NOW + SECOND, monotonic=1.0) == [alert]
    list(told.learn([committed_alert(1, alert_id="second episode")]))
    assert ["endsAt" in each for each in told.everything(now_ns=NOW, monotonic=2.0)] == [False]
    list(told.learn([]))
    assert told.everything(now_ns=NOW, monotonic=ENDED_RETENTION_SECONDS) == []


def test_what_is_told_and_gone_is_ended() -> None:
    """Silenced, or graver and so another alert to Alertmanager: the one it knows ends, once."""
    told = knowing(committed_alert(1, severity=Severity.WARNING), committed_alert(2))
    told.accepted(told.everything(now_ns=NOW, monotonic=0.0), monotonic=0.0)
    list(told.learn([committed_alert(1, severity=Severity.CRITICAL, revision=2)]))
    ends = told.gone(now_ns=NOW)
    assert [(each["labels"]["severity"], each["labels"]["fingerprint"][-1]) for each in ends] == [
        ("warning", "1"),
        ("critical", "2"),
    ]
    assert all("endsAt" in each for each in ends)
    told.accepted(ends, monotonic=1.0)
    assert told.gone(now_ns=NOW) == []


def test_a_description_is_made_once_a_revision() -> None:
    """A thousand active alerts are not described anew every minute."""
    told = knowing(committed_alert(1), committed_alert(2))
    assert len(list(told.learn([committed_alert(1), committed_alert(2, revision=2), committed_alert(3)]))) == 2


def test_nothing_starts_in_alertmanagers_future_nor_ends_before_its_start() -> None:
    """It would refuse both."""
    told = knowing(committed_alert(1, started_at_ns=NOW + 3600 * SECOND))
    (alert,) = told.everything(now_ns=NOW, monotonic=0.0)
    assert alert["startsAt"] == "2023-11-14T22:15:00.000000Z"
    told.accepted([alert], monotonic=0.0)
    list(told.learn([]))
    (end,) = told.gone(now_ns=NOW - 50 * SECOND)
    assert end["endsAt"] == end["startsAt"]


def test_the_heartbeat_fires_until_three_are_missed() -> None:
    """As Prometheus' Watchdog; severity none keeps it out of the routes of people."""
    alert = heartbeat(sample_heartbeat(number=7), now_ns=NOW)
    assert alert["labels"] == {"alertname": "NetmoteHeartbeat", "sensor": "branch-7", "severity": "none"}
    assert (alert["annotations"]["number"], alert["annotations"]["last_seq"]) == ("7", "41")
    assert alert["endsAt"] == "2023-11-14T22:18:00.000000Z"


def test_an_entity_of_any_kind_has_a_label() -> None:
    """Its name comes from a device: it is bounded and UTF-8."""
    found = labels(committed_alert(entity=Entity(EntityKind.INTERFACE, "sw1/" + "\ud800x" * 500)))
    assert found["entity"].startswith("interface:sw1/?x")
    assert len(found["entity"]) < 300

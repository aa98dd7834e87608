"""An alert as the fields of one journal entry, as a line of JSON and as a line for people. Pure."""

from typing import Any

from netmote.alerts.alert import AlertState, Committed
from netmote.sinks.alert_document import encode, rfc3339
from netmote.sinks.announcement import happened_at_ns, headline, one_line, priority
from netmote.sinks.heartbeat_document import heartbeat_document
from netmote.sinks.ocsf import detection_finding
from netmote.telemetry.heartbeat import Heartbeat

# Catalogue ids, one per kind of message (sd_id128, made once at random): `journalctl MESSAGE_ID=...` finds them all.
MESSAGE_IDS = {
    AlertState.FIRING: "7c2fb0a94d6b4f1c9e35a1d86f04b7e2",
    AlertState.RESOLVED: "b1e84d27c03f4a6e8d59f6720a9c13d5",
}

HEARTBEAT_MESSAGE_ID = "5d0a7e3b91c84f27a6f2d8b34e10c97b"


def text_line(committed: Committed) -> str:
    """For people: time, severity, state, what, where, and how to see more."""
    alert = committed.alert
    repeated = f" ({alert.count} times)" if alert.count > 1 else ""
    return one_line(
        f"{rfc3339(happened_at_ns(committed))} {alert.severity.word} {alert.state.value}: {alert.title}{repeated} [{alert.entity}] alert={alert.alert_id}"
    )


def json_line(committed: Committed) -> str:
    """The OCSF finding on one line."""
    return encode(detection_finding(committed)).decode()


def journal_fields(committed: Committed) -> list[tuple[str, Any]]:
    """Fields of one entry (systemd.journal-fields(7)); our own begin with NETMOTE_."""
    alert = committed.alert
    return [
        ("MESSAGE", headline(committed)),
        ("MESSAGE_ID", MESSAGE_IDS[alert.state]),
        ("PRIORITY", int(priority(committed))),
        ("SYSLOG_IDENTIFIER", "netmote"),
        ("NETMOTE_ALERT_ID", alert.alert_id),
        ("NETMOTE_EVENT_ID", alert.event_id),
        ("NETMOTE_REVISION", alert.revision),
        ("NETMOTE_STATE", alert.state.value),
        ("NETMOTE_SEVERITY", alert.severity.word),
        ("NETMOTE_ENTITY", str(alert.entity)),
        ("NETMOTE_GROUP", alert.group),
        ("NETMOTE_DETECTOR", alert.detector),
        ("NETMOTE_TECHNIQUE", alert.technique),
        ("NETMOTE_SCORE", f"{alert.score:.6f}"),
        ("NETMOTE_COUNT", alert.count),
        ("NETMOTE_SENSOR", committed.sensor),
        ("NETMOTE_LEDGER_EPOCH", committed.ledger_epoch),
        ("NETMOTE_SEQ", committed.seq),
        ("NETMOTE_ALERT", json_line(committed)),
    ]


def heartbeat_fields(beat: Heartbeat) -> list[tuple[str, Any]]:
    """Fields of one entry; priority debug, because nothing has happened."""
    return [
        ("MESSAGE", f"heartbeat {beat.number}: level {beat.level.value}, last alert number {beat.last_seq}"),
        ("MESSAGE_ID", HEARTBEAT_MESSAGE_ID),
        ("PRIORITY", 7),
        ("SYSLOG_IDENTIFIER", "netmote"),
        ("NETMOTE_LEVEL", beat.level.value),
        ("NETMOTE_SENSOR", beat.sensor),
        ("NETMOTE_LEDGER_EPOCH", beat.ledger_epoch),
        ("NETMOTE_SEQ", beat.last_seq),
        ("NETMOTE_HEARTBEAT", encode(heartbeat_document(beat)).decode()),
    ]

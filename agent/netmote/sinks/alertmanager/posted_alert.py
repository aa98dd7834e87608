"""An alert as Alertmanager's API v2 takes it (`postableAlerts`). Pure.

Labels say which alert it is: equal labels are one alert to Alertmanager, over episodes too, so that its silences hold. What changes
while it fires stands in annotations. An alert that fires has no `endsAt`: Alertmanager then counts its own resolve_timeout from the
moment it was told, by its own clock, and a sensor whose clock is wrong still notifies. `now_ns` is always Alertmanager's time: a
`startsAt` in its future it would refuse.
"""

import re
from typing import Any

from netmote.alerts.alert import Committed
from netmote.sinks.alert_document import alert_document, rfc3339
from netmote.sinks.heartbeat_document import heartbeat_document
from netmote.telemetry.heartbeat import Heartbeat

HEARTBEAT_NAME = "NetmoteHeartbeat"

_MISSED_BEATS = 3
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")
_MAX_CAUSES = 5


def described(committed: Committed) -> dict[str, Any]:
    """Labels and annotations: the alert without its times."""
    document = alert_document(committed)
    return {"labels": _labels(document), "annotations": _annotations(committed, document)}


def firing(alert: dict[str, Any], started_at_ns: int, *, now_ns: int) -> dict[str, Any]:
    """A described alert that goes on."""
    return {**alert, "startsAt": rfc3339(min(started_at_ns, now_ns))}


def ended(alert: dict[str, Any], *, now_ns: int) -> dict[str, Any]:
    """A posted alert that is over now. Never before its own start, which Alertmanager would refuse."""
    return {**alert, "endsAt": max(rfc3339(now_ns), alert["startsAt"])}


def heartbeat(beat: Heartbeat, *, now_ns: int) -> dict[str, Any]:
    """An alert that fires while the sensor lives, as Prometheus' Watchdog does; three beats missed, it ends."""
    document = heartbeat_document(beat)
    return {
        "labels": {"alertname": HEARTBEAT_NAME, "sensor": document["sensor"], "severity": "none"},
        "annotations": {
            "summary": f"{document['sensor']} lives, at level {beat.level.value}",
            "description": "; ".join(reason["text"] for reason in document["reasons"][:_MAX_CAUSES]),
            "number": str(beat.number),
            "ledger_epoch": beat.ledger_epoch,
            "last_seq": str(beat.last_seq),
            "version": beat.version,
        },
        "startsAt": rfc3339(min(beat.started_at_ns, now_ns)),
        "endsAt": rfc3339(now_ns + round(_MISSED_BEATS * beat.interval_seconds * 1e9)),
    }


def _labels(document: dict[str, Any]) -> dict[str, str]:
    """What identifies the alert. A severity that grows makes another one: routes go by it."""
    own = {
        "alertname": document["group"],
        "sensor": document["sensor"],
        "severity": document["severity"],
        "entity": f"{document['entity']['kind']}:{document['entity']['name']}",
        "entity_kind": document["entity"]["kind"],
        "fingerprint": document["fingerprint"],
    }
    given = {_label_name(name): value for name, value in document["labels"].items()}
    return {name: value for name, value in {**given, **own}.items() if name and value}


def _annotations(committed: Committed, document: dict[str, Any]) -> dict[str, str]:
    alert = committed.alert
    causes = [
        f"{each['feature']} {each['value']:g}" + ("" if each["baseline"] is None else f" (usually {each['baseline']:g})")
        for each in document["contributors"][:_MAX_CAUSES]
        if each["value"] is not None
    ]
    found = {
        "summary": document["title"],
        "description": document["check"],
        "because": ", ".join(causes),
        "alert_id": alert.alert_id,
        "event_id": alert.event_id,
        "ledger_epoch": document["ledger_epoch"],
        "seq": str(committed.seq),
        "count": str(alert.count),
        "last_seen": document["last_seen_at"],
        "technique": document["technique"] or "",
        "detector": document["detector"],
    }
    return {name: value for name, value in found.items() if value}


def _label_name(name: str) -> str:
    """Prometheus' data model: letters, digits and underscores, no digit first."""
    made = _NOT_IN_A_NAME.sub("_", name)
    return f"_{made}" if made[:1].isdigit() else made

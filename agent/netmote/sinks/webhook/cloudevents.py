"""CloudEvents 1.0 in JSON: the envelope of an alert revision, and a batch of them. Pure.

Example of one event (data shortened; see `sinks.alert_document`):

    {"specversion": "1.0", "id": "<alert id>/<revision>", "source": "netmote://branch-7/3f2a...",
     "type": "io.netmote.alert.firing.v1", "subject": "host:192.0.2.7", "time": "2026-11-22T10:00:00.000000Z",
     "datacontenttype": "application/json", "sensor": "branch-7", "ledgerepoch": "3f2a...", "seq": 12,
     "severity": "critical", "data": {...}}

`source` + `id` is the same in every resend, so a receiver that knows it drops the duplicate; a gap in `seq` within one
`source` is a revision that has not come yet.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from netmote.alerts.alert import AlertState, Committed
from netmote.sinks.alert_document import alert_document, encode, rfc3339
from netmote.sinks.heartbeat_document import heartbeat_document
from netmote.telemetry.heartbeat import Heartbeat

# CloudEvents JSON Event Format 1.0 section 4.1.
BATCH_MEDIA_TYPE = "application/cloudevents-batch+json"


def cloud_event(committed: Committed) -> dict[str, Any]:
    """One event. Attribute names are lower-case letters and digits, at most 20 (CloudEvents 1.0, "Naming Conventions")."""
    alert = committed.alert
    is_resolved = alert.state is AlertState.RESOLVED and alert.resolved_at_ns is not None
    document = alert_document(committed)
    return {
        "specversion": "1.0",
        "id": alert.event_id,
        "source": _source(committed.sensor, committed.ledger_epoch),
        "type": f"io.netmote.alert.{alert.state.value}.v1",
        "subject": f"{document['entity']['kind']}:{document['entity']['name']}",
        "time": rfc3339(alert.resolved_at_ns if is_resolved and alert.resolved_at_ns is not None else alert.last_seen_ns),
        "datacontenttype": "application/json",
        "sensor": document["sensor"],
        "ledgerepoch": document["ledger_epoch"],
        "seq": committed.seq,
        "severity": alert.severity.word,
        "data": document,
    }


def heartbeat_event(beat: Heartbeat) -> dict[str, Any]:
    """A sign of life. Its id is new with each start and beat, so that no receiver takes one for the repetition of another."""
    return {
        "specversion": "1.0",
        "id": f"heartbeat/{beat.started_at_ns}/{beat.number}",
        "source": _source(beat.sensor, beat.ledger_epoch),
        "type": "io.netmote.heartbeat.v1",
        "time": rfc3339(beat.at_ns),
        "datacontenttype": "application/json",
        "sensor": beat.sensor,
        "ledgerepoch": beat.ledger_epoch,
        "data": heartbeat_document(beat),
    }


def _source(sensor: str, ledger_epoch: str) -> str:
    return f"netmote://{quote(sensor, safe='')}/{quote(ledger_epoch, safe='')}"


def encode_event(committed: Committed) -> bytes:
    """One event as JSON, UTF-8, below 64 KiB."""
    return encode(cloud_event(committed))


def join_batch(events: Sequence[bytes]) -> bytes:
    """Encoded events as one body of `BATCH_MEDIA_TYPE`: a JSON array."""
    return b"[" + b",".join(events) + b"]"

"""CloudEvents 1.0 in JSON: the envelope of an alert revision or a heartbeat, and a batch of them. Pure; the wire of every sink
that carries events.

Example of one event (data shortened; an OCSF Detection Finding, see `sinks.ocsf`):

    {"specversion": "1.0", "id": "<alert id>/<revision>", "source": "netmote://branch-7/3f2a...",
     "type": "io.netmote.alert.firing.v1", "subject": "host:192.0.2.7", "time": "2026-11-22T10:00:00.000000Z",
     "datacontenttype": "application/json", "dataschema": "https://schema.ocsf.io/1.8.0/classes/detection_finding",
     "sensor": "branch-7", "ledgerepoch": "3f2a...", "seq": 12, "severity": "critical", "data": {...}}

`source` + `id` is the same in every resend, so a receiver that knows it drops the duplicate; a gap in `seq` within one
`source` is a revision that has not come yet.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from netmote.alerts.alert import Committed
from netmote.sinks.alert_document import encode, rfc3339
from netmote.sinks.announcement import happened_at_ns
from netmote.sinks.heartbeat_document import heartbeat_document
from netmote.sinks.ocsf import DATA_SCHEMA, detection_finding
from netmote.telemetry.heartbeat import Heartbeat

# CloudEvents JSON Event Format 1.0 section 3: one event.
MEDIA_TYPE = "application/cloudevents+json"
# CloudEvents JSON Event Format 1.0 section 4.1.
BATCH_MEDIA_TYPE = "application/cloudevents-batch+json"


def cloud_event(committed: Committed) -> dict[str, Any]:
    """One event. Attribute names are lower-case letters and digits, at most 20 (CloudEvents 1.0, "Naming Conventions")."""
    alert, finding = committed.alert, detection_finding(committed)
    entity = finding["resources"][0]
    return {
        "specversion": "1.0",
        "id": alert.event_id,
        "source": _source(committed.sensor, committed.ledger_epoch),
        "type": f"io.netmote.alert.{alert.state.value}.v1",
        "subject": f"{entity['type']}:{entity['name']}",
        "time": rfc3339(happened_at_ns(committed)),
        "datacontenttype": "application/json",
        "dataschema": DATA_SCHEMA,
        "sensor": finding["device"]["name"],
        "ledgerepoch": finding["unmapped"]["ledger_epoch"],
        "seq": committed.seq,
        "severity": alert.severity.word,
        "data": finding,
    }


def heartbeat_event(beat: Heartbeat) -> dict[str, Any]:
    """A sign of life."""
    document = heartbeat_document(beat)
    return {
        "specversion": "1.0",
        "id": heartbeat_id(beat),
        "source": _source(beat.sensor, beat.ledger_epoch),
        "type": "io.netmote.heartbeat.v1",
        "time": rfc3339(beat.at_ns),
        "datacontenttype": "application/json",
        "sensor": document["sensor"],
        "ledgerepoch": beat.ledger_epoch,
        "data": document,
    }


def heartbeat_id(beat: Heartbeat) -> str:
    """New with each start and beat, so that no receiver takes one for the repetition of another."""
    return f"heartbeat/{beat.started_at_ns}/{beat.number}"


def _source(sensor: str, ledger_epoch: str) -> str:
    # A host name that is no UTF-8 has lone surrogates, which no URI carries.
    return f"netmote://{quote(sensor, safe='', errors='replace')}/{quote(ledger_epoch, safe='', errors='replace')}"


def encode_event(committed: Committed) -> bytes:
    """One event as JSON, UTF-8, below 64 KiB."""
    return encode(cloud_event(committed))


def encode_heartbeat(beat: Heartbeat) -> bytes:
    """One sign of life as JSON, UTF-8."""
    return encode(heartbeat_event(beat))


def join_batch(events: Sequence[bytes]) -> bytes:
    """Encoded events as one body of `BATCH_MEDIA_TYPE`: a JSON array."""
    return b"[" + b",".join(events) + b"]"

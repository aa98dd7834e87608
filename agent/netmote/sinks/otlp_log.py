"""An alert or a heartbeat as an OpenTelemetry log record (logs data model 1.x). Pure: values by the model's names, which a sink puts
into protobuf or JSON.

There is no semantic convention for alerts: the body is the OCSF finding as JSON text, and the attributes are those that conventions
exist for, beside a few under `netmote.` to filter by without opening the body.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from netmote import __version__
from netmote.alerts.alert import Committed
from netmote.scoring.finding import Severity
from netmote.sinks.alert_document import alert_document, encode
from netmote.sinks.announcement import happened_at_ns, priority
from netmote.sinks.heartbeat_document import heartbeat_document
from netmote.sinks.ocsf import detection_finding
from netmote.telemetry.heartbeat import Heartbeat

SCOPE_NAME, SCOPE_VERSION = "netmote.alerts", __version__

# Logs data model, "Mapping of SeverityNumber" for syslog: emergency FATAL, alert ERROR3, critical ERROR2, error ERROR, warning WARN,
# notice INFO2, informational INFO, debug DEBUG.
SEVERITY_NUMBER = {
    Severity.EMERGENCY: 21,
    Severity.ALERT: 19,
    Severity.CRITICAL: 18,
    Severity.ERROR: 17,
    Severity.WARNING: 13,
    Severity.NOTICE: 10,
    Severity.INFORMATIONAL: 9,
    Severity.DEBUG: 5,
}


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One LogRecord of the data model. Times are nanoseconds since 1970, UTC."""

    time_unix_nano: int
    observed_time_unix_nano: int
    severity_number: int
    severity_text: str
    event_name: str
    body: str
    attributes: Mapping[str, str | bool | int | float]


def resource_attributes(sensor: str, ledger_epoch: str) -> dict[str, str]:
    """Who says it: attributes of the Resource that the records of one sensor share."""
    return {
        "service.name": "netmote",
        "service.version": __version__,
        "service.instance.id": sensor.encode("utf-8", "replace").decode(),
        "netmote.ledger_epoch": ledger_epoch,
    }


def alert_record(committed: Committed) -> LogRecord:
    """One revision; `event.id` is the same in every resend."""
    alert, document = committed.alert, alert_document(committed)
    attributes: dict[str, str | bool | int | float] = {
        "event.id": alert.event_id,
        "netmote.alert_id": alert.alert_id,
        "netmote.seq": committed.seq,
        "netmote.entity": f"{document['entity']['kind']}:{document['entity']['name']}",
        "netmote.rule": document["group"],
    }
    if document["is_clock_synchronised"] is not None:
        attributes["netmote.is_clock_synchronised"] = document["is_clock_synchronised"]
    for flow in document["evidence"]["top_flows"][:1]:
        attributes |= {
            "source.address": flow["source_address"],
            "source.port": flow["source_transport_port"],
            "destination.address": flow["destination_address"],
            "destination.port": flow["destination_transport_port"],
        }
    said = priority(committed)
    return LogRecord(
        time_unix_nano=happened_at_ns(committed),
        observed_time_unix_nano=committed.committed_at_ns,
        severity_number=SEVERITY_NUMBER[said],
        severity_text=said.word,
        event_name=f"io.netmote.alert.{alert.state.value}",
        body=encode(detection_finding(committed)).decode(),
        attributes=attributes,
    )


def heartbeat_record(beat: Heartbeat) -> LogRecord:
    """One sign of life, of severity debug, because nothing has happened."""
    return LogRecord(
        time_unix_nano=beat.at_ns,
        observed_time_unix_nano=beat.at_ns,
        severity_number=SEVERITY_NUMBER[Severity.DEBUG],
        severity_text=Severity.DEBUG.word,
        event_name="io.netmote.heartbeat",
        body=encode(heartbeat_document(beat)).decode(),
        attributes={"netmote.last_seq": beat.last_seq, "netmote.level": beat.level.value},
    )

"""An alert or a heartbeat as one RFC 5424 message, its fields as structured data. Pure: bytes without framing, which is the transport's.

    <130>1 2026-11-22T10:00:00.000000Z branch-7 netmote - firing [origin software="netmote" ...]
    [timeQuality tzKnown="1" isSynced="1"][alert@32473 id="..." entity="host:192.0.2.7" ...] firing: 192.0.2.7 tried 412 ports ... [host:192.0.2.7]

HOSTNAME is the sensor, MSGID the state. netmote has no enterprise number of its own: 32473 is the one that IANA keeps for examples
(RFC 5612), and a user with a number of his own sets it.
"""

from collections.abc import Mapping

from netmote import __version__
from netmote.alerts.alert import Committed
from netmote.scoring.finding import Severity
from netmote.sinks.alert_document import alert_document, rfc3339
from netmote.sinks.announcement import happened_at_ns, headline, priority
from netmote.sinks.heartbeat_document import heartbeat_document
from netmote.telemetry.heartbeat import Heartbeat

EXAMPLE_ENTERPRISE = 32473
LOCAL0 = 16  # RFC 5424 section 6.2.1

_MAX_HOSTNAME = 255  # section 6.2.4
_MAX_VALUE = 256  # characters of one parameter: everything together stays below the 8 kB that receivers commonly take
_BYTE_ORDER_MARK = "\ufeff"


def alert_message(committed: Committed, *, facility: int = LOCAL0, enterprise: int = EXAMPLE_ENTERPRISE) -> bytes:
    """One revision, at most 8,192 bytes."""
    alert, document = committed.alert, alert_document(committed)
    parameters = {
        "id": alert.event_id,
        "alert": alert.alert_id,
        "revision": alert.revision,
        "fingerprint": alert.fingerprint,
        "state": alert.state.value,
        "severity": alert.severity.word,
        "rule": document["group"],
        "detector": document["detector"],
        "entity": f"{document['entity']['kind']}:{document['entity']['name']}",
        "technique": document["technique"],
        "score": document["score"],
        "count": alert.count,
        "started": document["started_at"],
        "lastSeen": document["last_seen_at"],
        "resolved": document["resolved_at"],
        "epoch": document["ledger_epoch"],
        "seq": committed.seq,
    }
    for flow in document["evidence"]["top_flows"][:1]:
        parameters |= {
            "src": flow["source_address"],
            "srcPort": flow["source_transport_port"],
            "dst": flow["destination_address"],
            "dstPort": flow["destination_transport_port"],
            "protocol": flow["protocol_identifier"],
        }
    return _message(
        pri=facility * 8 + int(priority(committed)),
        timestamp=rfc3339(happened_at_ns(committed)),
        sensor=document["sensor"],
        kind=alert.state.value,
        enterprise=enterprise,
        is_clock_synchronised=document["is_clock_synchronised"],
        element=_element(f"alert@{enterprise}", parameters),
        text=headline(committed),
    )


def heartbeat_message(beat: Heartbeat, *, facility: int = LOCAL0, enterprise: int = EXAMPLE_ENTERPRISE) -> bytes:
    """One sign of life, of severity debug, because nothing has happened."""
    document = heartbeat_document(beat)
    parameters = {
        "number": beat.number,
        "interval": beat.interval_seconds,
        "level": document["level"],
        "reasons": "; ".join(reason["text"] for reason in document["reasons"]) or None,
        "started": document["started_at"],
        "epoch": beat.ledger_epoch,
        "lastSeq": document["last_seq"],
        "settledSeq": document["settled_seq"],
        "queued": document["queued"],
        "config": document["config_hash"],
        "rules": document["rules_hash"],
        "clockOffset": document["clock"]["offset_seconds"],
    }
    return _message(
        pri=facility * 8 + int(Severity.DEBUG),
        timestamp=document["at"],
        sensor=beat.sensor,
        kind="heartbeat",
        enterprise=enterprise,
        is_clock_synchronised=document["clock"]["is_synchronised"],
        element=_element(f"heartbeat@{enterprise}", parameters),
        text=f"heartbeat {beat.number}: level {document['level']}, last alert number {beat.last_seq}",
    )


def _message(
    *,
    pri: int,
    timestamp: str,
    sensor: str,
    kind: str,
    enterprise: int,
    is_clock_synchronised: bool | None,
    element: str,
    text: str,
) -> bytes:
    # Section 6.2.4: HOSTNAME is printable ASCII without blanks; "-" (NILVALUE) when there is none.
    hostname = "".join(c if "!" <= c <= "~" else "-" for c in sensor[:_MAX_HOSTNAME]) or "-"
    # Section 7: who says it, and whether its clock can be believed. Times are UTC, so the zone is known.
    origin = _element("origin", {"software": "netmote", "swVersion": __version__, "enterpriseId": enterprise})
    synced = None if is_clock_synchronised is None else int(is_clock_synchronised)
    quality = _element("timeQuality", {"tzKnown": 1, "isSynced": synced})
    # Section 6.4: text in UTF-8 begins with the mark; ASCII needs none.
    mark = "" if text.isascii() else _BYTE_ORDER_MARK
    data = f"{origin}{quality}{element}"
    return f"<{pri}>1 {timestamp} {hostname} netmote - {kind} {data} {mark}{text}".encode("utf-8", "replace")


def _element(name: str, parameters: Mapping[str, object]) -> str:
    """Section 6.3: an SD-ELEMENT of the parameters that are known."""
    known = (f' {key}="{_value(value)}"' for key, value in parameters.items() if value is not None)
    return f"[{name}{''.join(known)}]"


def _value(value: object) -> str:
    """Section 6.3.3: quotation mark, backslash and closing bracket are escaped. Line breaks would end a line of framing by newline."""
    text = str(value)
    cut = text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"
    printable = "".join(c if c.isprintable() else " " for c in cut)
    return printable.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")

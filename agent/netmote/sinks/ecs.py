"""An alert as an event of the Elastic Common Schema. Pure.

Field names and types are those of ECS 8.11 (nested, as Elasticsearch takes them); what ECS has no field for stands under `netmote`,
where the schema's rules for custom fields want it: below the name of its producer.
"""

from typing import Any

from netmote import __version__
from netmote.alerts.alert import AlertState, Committed
from netmote.records.entity import EntityKind
from netmote.sinks.alert_document import alert_document, encode, rfc3339
from netmote.sinks.announcement import happened_at_ns, headline

ECS_VERSION = "8.11.0"

_TRANSPORTS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}  # network.transport: the IANA keyword in lower case


def ecs_document(committed: Committed) -> dict[str, Any]:
    """The event: plain JSON values, UTF-8 encodable, below 64 KiB."""
    alert, document = committed.alert, alert_document(committed)
    is_resolved = alert.state is AlertState.RESOLVED
    found: dict[str, Any] = {
        "@timestamp": rfc3339(happened_at_ns(committed)),
        "ecs": {"version": ECS_VERSION},
        "message": headline(committed),
        "event": {
            "id": alert.event_id,
            "kind": "alert",
            "category": ["network", "intrusion_detection"],
            "type": ["info", "end"] if is_resolved else ["info", "start"] if alert.revision == 1 else ["info"],
            "action": alert.state.value,
            "module": "netmote",
            "dataset": "netmote.alert",
            "provider": document["detector"],
            "created": document["committed_at"],
            "start": document["started_at"],
            "end": document["resolved_at"] or document["last_seen_at"],
            "severity": document["severity_id"],
            "sequence": committed.seq,
        },
        "log": {"level": alert.severity.word},
        "rule": {"id": document["group"], "name": document["title"]},
        "observer": {
            "name": document["sensor"],
            "type": "sensor",
            "vendor": "netmote",
            "product": "netmote",
            "version": __version__,
        },
        **_endpoints(document),
        "labels": document["labels"],
        "netmote": _custom(document),
    }
    if document["technique"] is not None:
        found["threat"] = {"framework": "MITRE ATT&CK", "technique": {"id": [document["technique"]]}}
    if alert.entity.kind is EntityKind.HOST:
        found["related"] = {"ip": [document["entity"]["name"]]}
    return found


def encode_ecs(committed: Committed) -> bytes:
    """The event as one line of JSON without its newline, UTF-8."""
    return encode(ecs_document(committed))


def _endpoints(document: dict[str, Any]) -> dict[str, Any]:
    """Source, destination and transport of the largest flow behind the alert."""
    if not document["evidence"]["top_flows"]:
        return {}
    flow = document["evidence"]["top_flows"][0]
    protocol = flow["protocol_identifier"]
    network = {"iana_number": str(protocol), "bytes": flow["octets"], "packets": flow["packets"]}
    if protocol in _TRANSPORTS:
        network["transport"] = _TRANSPORTS[protocol]
    return {
        "source": {"ip": flow["source_address"], "port": flow["source_transport_port"]},
        "destination": {"ip": flow["destination_address"], "port": flow["destination_transport_port"]},
        "network": network,
    }


def _custom(document: dict[str, Any]) -> dict[str, Any]:
    names = ("fingerprint", "revision", "entity", "score", "surprise", "count", "check", "window", "quality", "contributors")
    origin = ("alert_id", "ledger_epoch", "is_clock_synchronised", "omitted")
    return {name: document[name] for name in (*names, *origin)}

"""An alert as Suricata's EVE `alert` event, the JSON that most security tools read unchanged. Pure.

Members and types are those of etc/schema.json of OISF/suricata, which knows no others; flat as Suricata's own, without arrays of
objects, which some readers refuse. Suricata has no word for the life of an alert: its state and its ids stand as `name:value` under
`alert.metadata.tag`. What is not known is left out, never made up.
"""

import hashlib
import ipaddress
from typing import Any

from netmote.alerts.alert import Committed
from netmote.records.entity import EntityKind
from netmote.sinks.alert_document import alert_document, encode, rfc3339
from netmote.sinks.announcement import happened_at_ns
from netmote.sinks.ocsf import SEVERITY_ID

# Suricata's user guide, "Rules Format": 1 is the generator of text rules; ids 1000000-1999999 are for local use.
_GENERATOR, _FIRST_LOCAL_ID, _LOCAL_IDS = 1, 1_000_000, 1_000_000
# Suricata's classification.config: 1 is the gravest. By OCSF's severity_id.
_PRIORITY = {6: 1, 5: 1, 4: 1, 3: 2, 2: 3, 1: 4}
_TRANSPORTS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "IPv6-ICMP", 132: "SCTP"}
_WITH_PORTS = (6, 17, 132)


def eve_alert(committed: Committed) -> dict[str, Any]:
    """The event: plain JSON values, UTF-8 encodable, below 64 KiB."""
    alert, document = committed.alert, alert_document(committed)
    tags = {
        "netmote_event_id": alert.event_id,
        "netmote_alert_id": alert.alert_id,
        "netmote_state": alert.state.value,
        "netmote_seq": committed.seq,
        "netmote_ledger_epoch": document["ledger_epoch"],
        "netmote_entity": f"{document['entity']['kind']}:{document['entity']['name']}",
        "netmote_detector": document["detector"],
        "netmote_count": alert.count,
        "netmote_is_clock_synchronised": document["is_clock_synchronised"],
        "mitre_technique_id": document["technique"],
    }
    return {
        # Suricata's own form: microseconds and an offset without a colon.
        "timestamp": rfc3339(happened_at_ns(committed)).replace("Z", "+0000"),
        "event_type": "alert",
        "host": document["sensor"],
        **_endpoints(committed, document),
        "alert": {
            "action": "allowed",
            "gid": _GENERATOR,
            "signature_id": signature_id(alert.group),
            "rev": 1,
            "signature": document["title"],
            "category": document["group"],
            "severity": _PRIORITY[SEVERITY_ID[alert.severity]],
            "metadata": {
                "signature_severity": [alert.severity.word],
                "tag": [f"{name}:{value}" for name, value in tags.items() if value is not None],
            },
        },
    }


def encode_eve_alert(committed: Committed) -> bytes:
    """The event as one line of JSON without its newline, UTF-8."""
    return encode(eve_alert(committed))


def signature_id(group: str) -> int:
    """The same number for a rule or group for ever, out of the ids for local use."""
    digest = hashlib.sha256(group.encode("utf-8", "replace")).digest()
    return _FIRST_LOCAL_ID + int.from_bytes(digest[:8], "big") % _LOCAL_IDS


def _endpoints(committed: Committed, document: dict[str, Any]) -> dict[str, Any]:
    """The largest flow behind the alert; without one, the host it is about as source."""
    if not document["evidence"]["top_flows"]:
        entity = committed.alert.entity
        return {"src_ip": _spelt_out(entity.name)} if entity.kind is EntityKind.HOST else {}
    flow = document["evidence"]["top_flows"][0]
    protocol = flow["protocol_identifier"]
    found = {"src_ip": _spelt_out(flow["source_address"]), "dest_ip": _spelt_out(flow["destination_address"])}
    if protocol in _WITH_PORTS:
        found |= {"src_port": flow["source_transport_port"], "dest_port": flow["destination_transport_port"]}
    return {**found, "proto": _TRANSPORTS.get(protocol, f"{protocol:03d}")}


def _spelt_out(address: str) -> str:
    """Suricata shortens no IPv6 address."""
    try:
        return ipaddress.ip_address(address).exploded
    except ValueError:
        return address

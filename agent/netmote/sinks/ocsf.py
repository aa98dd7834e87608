"""An alert as a Detection Finding (class 2004) of the Open Cybersecurity Schema Framework. Pure; the `data` of every CloudEvent.

Names, numbers and units are those of OCSF 1.8 (times in milliseconds since 1970). Captions (`severity` beside `severity_id`) are left
out, as the schema lets them follow from the numbers. What OCSF has no place for stands under `unmapped`, in the words of
`sinks.alert_document`; nothing stands in both.

    episode of the alert     finding_info.uid          number within the ledger  metadata.sequence
    this revision of it      metadata.uid              rule or group             finding_info.analytic.uid
    sensor                   device.name               what it is about          resources[0]
    flows behind it          evidences                 what to look at           remediation.desc
"""

import ipaddress
from typing import Any

from netmote import __version__
from netmote.alerts.alert import AlertState, Committed
from netmote.records.entity import EntityKind
from netmote.scoring.finding import Severity
from netmote.sinks.alert_document import alert_document
from netmote.sinks.announcement import happened_at_ns, headline

OCSF_VERSION = "1.8.0"
DATA_SCHEMA = f"https://schema.ocsf.io/{OCSF_VERSION}/classes/detection_finding"

_CATEGORY, _CLASS = 2, 2004  # Findings, Detection Finding
_CREATE, _UPDATE, _CLOSE = 1, 2, 3  # activity_id
_NEW, _SUPPRESSED, _RESOLVED = 1, 3, 4  # status_id
_RULE, _LEARNING = 1, 4  # finding_info.analytic.type_id
_OTHER_DEVICE = 99  # device.type_id: the schema knows no sensor
_UNKNOWN_DIRECTION = 0  # connection_info.direction_id
_IP_ADDRESS = 2  # observables.type_id

# severity_id: 1 informational, 2 low, 3 medium, 4 high, 5 critical, 6 fatal.
SEVERITY_ID = {
    Severity.EMERGENCY: 6,
    Severity.ALERT: 5,
    Severity.CRITICAL: 5,
    Severity.ERROR: 4,
    Severity.WARNING: 3,
    Severity.NOTICE: 2,
    Severity.INFORMATIONAL: 1,
    Severity.DEBUG: 1,
}


def detection_finding(committed: Committed) -> dict[str, Any]:
    """The finding: plain JSON values, UTF-8 encodable, about as bounded as the alert document it is made of."""
    alert, document = committed.alert, alert_document(committed)
    activity = _CLOSE if alert.state is AlertState.RESOLVED else _CREATE if alert.revision == 1 else _UPDATE
    finding: dict[str, Any] = {
        "category_uid": _CATEGORY,
        "class_uid": _CLASS,
        "activity_id": activity,
        "type_uid": _CLASS * 100 + activity,
        "severity_id": SEVERITY_ID[alert.severity],
        "status_id": _RESOLVED if activity == _CLOSE else _SUPPRESSED if alert.is_silenced else _NEW,
        "is_alert": True,
        "time": _milliseconds(happened_at_ns(committed)),
        "start_time": _milliseconds(alert.started_at_ns),
        "end_time": _milliseconds(happened_at_ns(committed)),
        "count": alert.count,
        "message": headline(committed),
        "metadata": {
            "version": OCSF_VERSION,
            "uid": alert.event_id,
            "sequence": committed.seq,
            "logged_time": _milliseconds(committed.committed_at_ns),
            "product": {"name": "netmote", "vendor_name": "netmote", "version": __version__},
        },
        "finding_info": _finding_info(committed, document),
        "device": {"name": document["sensor"], "type_id": _OTHER_DEVICE, "type": "Network sensor"},
        "resources": [{"type": document["entity"]["kind"], "name": document["entity"]["name"]}],
        "unmapped": _unmapped(document),
    }
    if document["check"]:
        finding["remediation"] = {"desc": document["check"]}
    if document["evidence"]["top_flows"]:
        finding["evidences"] = [_evidence(flow) for flow in document["evidence"]["top_flows"]]
    if alert.entity.kind is EntityKind.HOST and _is_address(alert.entity.name):
        finding["observables"] = [{"type_id": _IP_ADDRESS, "name": "resources.name", "value": alert.entity.name}]
    return finding


def _finding_info(committed: Committed, document: dict[str, Any]) -> dict[str, Any]:
    alert = committed.alert
    info: dict[str, Any] = {
        "uid": alert.alert_id,
        "title": document["title"],
        "created_time": _milliseconds(alert.fired_at_ns),
        "first_seen_time": _milliseconds(alert.started_at_ns),
        "last_seen_time": _milliseconds(alert.last_seen_ns),
        "analytic": {
            "type_id": _RULE if alert.detector == "rule" else _LEARNING,
            "uid": document["group"],
            "name": document["detector"],
        },
    }
    if document["technique"] is not None:
        info["attacks"] = [{"technique": {"uid": document["technique"]}}]
    return info


def _evidence(flow: dict[str, Any]) -> dict[str, Any]:
    return {
        "src_endpoint": {"ip": flow["source_address"], "port": flow["source_transport_port"]},
        "dst_endpoint": {"ip": flow["destination_address"], "port": flow["destination_transport_port"]},
        "connection_info": {"direction_id": _UNKNOWN_DIRECTION, "protocol_num": flow["protocol_identifier"]},
        "data": {name: flow[name] for name in ("octets", "packets", "flow_slices")},
    }


def _unmapped(document: dict[str, Any]) -> dict[str, Any]:
    names = ("revision", "fingerprint", "severity", "score", "surprise", "window", "quality", "contributors", "labels")
    evidence = {name: document["evidence"][name] for name in ("top_peers", "top_ports")}
    return {
        **{name: document[name] for name in names},
        "evidence": evidence,
        "ledger_epoch": document["ledger_epoch"],
        "is_clock_synchronised": document["is_clock_synchronised"],
        "omitted": document["omitted"],
    }


def _milliseconds(time_ns: int) -> int:
    return time_ns // 1_000_000


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True

"""The canonical JSON of an alert: what the ledger stores and every sink starts from.

Keys sorted, no blanks, ASCII only (so that any byte path carries it and a lone surrogate of a device's name survives),
every field present. Times stay integer nanoseconds. A number JSON has not (RFC 8259 section 6: NaN and the infinities)
is written as the string "NaN", "Infinity" or "-Infinity". Decoding ignores keys it does not know and fills those that
are absent from the defaults of `Alert`, so ledgers outlive versions in both directions.
"""

import json
import math
from collections.abc import Mapping
from operator import index
from types import MappingProxyType
from typing import Any

from netmote.alerts.alert import Alert, AlertState
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Contributor, Severity
from netmote.windows.vector import FlowEvidence, Quality, WindowEvidence

ENCODING_VERSION = 1

_FLOW_EVIDENCE = (
    "source_address",
    "source_transport_port",
    "destination_address",
    "destination_transport_port",
    "protocol_identifier",
    "octets",
    "packets",
    "slices",
)


def encode_alert(alert: Alert) -> bytes:
    """Canonical bytes of one revision: equal alerts give equal bytes."""
    text = json.dumps(to_document(alert), sort_keys=True, separators=(",", ":"), allow_nan=False, default=index)
    return text.encode("ascii")


def decode_alert(body: bytes) -> Alert:
    """Inverse of `encode_alert`. Raises ValueError when it is no alert of a version we understand."""
    try:
        return from_document(json.loads(body))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an encoded alert: {type(error).__name__} {error}") from error


def _number(value: float | None) -> float | str | None:
    if value is None:
        return None
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def to_document(alert: Alert) -> dict[str, Any]:
    """The alert as JSON values, every field present."""
    return {
        "encoding_version": ENCODING_VERSION,
        "alert_id": alert.alert_id,
        "revision": alert.revision,
        "fingerprint": alert.fingerprint,
        "state": alert.state.value,
        "group": alert.group,
        "detector": alert.detector,
        "entity": {"kind": alert.entity.kind.value, "name": alert.entity.name},
        "severity": alert.severity.word,
        "title": alert.title,
        "score": _number(alert.score),
        "surprise": _number(alert.surprise),
        "started_at_ns": alert.started_at_ns,
        "fired_at_ns": alert.fired_at_ns,
        "last_seen_ns": alert.last_seen_ns,
        "resolved_at_ns": alert.resolved_at_ns,
        "count": alert.count,
        "window_start_ns": alert.window_start_ns,
        "window_end_ns": alert.window_end_ns,
        "contributors": [
            {
                "feature": each.feature,
                "unit": each.unit,
                "value": _number(each.value),
                "baseline": _number(each.baseline),
                "sigma": _number(each.sigma),
                "threshold": _number(each.threshold),
            }
            for each in alert.contributors
        ],
        "technique": alert.technique,
        "check": alert.check,
        "quality": int(alert.quality),
        "coverage": _number(alert.coverage),
        "loss_ratio": _number(alert.loss_ratio),
        "evidence": {
            "top_flows": [{name: getattr(flow, name) for name in _FLOW_EVIDENCE} for flow in alert.evidence.top_flows],
            "top_peers": [list(pair) for pair in alert.evidence.top_peers],
            "top_ports": [list(pair) for pair in alert.evidence.top_ports],
        },
        "labels": dict(alert.labels),
        "is_silenced": alert.is_silenced,
    }


def _contributor(document: Mapping[str, Any]) -> Contributor:
    def optional(key: str) -> float | None:
        value = document.get(key)
        return None if value is None else float(value)

    return Contributor(
        feature=document["feature"],
        unit=document["unit"],
        value=float(document["value"]),
        baseline=optional("baseline"),
        sigma=optional("sigma"),
        threshold=optional("threshold"),
    )


def _evidence(document: Mapping[str, Any]) -> WindowEvidence:
    return WindowEvidence(
        top_flows=tuple(FlowEvidence(**{name: flow[name] for name in _FLOW_EVIDENCE}) for flow in document.get("top_flows", ())),
        top_peers=tuple((address, slices) for address, slices in document.get("top_peers", ())),
        top_ports=tuple((port, slices) for port, slices in document.get("top_ports", ())),
    )


def from_document(document: Mapping[str, Any]) -> Alert:
    """Inverse of `to_document`. Raises ValueError, KeyError or TypeError when it is no such document."""
    version = document["encoding_version"]
    if version != ENCODING_VERSION:
        raise ValueError(f"alert encoding version {version!r} is not understood; this version reads {ENCODING_VERSION}")
    return Alert(
        alert_id=document["alert_id"],
        revision=document["revision"],
        fingerprint=document["fingerprint"],
        state=AlertState(document["state"]),
        group=document["group"],
        detector=document["detector"],
        entity=Entity(EntityKind(document["entity"]["kind"]), document["entity"]["name"]),
        severity=Severity.of(document["severity"]),
        title=document["title"],
        score=float(document["score"]),
        surprise=float(document["surprise"]),
        started_at_ns=document["started_at_ns"],
        fired_at_ns=document["fired_at_ns"],
        last_seen_ns=document["last_seen_ns"],
        resolved_at_ns=document["resolved_at_ns"],
        count=document["count"],
        window_start_ns=document["window_start_ns"],
        window_end_ns=document["window_end_ns"],
        contributors=tuple(_contributor(each) for each in document["contributors"]),
        technique=document.get("technique"),
        check=document.get("check", ""),
        quality=Quality(document.get("quality", 0)),
        coverage=float(document.get("coverage", 1.0)),
        loss_ratio=float(document.get("loss_ratio", 0.0)),
        evidence=_evidence(document.get("evidence", {})),
        labels=MappingProxyType(dict(document.get("labels", {}))),
        is_silenced=document.get("is_silenced", False),
    )

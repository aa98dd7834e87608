"""An alert as a bounded JSON document in netmote's own words. Pure; what every format of the sinks is made of.

The command line and the status page show it as it is, because those are the words of the rules, the silences and the documentation.
Upstream gets it in a standard's words (`sinks.ocsf` and its neighbours), each of which takes its fields from here: what is cut, and
how a text or a number is made fit for JSON, is decided once.

Version 1. Instants are RFC 3339 in UTC with microseconds; `_octets`, `_packets` and `_slices` say their unit, and each contributor
names its own. `score` is 1 - p (0 to 1, high is anomalous), `surprise` is -log10 p. What is not known is null.

    schema_version, alert_id, revision, fingerprint, state, severity (word), severity_id (RFC 5424), title, check, technique,
    group, detector, entity {kind, name}, score, surprise, count, started_at, fired_at, last_seen_at, resolved_at,
    window {start, end}, quality {flags, coverage, loss_ratio},
    contributors [{feature, unit, value, baseline, sigma, threshold}],
    evidence {top_flows [...], top_peers [{address, flow_slices}], top_ports [{responder_port, flow_slices}]},
    labels, is_silenced, sensor, ledger_epoch, seq, committed_at, is_clock_synchronised,
    omitted [what was cut to keep the document small]
"""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from netmote.alerts.alert import Committed
from netmote.windows.vector import Quality

SCHEMA_VERSION = 1

# CloudEvents 1.0 section "Size Limits": 64 KiB pass everywhere. The envelope and the standard's own words take the rest.
MAX_DOCUMENT_BYTES = 56_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_TEXT, _MAX_NAME = 1_024, 256
_MAX_EVIDENCE, _MAX_CONTRIBUTORS, _MAX_LABELS = 20, 64, 32
_FEW = 8


def rfc3339(time_ns: int) -> str:
    """An instant as RFC 3339 section 5.6, UTC, microseconds."""
    instant = _EPOCH + timedelta(microseconds=time_ns // 1_000)
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if instant.year >= 1000 else instant.isoformat().replace("+00:00", "Z")


def alert_document(committed: Committed) -> dict[str, Any]:
    """The document: plain JSON values, UTF-8 encodable, at most `MAX_DOCUMENT_BYTES` long once encoded."""
    alert = committed.alert
    omitted: list[str] = []
    document = {
        "schema_version": SCHEMA_VERSION,
        "alert_id": alert.alert_id,
        "revision": alert.revision,
        "fingerprint": alert.fingerprint,
        "state": alert.state.value,
        "severity": alert.severity.word,
        "severity_id": int(alert.severity),
        "title": bounded_text(alert.title, _MAX_TEXT),
        "check": bounded_text(alert.check, _MAX_TEXT),
        "technique": None if alert.technique is None else bounded_text(alert.technique),
        "group": bounded_text(alert.group),
        "detector": bounded_text(alert.detector),
        "entity": {"kind": alert.entity.kind.value, "name": bounded_text(alert.entity.name)},
        "score": _number(alert.score),
        "surprise": _number(alert.surprise),
        "count": alert.count,
        "started_at": rfc3339(alert.started_at_ns),
        "fired_at": rfc3339(alert.fired_at_ns),
        "last_seen_at": rfc3339(alert.last_seen_ns),
        "resolved_at": None if alert.resolved_at_ns is None else rfc3339(alert.resolved_at_ns),
        "window": {"start": rfc3339(alert.window_start_ns), "end": rfc3339(alert.window_end_ns)},
        "quality": {
            "flags": [flag.name.lower() for flag in Quality if flag in alert.quality and flag.name],
            "coverage": _number(alert.coverage),
            "loss_ratio": _number(alert.loss_ratio),
        },
        "contributors": [
            {
                "feature": bounded_text(contributor.feature),
                "unit": bounded_text(contributor.unit),
                "value": _number(contributor.value),
                "baseline": _number(contributor.baseline),
                "sigma": _number(contributor.sigma),
                "threshold": _number(contributor.threshold),
            }
            for contributor in alert.contributors[:_MAX_CONTRIBUTORS]
        ],
        "evidence": _evidence(committed),
        "labels": {bounded_text(key): bounded_text(alert.labels[key]) for key in sorted(alert.labels)[:_MAX_LABELS]},
        "is_silenced": alert.is_silenced,
        "sensor": bounded_text(committed.sensor),
        "ledger_epoch": bounded_text(committed.ledger_epoch),
        "seq": committed.seq,
        "committed_at": rfc3339(committed.committed_at_ns),
        "is_clock_synchronised": committed.is_clock_synchronised,
        "omitted": omitted,
    }
    for name, count, kept in (
        ("contributors", len(alert.contributors), _MAX_CONTRIBUTORS),
        ("evidence.top_flows", len(alert.evidence.top_flows), _MAX_EVIDENCE),
        ("evidence.top_peers", len(alert.evidence.top_peers), _MAX_EVIDENCE),
        ("evidence.top_ports", len(alert.evidence.top_ports), _MAX_EVIDENCE),
        ("labels", len(alert.labels), _MAX_LABELS),
    ):
        if count > kept:
            omitted.append(name)
    return _fitted(document, omitted)


def encode(document: Any) -> bytes:
    """Compact JSON in UTF-8 (RFC 8259); what UTF-8 cannot carry is a question mark."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def _evidence(committed: Committed) -> dict[str, Any]:
    evidence = committed.alert.evidence
    return {
        "top_flows": [
            {
                "source_address": bounded_text(flow.source_address),
                "source_transport_port": flow.source_transport_port,
                "destination_address": bounded_text(flow.destination_address),
                "destination_transport_port": flow.destination_transport_port,
                "protocol_identifier": flow.protocol_identifier,
                "octets": flow.octets,
                "packets": flow.packets,
                "flow_slices": flow.slices,
            }
            for flow in evidence.top_flows[:_MAX_EVIDENCE]
        ],
        "top_peers": [{"address": bounded_text(a), "flow_slices": n} for a, n in evidence.top_peers[:_MAX_EVIDENCE]],
        "top_ports": [{"responder_port": p, "flow_slices": n} for p, n in evidence.top_ports[:_MAX_EVIDENCE]],
    }


def bounded_text(value: str, limit: int = _MAX_NAME) -> str:
    """At most `limit` characters that UTF-8 can carry: a device may name its ports with anything."""
    cut = value if len(value) <= limit else value[: limit - 1] + "…"
    return cut.encode("utf-8", "replace").decode()


def _number(value: float | None) -> float | None:
    """A number JSON can carry; RFC 8259 section 6 has neither infinities nor NaN."""
    return None if value is None or not math.isfinite(value) else float(value)


def _fitted(document: dict[str, Any], omitted: list[str]) -> dict[str, Any]:
    """Cut the least telling parts first until it fits. What is left at the end is bounded by the limits above."""
    evidence = document["evidence"]
    cuts: tuple[tuple[str, Callable[[], object]], ...] = (
        ("evidence.top_flows", lambda: evidence.update(top_flows=evidence["top_flows"][:_FEW])),
        ("evidence.top_flows", lambda: evidence.update(top_flows=[])),
        ("contributors", lambda: document.update(contributors=document["contributors"][:_FEW])),
        ("evidence.top_peers", lambda: evidence.update(top_peers=[])),
        ("labels", lambda: document.update(labels=dict(list(document["labels"].items())[:_FEW]))),
        ("labels", lambda: document.update(labels={})),
    )
    for name, cut in cuts:
        if len(encode(document)) <= MAX_DOCUMENT_BYTES:
            break
        cut()
        if name not in omitted:
            omitted.append(name)
    return document

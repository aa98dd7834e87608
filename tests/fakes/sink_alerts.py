"""Alerts as the ledger hands them to sinks: complete ones, built by number."""

from netmote.alerts.alert import Alert, AlertState, Committed
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Contributor, Severity
from netmote.windows.vector import FlowEvidence, Quality, WindowEvidence

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def committed_alert(number: int = 1, **changes: object) -> Committed:
    """Revision 1 of alert `number`; `changes` replace fields of the alert."""
    fields: dict[str, object] = {
        "alert_id": f"00000000-0000-5000-8000-{number:012d}",
        "revision": 1,
        "fingerprint": f"{number:032x}",
        "state": AlertState.FIRING,
        "group": "port_scan",
        "detector": "rule",
        "entity": Entity(EntityKind.HOST, "192.0.2.7"),
        "severity": Severity.CRITICAL,
        "title": "192.0.2.7 tried 412 ports of 192.0.2.1 within 60 s",
        "score": 0.9999,
        "surprise": 4.0,
        "started_at_ns": START,
        "fired_at_ns": START + 10 * SECOND,
        "last_seen_ns": START + 20 * SECOND,
        "resolved_at_ns": None,
        "count": 2,
        "window_start_ns": START - 40 * SECOND,
        "window_end_ns": START + 20 * SECOND,
        "contributors": (
            Contributor("max_ports_per_dst", "1", 412.0, baseline=3.0, sigma=38.5, threshold=100.0),
            Contributor("syn_ps", "1/s", 20.5, baseline=0.4, sigma=12.0),
            Contributor("noanswer_ratio", "1", 0.93, baseline=0.05, sigma=9.1),
        ),
        "technique": "T1046",
        "check": "Ask whose machine this is, and whether a scan was planned.",
        "quality": Quality.GOOD,
        "evidence": WindowEvidence(
            top_flows=(FlowEvidence("192.0.2.7", 40_000, "192.0.2.1", 443, 6, 240, 4, 1),),
            top_peers=(("192.0.2.1", 412), ("192.0.2.9", 3)),
            top_ports=((443, 4), (22, 4), (3389, 2)),
        ),
    }
    alert = Alert(**{**fields, **changes})  # type: ignore[arg-type]
    return Committed("branch-7", "3f2a9c", number, START + 21 * SECOND, alert)

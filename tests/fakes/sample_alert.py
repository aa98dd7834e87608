"""Alerts to store and deliver."""

from netmote.alerts.alert import Alert, AlertState
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Contributor, Severity


def sample_alert(
    number: int = 1, *, revision: int = 1, state: AlertState = AlertState.FIRING, is_silenced: bool = False
) -> Alert:
    """One revision; `number` tells alerts apart."""
    start = 1_700_000_000_000_000_000 + number * 10_000_000_000
    return Alert(
        alert_id=f"00000000-0000-5000-8000-{number:012d}",
        revision=revision,
        fingerprint=f"{number:032x}",
        state=state,
        group="port_scan_vertical",
        detector="rule",
        entity=Entity(EntityKind.HOST, "192.0.2.7"),
        severity=Severity.WARNING,
        title="192.0.2.7 tried 480 ports of one host",
        score=0.999999,
        surprise=6.0,
        started_at_ns=start,
        fired_at_ns=start,
        last_seen_ns=start + 10_000_000_000,
        resolved_at_ns=start + 20_000_000_000 if state is AlertState.RESOLVED else None,
        count=revision,
        window_start_ns=start - 60_000_000_000,
        window_end_ns=start,
        contributors=(Contributor("max_ports_per_dst", "1", 480.0, 2.0, 40.0, 20.0),),
        technique="T1046",
        is_silenced=is_silenced,
    )

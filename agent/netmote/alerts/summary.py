"""The line of an alert in a list, as the status page, `netmote status`, `top` and reports show it. Pure."""

from netmote.alerts.alert import Alert
from netmote.telemetry.snapshot import AlertSummary


def summary_of(alert: Alert) -> AlertSummary:
    """What is known of it at a glance."""
    return AlertSummary(
        alert_id=alert.alert_id,
        state=alert.state.value,
        severity=alert.severity.word,
        title=alert.title,
        entity=str(alert.entity),
        group=alert.group,
        score=alert.score,
        started_at_ns=alert.started_at_ns,
        last_seen_ns=alert.last_seen_ns,
        count=alert.count,
        technique=alert.technique,
        is_silenced=alert.is_silenced,
    )

"""An alert as one line for people, and how loudly it is said: what the journal, syslog and every standard's `message` share. Pure."""

from netmote.alerts.alert import AlertState, Committed
from netmote.scoring.finding import Severity

_MAX_HEADLINE = 500


def one_line(text: str) -> str:
    """Without line breaks and other characters that a terminal or a parser of lines would act on."""
    return "".join(c if c.isprintable() else " " for c in text)


def headline(committed: Committed) -> str:
    """State, what, and of whom, on one line of at most 500 characters."""
    alert = committed.alert
    entity = one_line(str(alert.entity))[: _MAX_HEADLINE // 2]
    what = one_line(f"{alert.state.value}: {alert.title}")
    room = _MAX_HEADLINE - len(entity) - 3
    return f"{what if len(what) <= room else what[: room - 1] + '…'} [{entity}]"


def priority(committed: Committed) -> Severity:
    """How grave the announcement is (RFC 5424). A resolved alert is good news: at most a notice, whatever its severity was."""
    alert = committed.alert
    return max(Severity.NOTICE, alert.severity) if alert.state is AlertState.RESOLVED else alert.severity


def happened_at_ns(committed: Committed) -> int:
    """Event time of the announcement: when it resolved, else when it was last seen."""
    alert = committed.alert
    return alert.last_seen_ns if alert.resolved_at_ns is None else alert.resolved_at_ns

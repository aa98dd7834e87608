"""Alerts as bad as devices and clocks can make them: every format of the sinks must carry them."""

from types import MappingProxyType

from heartbeats import sample_heartbeat
from hypothesis import strategies as st
from sink_alerts import committed_alert

from netmote.alerts.alert import AlertState, Committed
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Contributor, Severity
from netmote.telemetry.health import Level, Reason
from netmote.telemetry.heartbeat import Heartbeat, LoadedModel, SinkBooks, Withheld
from netmote.windows.vector import FlowEvidence, WindowEvidence


def largest_alert() -> Committed:
    """Everything beyond its limit, and of the characters that cost most."""
    wide = "\U0001f4a5" * 5_000
    return committed_alert(
        title=wide,
        check="\x01" * 5_000,
        group="\x01" * 5_000,
        entity=Entity(EntityKind.INTERFACE, "\x02" * 5_000),
        contributors=tuple(Contributor("\x03" * 500, "\x04" * 500, 1.0) for _ in range(500)),
        labels=MappingProxyType({f"{number}{wide}": "\x05" * 5_000 for number in range(200)}),
        evidence=WindowEvidence(
            top_flows=(FlowEvidence("2001:db8::" + "f" * 999, 1, "\x07" * 999, 2, 6, 2**63, 2**63, 1),) * 500,
            top_peers=(("\x0e" * 999, 1),) * 500,
            top_ports=((1, 1),) * 500,
        ),
    )


def largest_heartbeat() -> Heartbeat:
    """Everything beyond its limit; names that are no text."""
    wide = "\U0001f4a5\n\ud800" * 2_000
    return sample_heartbeat(
        sensor="\ud800sensor",
        reasons=tuple(Reason(wide, wide, number, Level.RULES) for number in range(500)),
        models=tuple(LoadedModel(wide, wide, "e" * 64) for _ in range(100)),
        drops={f"{number}{wide}": 2**63 for number in range(1_000)},
        books=SinkBooks(2**63, 2**63, tuple(Withheld(2**62, 2**63, "before_registration") for _ in range(100)), 2**62),
    )


_TEXT = st.text(st.characters(), max_size=300) | st.sampled_from(["\ud800 lone surrogate", 'a"b\\c]d', "two\r\nlines", ""])

any_alerts = st.builds(
    lambda text, name, number, labels, state, severity, at, revision: committed_alert(
        title=text,
        check=text,
        group=text or "g",
        revision=revision,
        technique=text or None,
        state=state,
        severity=severity,
        resolved_at_ns=at if state is AlertState.RESOLVED else None,
        last_seen_ns=at,
        entity=Entity(EntityKind.DEVICE, name or "x"),
        contributors=(Contributor(text, text, number),),
        labels=MappingProxyType(labels),
        score=number,
    ),
    text=_TEXT,
    name=_TEXT,
    number=st.floats(),
    labels=st.dictionaries(_TEXT, _TEXT, max_size=3),
    state=st.sampled_from([AlertState.FIRING, AlertState.RESOLVED]),
    severity=st.sampled_from(Severity),
    at=st.integers(0, 2**63 - 1),
    revision=st.integers(1, 9),
)

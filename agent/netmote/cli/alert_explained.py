"""One alert, explained on a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from netmote.alerts.alert import Alert, Committed
from netmote.cli.format import age, size, time_text, value_text
from netmote.windows.vector import Quality

if TYPE_CHECKING:
    from rich.console import RenderableType

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}


def explained(revisions: Sequence[Committed]) -> "list[RenderableType]":
    """All revisions of one alert, oldest first, as renderables: what, why, on what evidence, and what to do."""
    latest = revisions[-1]
    alert = latest.alert
    parts: list[RenderableType] = [
        Text(alert.title, "bold"),
        Text(f"{alert.severity.word}, {alert.state.value}{', silenced' if alert.is_silenced else ''}; about {alert.entity}"),
        Text(
            f"held {_times(alert.count)} from {time_text(alert.started_at_ns)} to {time_text(alert.last_seen_ns)}{_resolved(alert)}"
        ),
        Text(
            f"score {alert.score:.4f} by {alert.detector}, {alert.group}"
            + (f", ATT&CK {alert.technique}" if alert.technique else "")
        ),
    ]
    if alert.contributors:
        parts.append(_contributors(alert))
    evidence = alert.evidence
    if evidence.top_flows:
        parts.append(_flows(alert))
    if evidence.top_peers:
        parts.append(Text("peers   " + ", ".join(f"{peer} ({count})" for peer, count in evidence.top_peers)))
    if evidence.top_ports:
        parts.append(Text("ports   " + ", ".join(f"{port} ({count})" for port, count in evidence.top_ports)))
    parts.append(Text(_quality(alert)))
    if alert.check:
        parts.append(Text(f"check   {alert.check}"))
    parts.append(Text(f"silence netmote alerts silence {alert.alert_id[:8]} --for 2h --reason ..."))
    parts.append(
        Text(
            f"id {alert.alert_id}, revision {alert.revision} of {len(revisions)} stored; ledger {latest.sensor}/{latest.ledger_epoch}/{latest.seq}",
            "dim",
        )
    )
    return parts


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _resolved(alert: Alert) -> str:
    if alert.resolved_at_ns is None:
        return ""
    return f"; resolved {time_text(alert.resolved_at_ns)} after {age((alert.resolved_at_ns - alert.started_at_ns) / 1e9)}"


def _contributors(alert: Alert) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("feature", "value", "usual", "sigma", "limit"):
        table.add_column(heading, justify="left" if heading == "feature" else "right")
    for each in alert.contributors:
        table.add_row(
            each.feature,
            value_text(each.value, each.unit),
            value_text(each.baseline, each.unit),
            "" if each.sigma is None else f"{each.sigma:+.1f}",
            "" if each.threshold is None else value_text(each.threshold, each.unit),
        )
    return table


def _flows(alert: Alert) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("flow", "packets", "octets", "slices"):
        table.add_column(heading, justify="left" if heading == "flow" else "right")
    for flow in alert.evidence.top_flows:
        protocol = _PROTOCOLS.get(flow.protocol_identifier, str(flow.protocol_identifier))
        ends = f"{protocol} {flow.source_address}:{flow.source_transport_port} > {flow.destination_address}:{flow.destination_transport_port}"
        table.add_row(ends, f"{flow.packets:,}", size(flow.octets), str(flow.slices))
    return table


def _quality(alert: Alert) -> str:
    flags = [flag.name.lower().replace("_", " ") for flag in Quality if flag in alert.quality and flag.name]
    said = ", ".join(flags) if flags else "good"
    return f"quality {said}; {alert.coverage:.0%} of the window observed, {alert.loss_ratio:.1%} of packets lost"

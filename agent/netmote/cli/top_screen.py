"""The screen of `netmote top`, for a terminal of any size from 40 by 10 on. Pure: a snapshot, talkers and a size in, renderables out."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from netmote.cli.format import age, size
from netmote.cli.talkers import Talkers
from netmote.telemetry.snapshot import InputStatus, Snapshot

_LEVELS = {"full": "green", "rules": "yellow", "collect": "red", "ledger": "red"}
_SEVERITIES = {"emergency": "bold red", "alert": "bold red", "critical": "bold red", "error": "red", "warning": "yellow"}
_MOST_REASONS, _MOST_INPUTS = 2, 6
# What lost packets are: nobody looked at them. What was received and not decoded is no loss.
_LOSSES = ("interface", "softnet", "ring", "worker", "unplaced", "flow_table_full")


def screen(
    snapshot: Snapshot,
    talkers: Talkers | None,
    *,
    width: int,
    height: int,
    before: Snapshot | None = None,
    hint: str = "q quits",
) -> RenderableType:
    """Exactly what fits: inputs first, the rest of the lines shared by talkers and alerts. `before` gives rates of loss."""
    parts: list[RenderableType] = [_headline(snapshot, width), *_reasons(snapshot, width)]
    inputs = snapshot.inputs[:_MOST_INPUTS]
    parts.append(_inputs(inputs, before, snapshot))
    used = 1 + min(len(snapshot.reasons), _MOST_REASONS + 1) + 1 + len(inputs)
    left = height - used - 4  # a heading and an empty line for each of the two lists below, less the footer's own
    firing = [alert for alert in snapshot.alerts if alert.state == "firing"]
    for_alerts = max(1, min(len(firing), left // 2)) if left > 2 else 1
    for_talkers = max(0, left - for_alerts - 1)
    if talkers is not None and for_talkers:
        parts += [Text(""), _talkers(talkers, for_talkers)]
    parts += [Text(""), *_alerts(snapshot, for_alerts, width)]
    parts.append(_footer(snapshot, hint, width))
    return Group(*parts)


def _headline(snapshot: Snapshot, width: int) -> Text:
    at = datetime.fromtimestamp(snapshot.taken_at_ns / 1e9, UTC).strftime("%H:%M:%SZ")
    return _cut(
        Text.assemble(
            ("netmote ", "bold"),
            f"{snapshot.sensor}  ",
            (snapshot.level.value, f"bold {_LEVELS[snapshot.level]}"),
            f"  up {age((snapshot.taken_at_ns - snapshot.started_at_ns) / 1e9)}  {size(snapshot.memory_rss_bytes)}  {at}",
        ),
        width,
    )


def _reasons(snapshot: Snapshot, width: int) -> list[Text]:
    lines = [_cut(Text(f"  {each.component}: {each.text}", "yellow"), width) for each in snapshot.reasons[:_MOST_REASONS]]
    more = len(snapshot.reasons) - _MOST_REASONS
    return [*lines, Text(f"  and {more} more: netmote status", "yellow")] if more > 0 else lines


def _inputs(inputs: Sequence[InputStatus], before: Snapshot | None, now: Snapshot) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1))
    for heading in ("INPUT", "STATE"):
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for heading in ("LAG", "RATE", "RECEIVED", "LOST", "LOST/S"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in inputs:
        lost, a_second = lost_packets(each), loss_rate(each, before, now)
        table.add_row(
            each.name,
            Text(each.state, "" if each.state == "running" else "yellow"),
            age(each.lag_seconds),
            "" if each.rate is None else f"{each.rate:,.0f} {each.rate_unit.removesuffix('/s')[:3]}/s",
            f"{each.received_total:,}",
            Text(f"{lost:,}", "yellow" if lost else ""),
            "" if a_second is None else Text(f"{a_second:,.0f}", "red" if a_second else ""),
        )
    return table


def lost_packets(each: InputStatus) -> int:
    """What nobody looked at; of SNMP, what timed out."""
    if each.kind != "capture":
        return sum(each.dropped.values())
    return sum(count for place, count in each.dropped.items() if place in _LOSSES)


def loss_rate(each: InputStatus, before: Snapshot | None, now: Snapshot) -> float | None:
    """Lost a second since the snapshot before; None without one, or when the daemon began anew meanwhile."""
    if before is None or before.started_at_ns != now.started_at_ns or now.taken_at_ns <= before.taken_at_ns:
        return None
    earlier = next((one for one in before.inputs if (one.kind, one.name) == (each.kind, each.name)), None)
    if earlier is None:
        return None
    return max(0, lost_packets(each) - lost_packets(earlier)) / ((now.taken_at_ns - before.taken_at_ns) / 1e9)


def _talkers(talkers: Talkers, rows: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1))
    table.add_column(f"TALKERS ({talkers.addresses:,})", no_wrap=True, overflow="ellipsis")
    for heading in ("SENT/S", "RECEIVED/S", "PACKETS/S", "FLOWS"):
        table.add_column(heading, justify="right", no_wrap=True)
    seconds = talkers.seconds or 1.0
    for each in talkers.largest[:rows]:
        table.add_row(
            each.address,
            size(each.sent_octets / seconds),
            size(each.received_octets / seconds),
            f"{each.packets / seconds:,.0f}",
            f"{each.flows:,}",
        )
    return table


def _alerts(snapshot: Snapshot, rows: int, width: int) -> list[Text]:
    firing = [alert for alert in snapshot.alerts if alert.state == "firing"][:rows]
    lines = [Text(f"ALERTS ({snapshot.alerts_firing} firing)", "dim")]
    for alert in firing:
        line = Text(f"{alert.severity:8}", _SEVERITIES.get(alert.severity, "cyan"))
        line.append(f" {age((snapshot.taken_at_ns - alert.started_at_ns) / 1e9):>6}  {alert.title} [{alert.entity}]", "default")
        lines.append(_cut(line, width))
    return lines


def _footer(snapshot: Snapshot, hint: str, width: int) -> Text:
    waiting = sum(sink.queued for sink in snapshot.sinks)
    sinks = ", ".join(f"{sink.name} {sink.state}" for sink in snapshot.sinks)
    text = f"{hint}   sinks: {sinks or 'none'}" if hint else f"sinks: {sinks or 'none'}"
    return _cut(Text(text + (f", {waiting:,} alerts wait" if waiting else ""), "dim"), width)


def _cut(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    return text

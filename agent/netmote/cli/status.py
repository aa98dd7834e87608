"""`netmote status`: one screen. Exit status 0 healthy, 1 degraded, 3 not running (as LSB init scripts say it)."""

from typing import TYPE_CHECKING

import typer

from netmote.cli.options import ConfigOption, JsonOption, StateDirOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType
    from rich.text import Text

    from netmote.telemetry.snapshot import SinkStatus, Snapshot

EXIT_DEGRADED, EXIT_NOT_RUNNING = 1, 3


def status(config: ConfigOption = None, state_dir: StateDirOption = None, json_lines: JsonOption = False) -> None:
    """Show the level of the degradation ladder with its reasons, inputs, drops, devices, models, queues and disk.

    Exit status 0 when all is well, 1 when something is degraded, 3 when no daemon runs.

    Example: netmote status --state-dir /var/lib/netmote
    """
    import json

    from rich.console import Console

    from netmote.cli.state import state_dir_of
    from netmote.control.client import NotRunningError, request
    from netmote.telemetry.snapshot import Snapshot

    directory = state_dir_of(config, state_dir)
    try:
        answer = request(directory, "status")["snapshot"]
    except NotRunningError as error:
        typer.echo(json.dumps({"running": False, "error": str(error)}) if json_lines else str(error), err=not json_lines)
        raise typer.Exit(EXIT_NOT_RUNNING) from None
    snapshot = Snapshot.from_json(json.dumps(answer))
    if json_lines:
        typer.echo(json.dumps({"running": True, **answer}))
    else:
        console = Console()
        for part in render(snapshot):
            console.print(part)
    raise typer.Exit(EXIT_DEGRADED if snapshot.is_degraded else 0)


def render(snapshot: "Snapshot") -> "list[RenderableType]":
    """The screen, as renderables of rich."""
    from rich.text import Text

    from netmote.cli.format import age, size

    colour = {"full": "green", "rules": "yellow", "collect": "red", "ledger": "red"}[snapshot.level]
    parts: list[RenderableType] = [
        Text.assemble(
            ("netmote ", "bold"),
            f"{snapshot.version} on {snapshot.sensor}  level ",
            (snapshot.level.value, f"bold {colour}"),
            f"  up {age((snapshot.taken_at_ns - snapshot.started_at_ns) / 1e9)}",
            f"  memory {size(snapshot.memory_rss_bytes)}",
        )
    ]
    parts += [Text(f"  {reason.component}: {reason.text}", "yellow") for reason in snapshot.reasons]
    parts += [_inputs(snapshot)]
    parts += [
        Text(f"  packets lost on {each.name}: {lost}", "yellow") for each in snapshot.inputs if (lost := _lost(each.dropped))
    ]
    if snapshot.devices:
        parts.append(_devices(snapshot))
    if snapshot.drops:
        parts.append(Text("drops     " + "  ".join(f"{reason} {count:,}" for reason, count in snapshot.drops.items())))
    models = "  ".join(
        f"{model.name} {model.version} {model.state}"
        + (f", p99 {model.p99_ms:.2f} ms" if model.p99_ms is not None else "")
        + (f" ({model.reason})" if model.reason else "")
        for model in snapshot.models
    )
    learning = snapshot.learning
    parts.append(
        Text(
            f"models    {models or 'none'}   baselines: {learning.armed} armed, {learning.learning} learning, {learning.cold} cold"
        )
    )
    for sink in snapshot.sinks:
        waits = (
            f", {sink.queued:,} wait" + (f" ({age(sink.oldest_age_seconds)})" if sink.oldest_age_seconds else "")
            if sink.queued
            else ""
        )
        quarantined = f", {sink.quarantined_total} quarantined" if sink.quarantined_total else ""
        error = f": {sink.last_error}" if sink.last_error else ""
        parts.append(Text(f"sink      {sink.name} {sink.state}, {sink.delivered_total:,} delivered{waits}{quarantined}{error}"))
        if sink.created_total:
            parts.append(_books(sink))
    for export in snapshot.exports:
        waits = f", {export.queued:,} wait" if export.queued else ""
        lost = f", {sum(export.lost.values()):,} lost" if export.lost else ""
        error = f": {export.last_error}" if export.last_error else ""
        parts.append(Text(f"export    {export.name} {export.state}, {export.exported_total:,} flows left{waits}{lost}{error}"))
    store = snapshot.store
    left = "no limit in sight" if store.days_left is None else f"{store.days_left:.1f} days left"
    written = "" if store.written_per_day is None else f", {size(store.written_per_day)} written a day"
    parts.append(
        Text(
            f"store     telemetry {size(store.telemetry_bytes)}, ledger {size(store.ledger_bytes)}, free {size(store.free_bytes)}, {left}{written}"
        )
    )
    parts.append(Text(f"alerts    {snapshot.alerts_firing} firing"))
    parts += [
        Text(f"  {alert.severity:9} {alert.alert_id[:8]}  {alert.title}  [{alert.entity}]")
        for alert in snapshot.alerts
        if alert.state == "firing"
    ][:10]
    return parts


def _books(sink: "SinkStatus") -> "Text":
    """The ledger's identity of one sink, in figures."""
    from rich.text import Text

    sum_ = (
        f"{sink.acknowledged_total:,} acknowledged + {sink.queued:,} waiting"
        f" + {sink.expired_total:,} expired + {sink.quarantined_total:,} quarantined"
    )
    if sink.do_books_balance:
        return Text(f"  ledger: {sink.created_total:,} created = {sum_}", "dim")
    return Text(f"  ledger: {sink.created_total:,} created, but {sum_}: the books do not balance", "bold red")


# Packets that nobody looked at; what was received and not decodable (ARP, say) is no loss.
_LOSSES = {"interface": "interface", "softnet": "softnet", "ring": "ring", "worker": "worker", "unplaced": "kernel"}
_LOSSES["flow_table_full"] = "flow table full"


def _lost(dropped: "Mapping[str, int]") -> str:
    """By place; empty when nothing was."""
    return ", ".join(f"{words} {dropped[place]:,}" for place, words in _LOSSES.items() if dropped.get(place))


def _inputs(snapshot: "Snapshot") -> "RenderableType":
    from rich.table import Table

    from netmote.cli.format import age

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("input", "state", "lag", "rate", "received", "lost"):
        table.add_column(heading, justify="left" if heading in ("input", "state") else "right")
    for each in snapshot.inputs:
        table.add_row(
            f"{each.kind} {each.name}" if each.name != each.kind else each.name,
            each.state,
            age(each.lag_seconds),
            "" if each.rate is None else f"{each.rate:,.0f} {each.rate_unit}",
            f"{each.received_total:,}",
            f"{sum(each.dropped.values()):,}",
        )
    return table


def _devices(snapshot: "Snapshot") -> "RenderableType":
    from rich.table import Table

    from netmote.cli.format import age

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("device", "address", "state", "last answer", "poll", "timeout", "ports up", "via", "reason"):
        table.add_column(heading)
    for device in snapshot.devices:
        answered = None if device.last_answer_ns is None else (snapshot.taken_at_ns - device.last_answer_ns) / 1e9
        up = sum(port.state == "up" for port in device.interfaces)
        table.add_row(
            device.name,
            device.address,
            device.state,
            age(answered),
            "" if device.poll_seconds is None else f"{device.poll_seconds * 1000:.0f} ms",
            "" if device.timeout_seconds is None else f"{device.timeout_seconds:.2g} s",
            f"{up}/{len(device.interfaces)}",
            device.backend,
            device.reason or device.fallback_reason or "; ".join(device.quirks),
        )
    return table

"""`netmote alerts`: the ledger's alerts, daemon running or not."""

from pathlib import Path
from typing import Annotated, Any

import typer

from netmote.cli.options import ConfigOption, JsonOption, StateDirOption

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """List, explain and silence alerts, and show the packets behind them. They are read from the ledger, daemon running or not."""


@app.command("list")
def list_alerts(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    state: Annotated[str | None, typer.Option(help="Only firing or only resolved ones.")] = None,
    since: Annotated[str | None, typer.Option(help='Only those last seen within this long, such as "24h".')] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The latest this many.")] = 50,
    json_lines: JsonOption = False,
) -> None:
    """List alerts, the newest first.

    Example: netmote alerts list --state firing --since 24h
    """
    import json

    from rich.console import Console
    from rich.table import Table

    from netmote.alerts.alert import AlertState
    from netmote.cli.format import time_text
    from netmote.clock import SystemClock
    from netmote.config.section import duration_seconds
    from netmote.sinks.alert_document import alert_document

    if state is not None and state not in ("firing", "resolved"):
        raise typer.BadParameter("allowed: firing, resolved", param_hint="--state")
    try:
        since_ns = SystemClock().now_ns() - round(duration_seconds(since) * 1e9) if since else 0
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None
    with _view(config, state_dir) as view:
        rows = view.alerts(state=AlertState(state) if state else None, since_ns=since_ns, limit=limit)
    if json_lines:
        for row in rows:
            typer.echo(json.dumps(alert_document(row), ensure_ascii=False))
        return
    if not rows:
        typer.echo("no alerts")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("id", "last seen", "severity", "state", "count", "what"):
        table.add_column(heading, justify="right" if heading == "count" else "left", no_wrap=heading != "what")
    for row in rows:
        alert = row.alert
        shown = f"{alert.state.value}, silenced" if alert.is_silenced else alert.state.value
        table.add_row(
            alert.alert_id[:8], time_text(alert.last_seen_ns), alert.severity.word, shown, str(alert.count), alert.title
        )
    Console().print(table)


@app.command("show")
def show_alert(
    alert_id: Annotated[str, typer.Argument(help="The alert's id, or the beginning of it.", metavar="ID")],
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Explain one alert: features against their baseline, flows and ports behind it, data quality, and how to silence it.

    Example: netmote alerts show 3f2a
    """
    import json

    from rich.console import Console

    from netmote.cli.alert_explained import explained
    from netmote.cli.state import state_dir_of
    from netmote.daemon.evidence_files import evidence_path
    from netmote.sinks.alert_document import alert_document

    revisions = _one(_revisions(config, state_dir, alert_id), alert_id)
    if json_lines:
        for row in revisions:
            typer.echo(json.dumps(alert_document(row), ensure_ascii=False))
        return
    console = Console()
    for part in explained(revisions):
        console.print(part)
    path = evidence_path(state_dir_of(config, state_dir), revisions[-1].alert.alert_id)
    if path.exists():
        console.print(f"packets netmote alerts evidence {alert_id} --dissect", highlight=False)


@app.command("evidence")
def show_evidence(
    alert_id: Annotated[str, typer.Argument(help="The alert's id, or the beginning of it.", metavar="ID")],
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    output: Annotated[Path | None, typer.Option(help="Write a copy of the capture file here.", show_default=False)] = None,
    dissect: Annotated[bool, typer.Option("--dissect", help="One line a packet (needs scapy).")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Dissect the first this many packets.")] = 1_000,
    json_lines: JsonOption = False,
) -> None:
    """Show where the packet headers behind an alert are, copy them into a capture file of yours, or dissect them.

    Example: netmote alerts evidence 3f2a --output scan.pcapng
    """
    from netmote.cli.alert_evidence import copy_evidence, described, dissected
    from netmote.cli.state import state_dir_of
    from netmote.daemon.evidence_files import evidence_path

    whole_id = _one(_revisions(config, state_dir, alert_id), alert_id)[-1].alert.alert_id
    path = evidence_path(state_dir_of(config, state_dir), whole_id)
    if output is not None:
        copy_evidence(path, output)
    for line in described(path, whole_id, as_json=json_lines):
        typer.echo(line)
    if dissect:
        for line in dissected(path, limit=limit):
            typer.echo(line)


@app.command("silence")
def silence(
    alert_id: Annotated[
        str | None, typer.Argument(help="An alert: its rule and its entity are silenced.", metavar="ID", show_default=False)
    ] = None,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    rule: Annotated[str | None, typer.Option(help="Rule id (or model group) to silence.")] = None,
    entity: Annotated[str | None, typer.Option(help="Entity to silence, such as host:192.0.2.7.")] = None,
    duration: Annotated[str, typer.Option("--for", help='How long, such as "2h".')] = "2h",
    reason: Annotated[str, typer.Option(help="Why; kept with the silence.", prompt=True, show_default=False)] = "",
    json_lines: JsonOption = False,
) -> None:
    """Silence what an alert is about, a rule, an entity, or one on the other. Silenced alerts are stored and shown, not forwarded.

    Goes through the daemon; without one, straight into the ledger under the state directory's lock.

    Example: netmote alerts silence 3f2a --for 2h --reason "our scanner"
    """
    import json

    from netmote.config.section import duration_seconds

    try:
        seconds = float(duration_seconds(duration))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    if alert_id is not None:
        alert = _one(_revisions(config, state_dir, alert_id), alert_id)[-1].alert
        rule, entity = rule or alert.group, entity or str(alert.entity)
    asked = {"group": rule, "entity": entity, "seconds": seconds, "reason": reason}
    silence_id = _change_silences(config, state_dir, "silence", asked)["silence_id"]
    typer.echo(json.dumps({"silence_id": silence_id}) if json_lines else f"silenced: {silence_id}")


@app.command("accept")
def accept(
    alert_id: Annotated[str, typer.Argument(help="An alert: what its entity does now is its new normal.", metavar="ID")],
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Accept what an alert is about as the new normal: the models learn its entity anew. Rules go on as they are. Needs the daemon.

    Example: netmote alerts accept 3f2a
    """
    from netmote.cli.state import state_dir_of
    from netmote.control.client import CommandRefusedError, NotRunningError, request

    entity = str(_one(_revisions(config, state_dir, alert_id), alert_id)[-1].alert.entity)
    try:
        request(state_dir_of(config, state_dir), "accept", entity=entity)
    except (CommandRefusedError, NotRunningError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{entity} is learned anew; models alert about it again once it is armed")


@app.command("unsilence")
def unsilence(
    silence_id: Annotated[str, typer.Argument(help="Id of the silence.", metavar="ID")],
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """End a silence now.

    Example: netmote alerts unsilence 0c9b1e5d2a77
    """
    _change_silences(config, state_dir, "unsilence", {"silence_id": silence_id})
    typer.echo("ended")


@app.command("resend")
def resend(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    since: Annotated[
        str | None, typer.Option(help='Committed since then: "24h", or an RFC 3339 time.', metavar="TIME", show_default=False)
    ] = None,
    sink: Annotated[str | None, typer.Option(help="To this sink only.", metavar="NAME", show_default=False)] = None,
    seq: Annotated[
        str | None, typer.Option(help="Only these numbers, both included.", metavar="FIRST-LAST", show_default=False)
    ] = None,
    json_lines: JsonOption = False,
) -> None:
    """Offer alerts again that a sink was done with, for a receiver that misses some. They keep their ids and their numbers.

    Goes through the daemon; without one they go out after its next start.

    Example: netmote alerts resend --seq 1200-1300 --sink upstream
    """
    import json

    from netmote.daemon.resending import resend_without_daemon

    first, last = _range(seq)
    asked = {"since_ns": _since_ns(since), "sink": sink, "first": first, "last": last}
    counts = _change(config, state_dir, "resend", asked, without_daemon=resend_without_daemon)["asked"]
    if json_lines:
        typer.echo(json.dumps(counts))
        return
    for name, count in counts.items():
        typer.echo(f"{name}: {count} to send again" if count else f"{name}: nothing to send again")


@app.command("silences")
def silences(config: ConfigOption = None, state_dir: StateDirOption = None, json_lines: JsonOption = False) -> None:
    """List the silences in force.

    Example: netmote alerts silences
    """
    import json

    from netmote.cli.format import time_text

    with _view(config, state_dir) as view:
        rows = view.silences()
    for row in rows:
        record = {
            "silence_id": row.silence_id,
            "rule": row.group,
            "entity": None if row.entity is None else str(row.entity),
            "ends_at": time_text(row.ends_at_ns),
            "reason": row.reason,
        }
        typer.echo(json.dumps(record) if json_lines else "  ".join(str(value or "any") for value in record.values()))
    if not rows and not json_lines:
        typer.echo("no silences")


def _view(config: Path | None, state_dir: Path | None) -> Any:
    from contextlib import closing

    from netmote.cli.state import state_dir_of
    from netmote.store.ledger_view import LedgerView

    directory = state_dir_of(config, state_dir)
    view = LedgerView(directory)
    if not view.exists:
        typer.echo(f"no ledger in {directory}: the daemon has not run there; --state-dir names another place", err=True)
        raise typer.Exit(1)
    return closing(view)


def _revisions(config: Path | None, state_dir: Path | None, alert_id: str) -> list[Any]:
    with _view(config, state_dir) as view:
        found: list[Any] = view.alert(alert_id)
    return found


def _one(revisions: list[Any], alert_id: str) -> list[Any]:
    """The revisions, when they are all of one alert; else says what is wrong and ends."""
    ids = sorted({row.alert.alert_id for row in revisions})
    if len(ids) == 1:
        return revisions
    if ids:
        typer.echo(f"{alert_id!r} is the beginning of {len(ids)} alerts: {', '.join(each[:12] for each in ids[:10])}", err=True)
    else:
        typer.echo(f"no alert whose id begins with {alert_id!r}", err=True)
    raise typer.Exit(1)


def _range(seq: str | None) -> tuple[int | None, int | None]:
    if seq is None:
        return None, None
    first, _, last = seq.partition("-")
    try:
        return int(first), int(last or first)
    except ValueError:
        raise typer.BadParameter('numbers are like "1200-1300", or a single one', param_hint="--seq") from None


def _since_ns(since: str | None) -> int | None:
    from datetime import UTC, datetime

    from netmote.clock import SystemClock
    from netmote.config.section import duration_seconds

    if since is None:
        return None
    try:
        return SystemClock().now_ns() - round(float(duration_seconds(since)) * 1e9)
    except ValueError:
        pass  # then it is a time
    try:
        instant = datetime.fromisoformat(since)
    except ValueError:
        raise typer.BadParameter(
            'a duration such as "24h", or a time such as 2026-11-25T03:00:00Z', param_hint="--since"
        ) from None
    # A time without a zone is of this machine, as `netmote alerts list` shows them.
    return round(instant.astimezone(UTC).timestamp() * 1e9)


def _change_silences(config: Path | None, state_dir: Path | None, command: str, asked: dict[str, Any]) -> dict[str, Any]:
    from netmote.daemon.silencing import change_without_daemon

    def without_daemon(directory: Path, config: Any, asked: dict[str, Any], *, clock: Any) -> Any:
        return change_without_daemon(directory, config, command, asked, clock=clock)

    return _change(config, state_dir, command, asked, without_daemon=without_daemon)


def _change(
    config: Path | None, state_dir: Path | None, command: str, asked: dict[str, Any], *, without_daemon: Any
) -> dict[str, Any]:
    import asyncio

    from netmote.cli.state import config_of, state_dir_of
    from netmote.clock import SystemClock
    from netmote.control.client import CommandRefusedError, NotRunningError, request

    directory = state_dir_of(config, state_dir)
    try:
        return request(directory, command, **asked)
    except NotRunningError:
        pass
    except CommandRefusedError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    try:
        answer: dict[str, Any] = asyncio.run(without_daemon(directory, config_of(config), asked, clock=SystemClock()))
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    return answer

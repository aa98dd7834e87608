"""`netmote forget`: an address out of everything this sensor keeps."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from netmote.cli.options import ConfigOption, JsonOption, StateDirOption

if TYPE_CHECKING:
    from pathlib import Path


def forget(
    address: Annotated[str, typer.Argument(help="The IPv4 or IPv6 address.")],
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_lines: JsonOption = False,
) -> None:
    """Take an address out of telemetry, alerts, learned state and evidence, and say what could not be removed.

    Its place takes the unspecified address (0.0.0.0 or ::): counts and alerts stay, only whose they were is gone. A running daemon
    does it with its analysis paused. Delivered alerts are beyond this sensor's reach; how many, and where, is said.

    Exit status 0 when nothing is left, 1 when something is.

    Example: netmote forget 192.0.2.7
    """
    import json

    from netmote.cli.state import state_dir_of

    if not yes and not typer.confirm(f"Forget {address}? This cannot be undone"):
        raise typer.Abort
    report = _report(address, config, state_dir_of(config, state_dir))
    if json_lines:
        typer.echo(json.dumps(report))
    else:
        for line in lines_of(report):
            typer.echo(line)
    raise typer.Exit(1 if report["left"] else 0)


def _report(address: str, config: "Path | None", directory: "Path") -> dict[str, Any]:
    import asyncio
    import json

    from netmote.cli.state import config_of
    from netmote.clock import SystemClock
    from netmote.control.client import NotRunningError, request
    from netmote.daemon.forgetting import ForgetRefused, forget_without_daemon

    try:
        # Rewriting days of telemetry takes its time.
        answer: dict[str, Any] = request(directory, "forget", timeout=3_600.0, address=address)["report"]
    except NotRunningError:
        if not directory.is_dir():
            raise ForgetRefused(f"there is no state directory {directory}") from None
        report = asyncio.run(forget_without_daemon(config_of(config), directory, address, clock=SystemClock()))
        answer = json.loads(json.dumps(report.to_document()))
    return answer


def lines_of(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    alerts, telemetry = report["alerts"], report["telemetry"]
    lines = [
        f"forgotten: {' and its pseudonym '.join(report['addresses'])}",
        f"  telemetry: {telemetry['slices']:,} flow slices, {telemetry['entities']} hosts of facts, {telemetry['texts']} texts",
        f"  alerts: {alerts['revisions']} revisions, {alerts['silences']} silences, {alerts['reasons']} reasons of quarantine",
        f"  learned state: {'removed' if report['is_learned_removed'] else 'knew nothing of it'}",
        f"  what was pending: {'removed' if report['is_checkpoint_changed'] else 'knew nothing of it'}",
        f"  evidence: {report['evidence_files']} files removed",
    ]
    if report["left"]:
        lines.append("left:")
        lines += [f"  {sentence}" for sentence in report["left"]]
    return lines

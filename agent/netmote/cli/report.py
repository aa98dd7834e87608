"""`netmote report`: what a span of time was like, as one HTML file for people. Reads the store and changes nothing."""

import os
from pathlib import Path
from typing import Annotated

import typer

from netmote.cli.options import ConfigOption, StateDirOption
from netmote.errors import Permanent, Retryable

_MOST_ALERTS = 20_000


def report(
    since: Annotated[str, typer.Option(help='How far back: "24h", "7d".')] = "7d",
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write; one that is there is replaced.")] = Path(
        "netmote-report.html"
    ),
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Write a report with plots: traffic, drops, scores against thresholds, alerts, the models' budget, devices, netmote itself.

    One file that needs nothing beside it, daemon running or not. It names hosts: keep it as you keep the ledger.

    Example: netmote report --since 7d --output week.html
    """
    from netmote import __version__
    from netmote.cli.report_content import GAUGES, report_of, step_of
    from netmote.cli.state import config_of
    from netmote.clock import SystemClock
    from netmote.config.section import duration_seconds
    from netmote.daemon.state_dir import resolve_state_dir
    from netmote.store.history_view import read_history
    from netmote.store.ledger_view import LedgerView
    from netmote.web.report_page import report_page

    try:
        seconds = float(duration_seconds(since))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    settings = config_of(config)
    directory = resolve_state_dir(state_dir, settings)
    if not directory.is_dir():
        raise Permanent(f"there is no state directory {directory}; name it with --state-dir or --config")
    now_ns = SystemClock().now_ns()
    begin_ns = now_ns - round(seconds * 1e9)
    history = read_history(directory, begin_ns, now_ns, step_ns=step_of(begin_ns, now_ns), gauges=GAUGES)
    ledger = LedgerView(directory)
    try:
        alerts = ledger.alerts(since_ns=begin_ns, limit=_MOST_ALERTS) if ledger.exists else []
    except Retryable as error:
        raise Permanent(f"the ledger cannot be read: {error}") from error
    finally:
        ledger.close()
    content = report_of(
        history,
        alerts,
        sensor=alerts[0].sensor if alerts else settings.sensor_name,
        source=str(directory.absolute()),
        made_at_ns=now_ns,
        alerts_per_day=settings.scoring.alerts_per_day,
        damaged=ledger.damaged,
    )
    _write(output, report_page(content, version=__version__))
    typer.echo(f"{output}: {content.headline.lower()}, {len(history.traffic)} interfaces, {len(history.devices)} devices")


def _write(path: Path, text: str) -> None:
    """Whole or not at all, for its owner and group only. Raises Permanent."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w", encoding="utf-8") as file:
            file.write(text)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise Permanent(f"{path} is not written: {error.strerror}") from error

"""How a replay reads: alerts as they fire, a summary a file, a progress bar where a person watches."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from netmote.alerts.alert import Alert
from netmote.alerts.encoding import to_document
from netmote.analysis.outcome import Outcome
from netmote.cli.format import time_text, value_text
from netmote.daemon.replay import ReplaySummary


class ReplayOutput:
    """Prints to standard output; the progress bar goes to standard error, and only on a terminal."""

    def __init__(self, *, json_lines: bool, hashes: bool) -> None:
        self._json, self._hashes = json_lines, hashes
        self._errors = Console(stderr=True)

    def outcome(self, outcome: Outcome) -> None:
        """Print what one step brought forth."""
        if self._hashes:
            for window in outcome.vectors:
                record = {
                    "window": window.schema.name,
                    "start_ns": window.start_ns,
                    "end_ns": window.end_ns,
                    "entities": len(window.entities),
                }
                typer.echo(json.dumps({**record, "hash": window.hash}))
        for alert in outcome.alerts:
            typer.echo(json.dumps({"alert": to_document(alert)}, ensure_ascii=False) if self._json else alert_line(alert))

    def summary(self, capture: Path, summary: ReplaySummary) -> None:
        """Print the totals of one file."""
        if self._json:
            typer.echo(json.dumps({"summary": {"capture": str(capture), **summary.as_dict()}}))
            return
        undecodable = ", ".join(f"{reason} {count:,}" for reason, count in summary.undecodable.items())
        typer.echo(
            f"{capture}: {summary.packets:,} packets, {summary.metered:,} metered, {sum(summary.undecodable.values()):,} not decodable"
            + (f" ({undecodable})" if undecodable else "")
            + (f", {summary.left_out:,} left out by the filter" if summary.left_out else "")
            + f"; {summary.windows:,} windows, {summary.alerts:,} alerts"
        )

    def refused(self, capture: Path, reason: str) -> None:
        """Print why a file was not read."""
        if self._json:
            typer.echo(json.dumps({"refused": {"capture": str(capture), "reason": reason}}))
        else:
            typer.echo(reason if str(capture) in reason else f"{capture}: {reason}", err=True)

    @contextmanager
    def progress(self, capture: Path) -> Iterator[Callable[[int], None]]:
        """A callback for packets read; a bar when standard error is a terminal and standard output is not ours to disturb."""
        if self._json or not sys.stderr.isatty():
            yield lambda _packets: None
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} packets"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._errors, transient=True) as bar:
            task = bar.add_task(capture.name, total=None)
            yield lambda packets: bar.update(task, advance=packets)


def alert_line(alert: Alert) -> str:
    """One alert for people: when, how grave, what, and the features that drove it."""
    drove = "; ".join(
        f"{c.feature} {value_text(c.value, c.unit)}"
        + (f" (usually {value_text(c.baseline, c.unit)})" if c.baseline is not None else "")
        for c in alert.contributors[:3]
    )
    when = time_text(alert.last_seen_ns)
    return f"{when} {alert.severity.word:9} {alert.state.value:8} {alert.title} [{alert.entity}] {drove}".rstrip()

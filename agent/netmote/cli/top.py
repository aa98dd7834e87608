"""`netmote top`: the daemon live: level, inputs with rates and drops, top talkers, alerts. Reads only."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netmote.cli.options import ConfigOption, JsonOption, StateDirOption
from netmote.cli.status import EXIT_NOT_RUNNING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from netmote.cli.talkers import Talkers
    from netmote.telemetry.snapshot import Snapshot

_TALKERS_LISTED = 50
# Two panes of metering: the newest is whole, and a sender of bursts does not flicker.
_TALKERS_SECONDS = 10.0
_QUIT = "qQ\x1b\x03"  # q, Escape, Ctrl-C


def top(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    interval: Annotated[float, typer.Option(min=0.5, max=60.0, help="Seconds between looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one screen and end, for scripts.")] = False,
    json_lines: JsonOption = False,
) -> None:
    """Watch the daemon: its level, inputs with rates and losses, the hosts that send most, alerts. q quits.

    Talkers are the flows of the last ten seconds as they were stored. Exit status 3 when no daemon runs (--once, --json).

    Example: netmote top --state-dir /var/lib/netmote
    """
    from netmote.cli.state import state_dir_of

    directory = state_dir_of(config, state_dir)
    if once or json_lines:
        _print_once(directory, json_lines=json_lines)
    else:
        _watch(directory, interval)


def _print_once(directory: Path, *, json_lines: bool) -> None:
    from dataclasses import asdict

    from rich.console import Console

    from netmote.cli.top_screen import screen
    from netmote.control.client import NotRunningError

    try:
        snapshot = _ask(directory)
    except NotRunningError as error:
        typer.echo(json.dumps({"running": False, "error": str(error)}) if json_lines else str(error), err=not json_lines)
        raise typer.Exit(EXIT_NOT_RUNNING) from None
    talkers = _talkers(directory, snapshot.taken_at_ns)
    if json_lines:
        shown = json.loads(snapshot.to_json())
        typer.echo(json.dumps({"running": True, **shown, "talkers": None if talkers is None else asdict(talkers)}))
        return
    console = Console()
    console.print(screen(snapshot, talkers, width=console.width, height=60, hint=""))


def _watch(directory: Path, interval: float) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    before: Snapshot | None = None
    # The alternate screen is left again and the cursor shown however this ends.
    with _ended_by_signals(), _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                shown, before = _look(directory, console, before)
                live.update(shown if shown is not None else Text(f"no daemon is running in {directory}; q quits"), refresh=True)
                if pressed(interval):
                    return
        except KeyboardInterrupt:
            return


def _look(directory: Path, console: "Console", before: "Snapshot | None") -> "tuple[RenderableType | None, Snapshot | None]":
    """The screen now; None while no daemon runs: it may be restarting."""
    from netmote.cli.top_screen import screen
    from netmote.control.client import NotRunningError

    try:
        snapshot = _ask(directory)
    except NotRunningError:
        return None, None
    talkers = _talkers(directory, snapshot.taken_at_ns)
    return screen(snapshot, talkers, width=console.width, height=console.height, before=before), snapshot


def _ask(directory: Path) -> "Snapshot":
    """Raises NotRunningError and CommandRefusedError."""
    from netmote.control.client import request
    from netmote.telemetry.snapshot import Snapshot

    return Snapshot.from_json(json.dumps(request(directory, "status")["snapshot"]))


def _talkers(directory: Path, now_ns: int) -> "Talkers | None":
    """Of the last panes; None when the telemetry cannot be read now (the screen goes on without)."""
    from netmote.cli.talkers import top_talkers
    from netmote.errors import Retryable
    from netmote.store.recent_flows import recent_flows

    try:
        batches = recent_flows(directory, now_ns - round(1.5 * _TALKERS_SECONDS * 1e9))
    except Retryable:
        return None
    newest = max((batch.end_ns for batch in batches), default=0)
    return top_talkers([batch for batch in batches if batch.start_ns >= newest - _TALKERS_SECONDS * 1e9], _TALKERS_LISTED)


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """A function that waits so many seconds for a key that quits. Keys are read one by one while this is open, and not shown."""
    import os
    import select
    import sys
    import time

    if not sys.stdin.isatty():
        # Nobody can press anything; a signal ends it.
        def sleep(seconds: float) -> bool:
            time.sleep(seconds)
            return False

        yield sleep
        return
    import termios
    import tty

    def pressed(seconds: float) -> bool:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return bool(ready) and any(key in _QUIT for key in os.read(descriptor, 16).decode(errors="replace"))

    descriptor = sys.stdin.fileno()
    kept = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, kept)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the watch as Ctrl-C does, so that the terminal is given back as it was."""
    import signal

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    kept = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)

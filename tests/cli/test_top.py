"""`netmote top`: what fits a terminal, what a script reads, and a terminal given back as it was."""

import contextlib
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from fcntl import ioctl
from pathlib import Path

import pytest
from control_socket import answering
from manual_clock import ManualClock
from observed_records import ORIGIN, SCANNER, SECOND, pane
from processes import wait_for
from rich.console import Console
from snapshots import snapshot
from typer.testing import CliRunner

from netmote.cli.main import app
from netmote.cli.talkers import Talker, Talkers
from netmote.cli.top_screen import loss_rate, screen
from netmote.store.config import StoreConfig
from netmote.store.store import Store
from netmote.telemetry.health import Level, Reason
from netmote.telemetry.snapshot import InputStatus

runner = CliRunner()
NOW = ORIGIN + 16 * SECOND
CROWD = Talkers(10.0, 300, tuple(Talker(f"2001:db8:1234:5678:9abc:def0:1234:{n:x}", 10**9, 10**8, 10**6, n) for n in range(50)))


def crowded() -> object:
    """More of everything than any screen holds."""
    (alert,) = snapshot().alerts
    return snapshot(
        level=Level.RULES,
        reasons=tuple(Reason(f"snmp:device-{n}", "no answer to three polls, and a sentence that goes on", NOW) for n in range(9)),
        inputs=tuple(
            InputStatus(f"enp{n}s0f1np1", "capture", "running", 1.5, 1e6, "packets/s", 10**12, {"ring": 10**9}) for n in range(20)
        ),
        alerts=tuple(replace(alert, title=f"{alert.title} number {n}, with a long sentence about it") for n in range(50)),
        alerts_firing=50,
    )


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (60, 16), (132, 43)])
def test_fits(size: tuple[int, int]) -> None:
    """No line is cut by the terminal itself and none scrolls away; the last one says how to quit."""
    width, height = size
    console = Console(width=width, height=height, color_system=None)
    with console.capture() as taken:
        console.print(screen(crowded(), CROWD, width=width, height=height))
    lines = taken.get().splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert lines[-1].startswith("q quits")
    shown = "\n".join(lines)
    assert "rules" in lines[0]
    assert "and 7 more" in shown
    assert "ALERTS (50 firing)" in shown
    assert "a scan number 0" in shown
    assert "TALKERS (300)" in shown or height < 20


def test_what_is_shown_on_80_columns() -> None:
    """Level, input with rate and losses, talkers a second, alerts, what waits."""
    console = Console(width=80, height=24, color_system=None)
    talkers = Talkers(10.0, 1, (Talker("10.0.0.1", 1_000_000, 20_000, 500, 7),))
    with console.capture() as taken:
        console.print(screen(snapshot(), talkers, width=80, height=24))
    shown = " ".join(taken.get().split())
    for words in (
        "netmote attic full up 2 h 100.0 MB",
        "eth0 running 1.5 s 1,234 pac/s 99 1,241",
        "10.0.0.1 100.0 kB 2.0 kB 50 7",
        "error 0.0 s a scan [host:192.0.2.7]",
        "sinks: up retrying, 5 alerts wait",
    ):
        assert words in shown, shown


def test_loss_a_second() -> None:
    """From two snapshots; unknown without one before, and over a restart of the daemon."""
    before = snapshot()
    (known,) = before.inputs
    now = replace(known, dropped={"ring": 1234 + 500, "arp": 1000, "softnet": 7})
    after = snapshot(taken_at_ns=before.taken_at_ns + 2 * SECOND, inputs=(now,))
    assert loss_rate(now, before, after) == 250.0  # what was not decodable is no loss
    assert loss_rate(now, None, after) is None
    assert loss_rate(now, replace(before, started_at_ns=1), after) is None
    assert loss_rate(replace(now, name="eth9"), before, after) is None


async def stored(state_dir: Path) -> None:
    store = Store(state_dir, StoreConfig(free_space_floor=0), sensor="attic", clock=ManualClock())
    await store.open()
    await store.append([pane(0, ports=9), pane(1), pane(2, ports=2)])
    await store.close()


async def test_once(tmp_path: Path) -> None:
    """One screen and exit status 0; the talkers are those of the flows stored in the ten seconds before."""
    await stored(tmp_path)
    with answering(tmp_path, snapshot(taken_at_ns=NOW)):
        result = runner.invoke(app, ["top", "--once", "--state-dir", str(tmp_path)])
        as_json = runner.invoke(app, ["top", "--json", "--state-dir", str(tmp_path)])
    assert (result.exit_code, as_json.exit_code) == (0, 0), result.output
    assert SCANNER in result.output
    document = json.loads(as_json.output)
    assert document["running"] is True
    assert document["talkers"]["seconds"] == 10.0
    assert {each["address"]: each["flows"] for each in document["talkers"]["largest"]}[SCANNER] == 3


def test_once_without_a_daemon(tmp_path: Path) -> None:
    """Exit status 3, as `netmote status` has it."""
    result = runner.invoke(app, ["top", "--once", "--state-dir", str(tmp_path)])
    assert result.exit_code == 3
    document = json.loads(runner.invoke(app, ["top", "--json", "--state-dir", str(tmp_path)]).output)
    assert document["running"] is False


@pytest.mark.parametrize("end", ["q", "SIGTERM", "ctrl-c"])
def test_quits_cleanly(tmp_path: Path, end: str) -> None:
    """In a terminal of 80 by 24 it draws, ends by key or signal with status 0, and leaves the terminal as it was."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    kept = termios.tcgetattr(theirs)
    command = ["setsid", "--ctty", sys.executable, "-m", "netmote", "top", "--state-dir", str(tmp_path)]
    drawn = bytearray()

    def read() -> bytes:
        os.set_blocking(ours, False)
        with contextlib.suppress(BlockingIOError):
            drawn.extend(os.read(ours, 65_536))
        return bytes(drawn)

    with answering(tmp_path, snapshot()):
        environment = {**os.environ, "TERM": "xterm-256color"}
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        try:
            wait_for(lambda: b"q quits" in read(), 20, "the screen")
            assert b"\x1b[?1049h" in drawn  # the alternate screen
            if end == "SIGTERM":
                process.send_signal(signal.SIGTERM)
            else:
                os.write(ours, b"q" if end == "q" else b"\x03")
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()
        read()
    assert drawn.rstrip().endswith(b"\x1b[?25h") or b"\x1b[?1049l" in drawn[drawn.rindex(b"q quits") :]
    assert termios.tcgetattr(theirs) == kept
    os.close(ours)
    os.close(theirs)

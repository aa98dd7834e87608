"""The agent's own log: its forms, its limits, its way to the journal."""

import io
import json
import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from manual_clock import ManualClock

from netmote.telemetry.config import LogConfig
from netmote.telemetry.journal_handler import JournalHandler
from netmote.telemetry.journal_stream import leads_to_journal
from netmote.telemetry.log_limit import RepeatLimit
from netmote.telemetry.logging_setup import bind, close_logging, set_up_logging

log = logging.getLogger("netmote.snmp.target")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    yield
    close_logging()
    logging.captureWarnings(capture=False)
    root.setLevel(level)


def written(form: str = "text", level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    set_up_logging(LogConfig(format=form, level=level), stream=stream, clock=ManualClock())
    return stream


def test_text() -> None:
    """Time, level, component, message, then the fields."""
    stream = written()
    bind(log, device="sw 1").warning("poll failed: %s", "no answer", extra={"error_type": "timeout"})
    time, _, rest = stream.getvalue().partition(" ")
    assert time.endswith("Z")
    assert rest == 'warning snmp: poll failed: no answer device="sw 1" error_type=timeout\n'


def test_component_field_goes_before_the_room() -> None:
    """`extra={"component": ...}` names the component and is not repeated among the fields."""
    stream = written()
    log.info("ready", extra={"component": "sink:webhook"})
    assert stream.getvalue().endswith(" info sink:webhook: ready\n")


def test_hostile_values_forge_no_line() -> None:
    """A device's text with line breaks and escapes stays on its line, in message, fields and traceback."""
    stream = written()
    log.info("named %s", "x\n2026-01-01 error core: all lost\x1b[31m", extra={"alias": "y\nz"})
    try:
        raise RuntimeError("a\nb\x07")
    except RuntimeError:
        log.exception("bug")
    lines = stream.getvalue().splitlines()
    assert all(line[0].isdigit() or line.startswith("    ") for line in lines)
    assert not {"\x1b", "\x07"} & set(stream.getvalue())
    assert lines[-1] == "    b\\x07"


def test_json() -> None:
    """One object a line with the fields beside the message."""
    stream = written("json")
    log.error("refused", extra={"device": "sw1", "path": Path("/x")})
    document = json.loads(stream.getvalue())
    assert document["time"].endswith("Z")
    assert {name: document[name] for name in ("level", "component", "message", "logger", "device", "path")} == {
        "level": "error", "component": "snmp", "message": "refused", "logger": "netmote.snmp.target", "device": "sw1", "path": "/x",
    }  # fmt: skip


def test_level_and_reload() -> None:
    """Setting up again replaces the handler: no line is written twice, the new level holds."""
    first = written(level="debug")
    log.debug("one")
    second = written(level="warning")
    log.info("two")
    log.warning("three")
    assert "one" in first.getvalue()
    assert "three" not in first.getvalue()
    assert second.getvalue().count("\n") == 1


def test_repeats_are_held_back_and_counted() -> None:
    """After a burst the rest of the interval is silent; the next line says how many there were."""
    clock, stream, held_back = ManualClock(), io.StringIO(), []
    set_up_logging(LogConfig(format="text"), stream=stream, clock=clock, on_held_back=lambda: held_back.append(1))
    for number in range(100):
        log.warning("poll %d failed", number)
        log.warning("poll %d failed", number, extra={"component": "other"})
    assert stream.getvalue().count("\n") == 20, "each component has a burst of its own"
    assert len(held_back) == 180
    clock.advance(61)
    log.warning("poll %d failed", 100)
    assert stream.getvalue().splitlines()[-1].endswith("poll 100 failed held_back=90")
    close_logging()
    assert stream.getvalue().splitlines()[-1].endswith("held_back=90"), "what no later line told is told at the end"


def test_the_table_of_repeats_is_bounded() -> None:
    """A thousand different messages forget the oldest, and no held-back line is forgotten."""
    limit = RepeatLimit(ManualClock(), burst=1, max_messages=10)

    def record(text: str) -> logging.LogRecord:
        return logging.LogRecord("n", logging.INFO, "f", 1, text, (), None)

    for number in range(1_000):
        assert limit.filter(record(f"m{number}"))
        assert not limit.filter(record(f"m{number}"))
    assert len(limit._seen) == 10
    assert limit.drain() == 1_000
    assert limit.drain() == 0


def test_native_journal_entries(tmp_path: Path) -> None:
    """Message, priority, code and our own fields, as journald's protocol has them."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(path))
        handler = JournalHandler(path)
        log.addHandler(handler)
        log.propagate = False
        try:
            log.warning("poll failed\nPRIORITY=0", extra={"device": "sw\n1", "bad-name é": 1})
        finally:
            log.removeHandler(handler)
            log.propagate = True
            handler.close()
        datagram = journal.recv(65_536)
    assert b"MESSAGE=poll failed\\nPRIORITY=0\n" in datagram
    assert b"\nPRIORITY=4\n" in datagram
    assert b"\nPRIORITY=0\n" not in datagram
    assert b"SYSLOG_IDENTIFIER=netmote\n" in datagram
    assert b"NETMOTE_COMPONENT=snmp\n" in datagram
    assert b"NETMOTE_DEVICE\n" + struct.pack("<Q", 4) + b"sw\n1\n" in datagram
    assert b"NETMOTE_BAD_NAME__=1\n" in datagram
    assert b"CODE_FUNC=test_native_journal_entries\n" in datagram


def test_a_journal_that_is_gone_blocks_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line goes to standard error with its priority."""
    handler = JournalHandler(tmp_path / "absent")
    handler.emit(logging.LogRecord("netmote.x", logging.ERROR, "f", 1, "lost?", (), None))
    handler.close()
    assert capsys.readouterr().err == "<3>lost?\n"


@pytest.mark.parametrize("value", ["", "x", "1:", ":1", "1:2:3", "-1:5", "99:99"])
def test_journal_stream_that_is_not_ours(value: str) -> None:
    """Anything but the device and inode of the descriptor means no."""
    assert not leads_to_journal(2, value)
    assert not leads_to_journal(10_000, "1:2")


def test_under_systemd_the_log_is_native(tmp_path: Path) -> None:
    """A process whose standard error is the stream named in JOURNAL_STREAM writes datagrams, and nothing to that stream."""
    path, err = tmp_path / "socket", tmp_path / "err"
    program = (
        "import sys, logging; from pathlib import Path\n"
        "from netmote.telemetry.config import LogConfig; from netmote.telemetry.logging_setup import set_up_logging\n"
        "set_up_logging(LogConfig(), socket_path=Path(sys.argv[1])); logging.getLogger('netmote.daemon').info('ready')\n"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal, err.open("wb") as stream:
        journal.bind(str(path))
        status = os.fstat(stream.fileno())
        environ = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        subprocess.run([sys.executable, "-c", program, str(path)], env=environ, stderr=stream, check=True, timeout=30)
        journal.settimeout(5)
        assert b"MESSAGE=ready\n" in journal.recv(65_536)
    assert err.read_bytes() == b""

"""The journal sink: native fields for journald, JSON or text on standard output."""

import json
import os
import socket
import struct
from pathlib import Path

from sink_alerts import SECOND, START, committed_alert

from netmote.alerts.alert import AlertState
from netmote.scoring.finding import Severity
from netmote.sinks.journal.config import JournalConfig
from netmote.sinks.journal.entry import MESSAGE_IDS, journal_fields, text_line
from netmote.sinks.journal.sink import JournalSink


def fields_of(datagram: bytes) -> dict[str, str]:
    """The native journal protocol: NAME=value lines, or NAME, a length and the bytes."""
    found, rest = {}, datagram
    while rest:
        line, _, rest = rest.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack_from("<Q", rest)
            value, rest = rest[8 : 8 + length], rest[8 + length + 1 :]
        found[name.decode()] = value.decode()
    return found


async def test_native_entry(tmp_path: Path) -> None:
    """Under systemd each alert is one entry with the fields that an operator filters by."""
    path = tmp_path / "socket"
    null = os.open("/dev/null", os.O_WRONLY)
    status = os.fstat(null)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(path))
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        sink = JournalSink(JournalConfig(type="journal"), environ=environ, socket_path=path, descriptor=null)
        await sink.open()
        await sink.deliver([committed_alert(4)])
        await sink.close()
        fields = fields_of(journal.recv(1 << 20))
    os.close(null)
    assert fields["MESSAGE"].startswith("firing: 192.0.2.7 tried 412 ports")
    assert fields["MESSAGE_ID"] == MESSAGE_IDS[AlertState.FIRING]
    assert fields["PRIORITY"] == "2"
    assert fields["SYSLOG_IDENTIFIER"] == "netmote"
    assert fields["NETMOTE_ALERT_ID"].endswith("4")
    assert fields["NETMOTE_ENTITY"] == "host:192.0.2.7"
    assert (fields["NETMOTE_SENSOR"], fields["NETMOTE_LEDGER_EPOCH"], fields["NETMOTE_SEQ"]) == ("branch-7", "3f2a9c", "4")
    assert json.loads(fields["NETMOTE_ALERT"])["metadata"]["sequence"] == 4


def test_resolved_is_at_most_a_notice() -> None:
    """Good news wakes nobody; an alert below notice keeps its severity."""
    resolved = {"state": AlertState.RESOLVED, "resolved_at_ns": START}
    assert dict(journal_fields(committed_alert(**resolved)))["PRIORITY"] == 5
    assert dict(journal_fields(committed_alert(severity=Severity.DEBUG, **resolved)))["PRIORITY"] == 7


async def test_json_lines_on_standard_output(tmp_path: Path) -> None:
    """Without a journal: one JSON document a line."""
    descriptor = os.open(tmp_path / "out", os.O_CREAT | os.O_RDWR)
    sink = JournalSink(JournalConfig(type="journal"), environ={"JOURNAL_STREAM": "not:one"}, descriptor=descriptor)
    await sink.deliver([committed_alert(1), committed_alert(2)])
    await sink.close()
    os.close(descriptor)
    assert [json.loads(line)["metadata"]["sequence"] for line in (tmp_path / "out").read_text().splitlines()] == [1, 2]


async def test_text_for_people(tmp_path: Path) -> None:
    """One line an alert, with what a person looks for."""
    descriptor = os.open(tmp_path / "out", os.O_CREAT | os.O_RDWR)
    await JournalSink(JournalConfig(type="journal", format="text"), environ={}, descriptor=descriptor).deliver(
        [committed_alert(1)]
    )
    os.close(descriptor)
    assert (tmp_path / "out").read_text() == (
        "2023-11-14T22:13:40.000000Z critical firing: 192.0.2.7 tried 412 ports of 192.0.2.1 within 60 s (2 times) "
        "[host:192.0.2.7] alert=00000000-0000-5000-8000-000000000001\n"
    )


def test_a_hostile_title_forges_no_line_and_no_field() -> None:
    """Line breaks and escapes of a device's own texts do not reach the terminal or the journal's fields."""
    committed = committed_alert(title="x\nPRIORITY=0\x1b[2J", resolved_at_ns=START + SECOND)
    assert "\n" not in text_line(committed)
    assert "\x1b" not in text_line(committed)
    assert "\n" not in dict(journal_fields(committed))["MESSAGE"]


async def test_a_terminal_gets_text() -> None:
    """Where a person watches, `auto` is one readable line; a pipe gets JSON."""
    terminal, ours = os.openpty()
    sink = JournalSink(JournalConfig(type="journal"), environ={}, descriptor=ours)
    await sink.deliver([committed_alert(4)])
    shown = os.read(terminal, 4096).decode()
    os.close(terminal)
    os.close(ours)
    assert "192.0.2.7 tried 412 ports" in shown
    assert not shown.startswith("{")

"""RFC 5424, as a real syslog server reads it back."""

import json
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from heartbeats import sample_heartbeat
from hostile_alerts import any_alerts, largest_alert
from hypothesis import given, settings
from processes import wait_for
from server_process import ServerProcess, low_port
from sink_alerts import SECOND, START, committed_alert

from netmote import __version__
from netmote.alerts.alert import AlertState, Committed
from netmote.records.entity import Entity, EntityKind
from netmote.sinks.syslog_message import alert_message, heartbeat_message

# RFC 5424 section 6, by its grammar: PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [MSG].
_NAME = r"[!#-<>-\\^-~]{1,32}"
GRAMMAR = re.compile(
    r"<(\d{1,3})>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z [!-~]{1,255} [!-~]{1,48} [!-~]{1,128} [!-~]{1,32} "
    rf'((?:\[{_NAME}(?: {_NAME}="(?:[^"\\\]]|\\["\\\]])*")*\])+) \ufeff?[^\n]*'
)
CONFIGURATION = """
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imtcp")
module(load="mmpstrucdata")
template(name="read" type="list") {{
    constant(value="{{") property(name="pri" format="jsonf") constant(value=",") property(name="timereported" dateFormat="rfc3339" format="jsonf")
    constant(value=",") property(name="hostname" format="jsonf") constant(value=",") property(name="app-name" format="jsonf")
    constant(value=",") property(name="msgid" format="jsonf") constant(value=",") property(name="msg" format="jsonf")
    constant(value=",\\"data\\":") property(name="$!rfc5424-sd") constant(value="}}\\n")
}}
input(type="imtcp" port="{port}" address="127.0.0.1" ruleset="r")
ruleset(name="r" queue.type="Direct") {{
    action(type="mmpstrucdata")
    action(type="omfile" file="{folder}/read" template="read" flushOnTXEnd="on")
}}
"""


class Reader(ServerProcess):
    """rsyslogd, which parses what it is sent and writes the parts as JSON."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
        if not Path(program).exists():
            pytest.skip("rsyslog is not installed")
        port = low_port()
        self.output = folder / "read"
        (folder / "rsyslog.conf").write_text(CONFIGURATION.format(folder=folder, port=port))
        command = [program, "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
        super().__init__(command, port=port, log=folder / "log")
        self._read = 0

    def read(self, message: bytes) -> dict[str, object]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"%d %s" % (len(message), message))  # RFC 6587 section 3.4.1
        wait_for(lambda: len(self._lines()) > self._read, 5, "what rsyslog read")
        self._read += 1
        return json.loads(self._lines()[-1])

    def _lines(self) -> list[str]:
        return self.output.read_text().splitlines() if self.output.exists() else []


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    made = Reader(tmp_path_factory.mktemp("rsyslog"))
    made.start()
    yield made
    made.kill()


def test_an_alert_as_rsyslog_reads_it(reader: Reader) -> None:
    """Header, text and each parameter (whose names rsyslog puts in lower case)."""
    found = reader.read(alert_message(replace(committed_alert(4), is_clock_synchronised=True), facility=4))
    assert (found["pri"], found["hostname"], found["app-name"], found["msgid"]) == ("34", "branch-7", "netmote", "firing")
    assert str(found["timereported"]).startswith("2023-11-14T22:13:40")
    assert str(found["msg"]).lstrip() == "firing: 192.0.2.7 tried 412 ports of 192.0.2.1 within 60 s [host:192.0.2.7]"
    data = found["data"]
    assert data["origin"] == {"software": "netmote", "swversion": __version__, "enterpriseid": "32473"}
    assert data["timequality"] == {"tzknown": "1", "issynced": "1"}
    alert = data["alert@32473"]
    assert (alert["id"], alert["seq"], alert["epoch"]) == ("00000000-0000-5000-8000-000000000004/1", "4", "3f2a9c")
    assert (alert["entity"], alert["rule"], alert["technique"]) == ("host:192.0.2.7", "port_scan", "T1046")
    assert (alert["src"], alert["dst"], alert["dstport"]) == ("192.0.2.7", "192.0.2.1", "443")


def test_what_must_be_escaped_is_read_back(reader: Reader) -> None:
    """Section 6.3.3: quotation mark, backslash, closing bracket; and UTF-8 as it is."""
    name = 'port "7\\8" [ö] 💥'
    found = reader.read(alert_message(committed_alert(entity=Entity(EntityKind.DEVICE, name), title="älter")))
    assert found["data"]["alert@32473"]["entity"] == f"device:{name}"
    assert str(found["msg"]).lstrip(" \ufeff") == f"firing: älter [device:{name}]"


def test_a_heartbeat_as_rsyslog_reads_it(reader: Reader) -> None:
    """Of severity debug; what is not known is not there."""
    found = reader.read(heartbeat_message(sample_heartbeat(clock_offset_seconds=None, is_clock_synchronised=None)))
    assert (found["pri"], found["msgid"]) == ("135", "heartbeat")
    beat = found["data"]["heartbeat@32473"]
    assert (beat["level"], beat["lastseq"], beat["settledseq"]) == ("rules", "41", "40")
    assert "clockoffset" not in beat
    assert found["data"]["timequality"] == {"tzknown": "1"}


def test_the_end_is_a_notice_at_its_own_time() -> None:
    """Good news wakes nobody."""
    message = alert_message(committed_alert(state=AlertState.RESOLVED, resolved_at_ns=START + 90 * SECOND))
    assert message.startswith(b"<133>1 2023-11-14T22:14:50.000000Z branch-7 netmote - resolved ")


@settings(max_examples=100, deadline=None)
@given(any_alerts)
def test_whatever_the_alert_holds_it_obeys_the_grammar(committed: Committed) -> None:
    """On one line, so that every framing carries it."""
    match = GRAMMAR.fullmatch(alert_message(committed).decode("utf-8"))
    assert match is not None
    assert 128 <= int(match[1]) <= 135


def test_the_largest_is_below_what_receivers_take() -> None:
    """8 KiB, the limit that receivers commonly have."""
    committed = replace(largest_alert(), sensor="s\u00e4nsor " * 100, ledger_epoch="e" * 500)
    message = alert_message(committed)
    assert GRAMMAR.fullmatch(message.decode("utf-8"))
    assert len(message) < 8_192

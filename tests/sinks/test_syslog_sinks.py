"""Syslog and RELP against a real rsyslogd: what arrives, over which wire, and what a lost receiver costs."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from heartbeats import sample_heartbeat
from pydantic import ValidationError
from rsyslog_server import RsyslogServer
from server_process import ServerProcess
from sink_alerts import committed_alert
from sink_certificates import Authority

from netmote.errors import Retryable
from netmote.sinks.relp.config import RelpConfig
from netmote.sinks.relp.sink import RelpSink
from netmote.sinks.syslog.config import SyslogConfig
from netmote.sinks.syslog.sink import SyslogSink
from netmote.sinks.syslog_message import alert_message

BATCH = [committed_alert(number) for number in range(1, 4)]
KINDS = {"syslog": (SyslogSink, SyslogConfig, "imtcp"), "relp": (RelpSink, RelpConfig, "imrelp")}
every_kind = pytest.mark.parametrize("kind", KINDS)


@contextlib.contextmanager
def running(server: ServerProcess) -> Iterator[ServerProcess]:
    """Killed in the end."""
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextlib.asynccontextmanager
async def sink(kind: str, port: int, **fields: object):
    """One that is closed in the end."""
    build, model, _ = KINDS[kind]
    made = build(model(type=kind, server=f"127.0.0.1:{port}", **{"timeout": 3.0, **fields}))
    try:
        await made.open()
        yield made
    finally:
        await made.close()


async def arrived(server: RsyslogServer, count: int) -> list[bytes]:
    """Syslog is written a moment after it was sent."""
    async with asyncio.timeout(5):
        while len(server.messages) < count:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
    return server.messages


@every_kind
async def test_messages_arrive_as_they_are(kind: str, tmp_path: Path) -> None:
    """Every byte of them, in order, with the facility and number of the configuration; heartbeats too."""
    with running(RsyslogServer(tmp_path, KINDS[kind][2])) as server:
        async with sink(kind, server.port, encryption="none", facility="local4", enterprise_number=4711) as made:
            await made.deliver(BATCH)
            await made.beat(sample_heartbeat())
            lines = await arrived(server, 4)
    assert lines[:3] == [alert_message(row, facility=20, enterprise=4711) for row in BATCH]
    assert b"[heartbeat@4711 number=" in lines[3]


@every_kind
async def test_tls_is_verified(kind: str, tmp_path: Path) -> None:
    """The authority of the configuration is trusted and no other; the name counts; the receiver may ask for a certificate."""
    authority = Authority(tmp_path)
    pair, client = authority.issue("server"), authority.issue("sensor")
    shown = {"client_certificate": client.certificate, "client_key": client.key}
    with running(RsyslogServer(tmp_path / "r", KINDS[kind][2], authority=authority.file, pair=pair)) as server:
        for wrong in ({}, {"ca_file": Authority(tmp_path, "another").file}):
            with pytest.raises(Retryable, match=r"(?i)certificate"):
                async with sink(kind, server.port, **shown, **wrong) as made:
                    await made.deliver(BATCH)
        async with sink(kind, server.port, ca_file=authority.file, **shown) as made:
            await made.deliver(BATCH)
            assert len(await arrived(server, 3)) == 3


async def test_relp_acknowledges_only_what_is_written(tmp_path: Path) -> None:
    """Kill -9 in the middle of batches: what was acknowledged is in the file, every time."""
    acknowledged: list[str] = []
    with running(RsyslogServer(tmp_path, "imrelp")) as server:
        async with sink("relp", server.port, encryption="none", timeout=2.0) as made:
            number = 0
            for _ in range(4):
                asyncio.get_running_loop().call_later(0.02, server.kill)
                with contextlib.suppress(Retryable):
                    while True:
                        batch = [committed_alert(number + each) for each in range(20)]
                        await made.deliver(batch)
                        acknowledged += [row.alert.event_id for row in batch]
                        number += 20
                server.start()
    assert set(acknowledged) <= set(server.event_ids)


async def deliver_for_ever(made: SyslogSink) -> None:
    """Batch after batch."""
    batch = [committed_alert(number) for number in range(1_000)]
    while True:
        await made.deliver(batch)


async def test_syslog_finds_out_that_the_receiver_takes_nothing(tmp_path: Path) -> None:
    """A receiver that stopped reading is noticed when the kernel's buffers are full, within the time-out."""
    taken: list[asyncio.StreamWriter] = []

    async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        taken.append(writer)

    listener = await asyncio.start_server(never_read, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener:
        async with sink("syslog", port, encryption="none", timeout=0.5, batch_size=1_000) as made:
            with pytest.raises(Retryable, match="has not taken"):
                await deliver_for_ever(made)
        for writer in taken:
            writer.close()


async def test_a_server_that_speaks_another_protocol() -> None:
    """RELP hears at once that it is not understood, and says what it heard."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read(1_000)
        writer.close()

    listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with listener, sink("relp", listener.sockets[0].getsockname()[1], encryption="none") as made:
        with pytest.raises(Retryable, match="no RELP frame begins with b'HTTP"):
            await made.deliver(BATCH)


@every_kind
@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"server": "logs.example", "encryption": "none"}, "not on this machine"),
        ({"server": "logs.example:99999"}, "ort"),
        ({"server": "tls://logs.example"}, "not an address"),
        ({"server": "u:p@logs.example"}, "do not belong"),
        ({"server": "logs.example", "client_key": "/k"}, "client_certificate"),
        ({"server": "127.0.0.1", "encryption": "none", "ca_file": "/ca.pem"}, "means nothing"),
        ({"server": "logs.example", "facility": "local9"}, "local"),
    ],
)
def test_refused(kind: str, fields: dict[str, object], word: str) -> None:
    """Each with a sentence that says what is allowed."""
    with pytest.raises(ValidationError, match=word):
        KINDS[kind][1](type=kind, **fields)


@pytest.mark.parametrize(
    ("kind", "fields", "where"),
    [
        ("syslog", {"server": "logs.example"}, "logs.example:6514"),
        ("syslog", {"server": "::1", "encryption": "none"}, None),
        ("syslog", {"server": "[::1]", "encryption": "none"}, "[::1]:601"),
        ("relp", {"server": "logs.example:20514"}, "logs.example:20514"),
        ("relp", {"server": "logs.example", "encryption": "none", "allow_plain_text": True}, "logs.example:2514"),
    ],
)
def test_where_it_goes(kind: str, fields: dict[str, object], where: str | None) -> None:
    """The usual ports when none is written; an IPv6 address needs its brackets."""
    if where is None:
        with pytest.raises(ValidationError):
            KINDS[kind][1](type=kind, **fields)
    else:
        assert str(KINDS[kind][1](type=kind, **fields).destination) == where


def test_facilities_have_the_numbers_of_the_standard() -> None:
    """RFC 5424 section 6.2.1: the numbers 12 to 15 are left out."""
    numbers = {
        name: SyslogConfig(type="syslog", server="a", facility=name).facility_number
        for name in ("kern", "ftp", "local0", "local7")
    }
    assert numbers == {"kern": 0, "ftp": 11, "local0": 16, "local7": 23}

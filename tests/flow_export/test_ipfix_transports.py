"""The ways to a collector: names looked up, stalls noticed, TLS that knows whom it speaks to."""

import asyncio
import socket
import time
from pathlib import Path

import pytest
from exported_flows import many_flows
from flow_collectors import TcpCollector, set_ids
from pydantic import ValidationError
from sink_certificates import Authority

from netmote.clock import SystemClock
from netmote.errors import Retryable
from netmote.flow_export.exporting_process import ExportingProcess
from netmote.flow_export.flow_queue import ExportTally, chunks_of
from netmote.flow_export.ipfix.config import IpfixConfig
from netmote.flow_export.ipfix.exporter import IpfixExporter
from netmote.flow_export.ipfix.tcp import TcpTransport
from netmote.flow_export.ipfix.udp import UdpTransport


def process(**settings: object) -> ExportingProcess:
    config = IpfixConfig.model_validate({"type": "ipfix", "host": "127.0.0.1", **settings})
    tally = ExportTally()
    exporter = IpfixExporter(config, clock=SystemClock(), tally=tally, metering={})
    return ExportingProcess(exporter, queue_limit=10_000, tally=tally)


async def test_tls_with_both_certificates(tmp_path: Path) -> None:
    """Over TLS flows arrive where each side has shown a certificate of the authority."""
    authority = Authority(tmp_path)
    client = authority.issue("sensor")
    collector = await TcpCollector(ssl=authority.server_context(wants_client=True)).start()
    work = process(
        port=collector.port,
        transport="tls",
        ca_file=authority.file,
        client_certificate=client.certificate,
        client_key=client.key,
    )
    work.put(chunks_of("eth0", many_flows(500)))
    await work.drain(5.0)
    await collector.read_all()
    await collector.stop()
    assert set_ids(collector.messages[0]) == [2, 3]
    assert work.tally.flows == 500


async def test_tls_tells_a_stranger_nothing(tmp_path: Path) -> None:
    """A collector whose certificate another authority signed gets no flow; neither does one whose authority file is missing."""
    (tmp_path / "other").mkdir()
    authority, other = Authority(tmp_path), Authority(tmp_path / "other")
    collector = await TcpCollector(ssl=other.server_context()).start()
    for ca_file, reason in ((authority.file, "certificate"), (tmp_path / "missing.pem", "cannot be used")):
        work = process(port=collector.port, transport="tls", ca_file=ca_file)
        work.put(chunks_of("eth0", many_flows(5)))
        with pytest.raises(Retryable, match=reason):
            await work.run()
        assert work.queued == 5
    await collector.stop()
    assert collector.messages == []


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_name_that_means_nothing(transport: str) -> None:
    """A name that cannot be looked up is said, and tried again by whoever runs it."""
    work = process(host="collector.invalid", transport=transport)
    with pytest.raises(Retryable, match=r"collector\.invalid"):
        await work.run()


async def test_udp_without_a_way_says_so() -> None:
    """Where the machine has no route to the collector, or may not use it, that is the reason, and it is tried again."""
    transport = UdpTransport("255.255.255.255", 4739, messages_per_second=10)  # a broadcast, which needs a permission
    with pytest.raises(Retryable, match=r"255\.255\.255\.255:4739 \(udp\): "):
        await transport.open()


async def test_udp_keeps_its_pace() -> None:
    """Datagrams leave no faster than configured, whatever the burst."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        transport = UdpTransport("127.0.0.1", collector.getsockname()[1], messages_per_second=1_000)
        await transport.open()
        began = time.monotonic()
        for _ in range(320):
            await transport.send(b"x" * 100, has_templates=False)
        assert time.monotonic() - began > 0.3
        await transport.close()
        await transport.close()


async def test_a_collector_that_ends_is_missed_before_the_next_flow() -> None:
    """TCP: its end of stream, UDP: its host's refusal; either ends the session of an idle exporter within seconds."""
    collector = await TcpCollector().start()
    work = process(port=collector.port, transport="tcp")
    run = asyncio.create_task(work.run())
    await asyncio.sleep(0.3)
    await collector.stop()
    async with asyncio.timeout(5):
        with pytest.raises(Retryable, match="closed"):
            await run
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        work = process(port=listener.getsockname()[1])
        run = asyncio.create_task(work.run())
        work.put(chunks_of("eth0", many_flows(1)))
        await asyncio.sleep(0.3)
    work.put(chunks_of("eth0", many_flows(1)))
    async with asyncio.timeout(5):
        with pytest.raises(Retryable, match="refused"):
            await run


async def test_ipv6() -> None:
    """A collector may have an IPv6 address, on either transport."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as collector:
        try:
            collector.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
        collector.settimeout(5)
        work = process(host="::1", port=collector.getsockname()[1])
        work.put(chunks_of("eth0", many_flows(1)))
        await work.drain(2.0)
        assert set_ids(collector.recv(2_000)) == [2, 3]


async def test_sending_without_a_session_is_refused() -> None:
    """Before `open` and after `close` nothing leaves, and closing twice is nothing."""
    for transport in (UdpTransport("127.0.0.1", 9, messages_per_second=10), TcpTransport("127.0.0.1", 9)):
        await transport.close()
        with pytest.raises(Retryable):
            await transport.send(b"", has_templates=False)


async def test_a_collector_that_takes_nothing_holds_nobody() -> None:
    """A TCP collector that does not read: sending waits, is cancelled at once, and the flows are still there."""
    server = await asyncio.start_server(_never_read, "127.0.0.1", 0, limit=1)
    work = process(port=server.sockets[0].getsockname()[1], transport="tcp", message_size=65_000)
    work.put(chunks_of("eth0", many_flows(10_000)))
    for _ in range(20):
        work.put(chunks_of("eth0", many_flows(10_000)))
    run = asyncio.create_task(work.run())
    await asyncio.sleep(0.3)
    began = time.monotonic()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert time.monotonic() - began < 2.0
    assert work.tally.flows + work.queued + work.tally.lost.total() == 210_000
    server.close()


async def _never_read(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(3)
    writer.transport.abort()


@pytest.mark.parametrize(
    "settings",
    [
        {"ca_file": "/x"},
        {"transport": "tcp", "client_key": "/x"},
        {"transport": "tls", "client_key": "/x"},
        {"message_size": 500},
        {"port": 0},
        {"host": ""},
        {"host": "two words"},
        {"records": "both"},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(settings: dict[str, object]) -> None:
    """Certificates without TLS, a key without certificate, messages without room, no host."""
    with pytest.raises(ValidationError):
        IpfixConfig.model_validate({"type": "ipfix", "host": "h", **settings})

"""What every flow exporter promises, whatever its encoding and its way out (`netmote.flow_export.exporter`)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from exported_flows import many_flows
from flow_collectors import TcpCollector, free_udp_port
from manual_clock import ManualClock

from netmote.daemon.components import build_exporter
from netmote.daemon.config import Config
from netmote.errors import Retryable
from netmote.flow_export.exporter import FlowExporter
from netmote.flow_export.flow_queue import ExportTally, chunks_of


@dataclass
class Case:
    """An exporter, and how to bar and free its way."""

    exporter: FlowExporter
    bar: Callable[[], object]


class _Datagrams(asyncio.DatagramProtocol):
    """A collector that takes everything."""


@pytest.fixture(params=["udp", "tcp", "eve"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    """Each implementation with a way out that works until it is barred."""
    collector = await TcpCollector().start()
    port = free_udp_port() if request.param == "udp" else collector.port
    listener, _ = await asyncio.get_running_loop().create_datagram_endpoint(_Datagrams, local_addr=("127.0.0.1", port))
    settings = {
        "udp": {"type": "ipfix", "host": "127.0.0.1", "port": port},
        "tcp": {"type": "ipfix", "host": "127.0.0.1", "port": port, "transport": "tcp"},
        "eve": {"type": "eve", "path": "eve/flows.json"},
    }[request.param]
    (config,) = Config.model_validate({"flow_export": [settings]}).flow_export
    exporter = build_exporter(
        config, clock=ManualClock(), tally=ExportTally(), metering={}, state_dir=tmp_path, free_space_floor=0
    )

    async def bar() -> None:
        await exporter.close()
        listener.close()
        await collector.stop()
        if request.param == "eve":
            for path in (tmp_path / "eve").iterdir():
                path.unlink()
            (tmp_path / "eve").rmdir()
            (tmp_path / "eve").write_text("no directory")

    yield Case(exporter, bar)
    await exporter.close()
    listener.close()
    await collector.stop()


async def test_life(case: Case) -> None:
    """Close without open, twice; open twice; what is prepared is sent, and its octets are told."""
    exporter = case.exporter
    await exporter.close()
    await exporter.close()
    (chunk,) = chunks_of("eth0", many_flows(50))
    parcels = await exporter.prepare(chunk)
    await exporter.open()
    await exporter.open()
    assert sum(parcel.records for parcel in parcels) in (50, 100)
    for parcel in parcels:
        assert await exporter.send(parcel) >= len(parcel.octets) > 0
    assert await exporter.tend() >= 0
    await exporter.close()
    await exporter.close()


async def test_a_barred_way_is_retryable(case: Case) -> None:
    """Where nothing can leave, opening or sending says so as Retryable, and closing is still safe."""
    (parcel, *_) = await case.exporter.prepare(chunks_of("eth0", many_flows(5))[0])
    await case.exporter.open()
    await case.bar()

    async def open_and_send() -> None:
        await case.exporter.open()
        await case.exporter.send(parcel)

    with pytest.raises(Retryable):
        await open_and_send()
    await case.exporter.close()


async def test_cancelled_anywhere_it_works_after_a_close(case: Case) -> None:
    """A cancellation at any await of open or send leaves an exporter that can be opened and used again."""
    (parcel, *_) = await case.exporter.prepare(chunks_of("eth0", many_flows(5))[0])

    async def open_and_send() -> None:
        await case.exporter.open()
        await case.exporter.send(parcel)

    for turns in range(6):
        task = asyncio.create_task(open_and_send())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await case.exporter.close()
    await open_and_send()

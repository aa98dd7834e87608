"""The host collector: what it emits from reading to reading, and that it really runs."""

import asyncio
import math
import socket
import time
from pathlib import Path

import pytest
from manual_clock import ManualClock

from netmote.clock import SystemClock
from netmote.host.collector import HostCollector, HostReading
from netmote.host.config import HostConfig
from netmote.host.gauges import Totals
from netmote.host.listeners import Listener, Sockets
from netmote.host.network_interfaces import NicReading
from netmote.records.batch import Batch
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.records.host import HOST_GAUGES, HostRecord
from netmote.records.interface import INTERFACE_COUNTERS, AdminStatus, InterfaceBatch, OperStatus

SENSOR = Entity(EntityKind.SENSOR, "s1")
SSH, WEB = Listener("tcp", "0.0.0.0", 22), Listener("tcp", "0.0.0.0", 8080)
LEVELS = dict.fromkeys(
    ("load_1m", "memory_used_ratio", "swap_used_ratio", "disk_used_ratio", "processes", "process_resident_bytes"), 0.5
)


def nic(oper: OperStatus = OperStatus.UP, admin: AdminStatus = AdminStatus.UP) -> NicReading:
    return NicReading(2, 6, 1_000, admin, oper, "", (0,) * len(INTERFACE_COUNTERS))


class Bench:
    """Readings made by hand, ten seconds apart."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock = ManualClock()
        self.collector = HostCollector(HostConfig(), sensor="s1", state_dir=tmp_path, clock=self.clock, emit=lambda _: None)
        self.cpu = 0.0

    def read(
        self, *listeners: Listener, nics: dict[str, NicReading] | None = None, seconds: float = 10.0, step: float = 0.0
    ) -> list[Batch]:
        self.clock.advance(seconds)
        self.clock.step(step)
        self.cpu += 20.0
        return self.collector.observe(
            HostReading(
                wall_ns=self.clock.now_ns(),
                monotonic=self.clock.monotonic(),
                totals=Totals(self.cpu, self.cpu / 2, 0.0, 0.0, math.nan, math.nan, 0.0),
                levels=LEVELS,
                sockets=Sockets(dict.fromkeys(listeners, "daemon"), ["LISTEN", "ESTABLISHED"]),
                nics={"eth0": nic()} if nics is None else nics,
            )
        )


def facts(batches: list[Batch]) -> list[Fact]:
    return [fact for batch in batches if isinstance(batch, FactBatch) for fact in batch.facts]


def told(batches: list[Batch]) -> list[tuple[str, str, float]]:
    return [(str(fact.entity), fact.name, fact.value) for fact in facts(batches)]


def test_the_first_reading_is_the_baseline(tmp_path: Path) -> None:
    """No record, no listener is new; interfaces that are up end what an earlier process may have announced."""
    first = Bench(tmp_path).read(SSH)
    assert told(first) == [("interface:s1/eth0", "interface_down", 0.0)]
    assert [type(batch) for batch in first] == [FactBatch]


def test_a_later_reading_is_a_record_of_the_interval(tmp_path: Path) -> None:
    """Interfaces first, the host last; intervals touch; every gauge is there, those the machine lacks as NaN."""
    bench = Bench(tmp_path)
    bench.read(SSH)
    start = bench.clock.now_ns()
    batches = bench.read(SSH)
    assert [type(batch) for batch in batches] == [InterfaceBatch, HostRecord]
    record = batches[-1]
    assert isinstance(record, HostRecord)
    assert (record.source, record.start_ns, record.end_ns, record.sensor) == ("host", start, bench.clock.now_ns(), SENSOR)
    assert tuple(record.gauges) == HOST_GAUGES
    assert record.gauges["cpu_utilization_ratio"] == pytest.approx(0.5)
    assert record.gauges["tcp_connections"] == 1.0
    assert math.isnan(record.gauges["disk_read_bytes_per_second"])


def test_a_new_listener_is_told_once_with_its_process(tmp_path: Path) -> None:
    """One fact, with port, address and process; a listener that goes and comes again is new again."""
    bench = Bench(tmp_path)
    bench.read(SSH)
    batches = bench.read(SSH, WEB)
    assert told(batches) == [(str(SENSOR), "new_listener", 8080.0)]
    assert dict(facts(batches)[0].annotations) == {"transport": "tcp", "address": "0.0.0.0", "process": "daemon"}
    assert told(bench.read(SSH, WEB)) == []
    assert told(bench.read(SSH)) == []
    assert told(bench.read(SSH, WEB)) == [(str(SENSOR), "new_listener", 8080.0)]


@pytest.mark.parametrize("step", [-3_600.0, 5.0, 86_400.0])
def test_a_step_of_the_clock_is_told_and_moves_no_record(tmp_path: Path, step: float) -> None:
    """The interval stays as long as it was, and ends at the new time."""
    bench = Bench(tmp_path)
    bench.read()
    batches = bench.read(step=step)
    assert [(name, value) for _, name, value in told(batches)] == [("clock_step", pytest.approx(step))]
    record = batches[-1]
    assert record.end_ns - record.start_ns == 10_000_000_000
    assert record.end_ns == bench.clock.now_ns()


def test_drift_is_no_step(tmp_path: Path) -> None:
    """NTP slewing the clock is no event."""
    bench = Bench(tmp_path)
    bench.read()
    assert told(bench.read(step=0.5)) == []


def test_own_interfaces_go_down_and_come_back(tmp_path: Path) -> None:
    """Seen up, then down: one fact; up again: one fact. Never up: none. Switched off: no fault."""
    bench = Bench(tmp_path)
    bench.read(nics={"eth0": nic(), "eth1": nic(OperStatus.DOWN)})
    down = bench.read(nics={"eth0": nic(OperStatus.LOWER_LAYER_DOWN), "eth1": nic(OperStatus.DOWN)})
    assert told(down) == [("interface:s1/eth0", "interface_down", 1.0)]
    assert told(bench.read(nics={"eth0": nic(OperStatus.DOWN), "eth1": nic(OperStatus.DOWN)})) == []
    assert told(bench.read(nics={"eth0": nic(), "eth1": nic(OperStatus.DOWN)})) == [("interface:s1/eth0", "interface_down", 0.0)]
    off = nic(OperStatus.DOWN, AdminStatus.DOWN)
    assert told(bench.read(nics={"eth0": off, "eth1": off})) == []


def test_interfaces_come_and_go(tmp_path: Path) -> None:
    """A container's interface appears and vanishes; one that vanishes while down ends its condition."""
    bench = Bench(tmp_path)
    bench.read()
    appeared = told(bench.read(nics={"eth0": nic(), "veth9": nic()}))
    assert ("interface:s1/veth9", "interface_appeared", 1.0) in appeared
    bench.read(nics={"eth0": nic(), "veth9": nic(OperStatus.DOWN)})
    assert told(bench.read()) == [
        ("interface:s1/veth9", "interface_down", 0.0),
        ("interface:s1/veth9", "interface_vanished", 1.0),
    ]


async def test_it_reads_this_machine(tmp_path: Path) -> None:
    """Running for real: a record an interval, a listener opened meanwhile is told, cancellation ends it, status is true."""
    emitted: asyncio.Queue[Batch] = asyncio.Queue()
    config = HostConfig(interval=1.0)
    collector = HostCollector(config, sensor="s1", state_dir=tmp_path, clock=SystemClock(), emit=emitted.put_nowait)

    async def until(kind: type[Batch]) -> Batch:  # type: ignore[valid-type]
        while not isinstance(batch := await emitted.get(), kind):
            continue
        return batch

    async with asyncio.TaskGroup() as group:
        task = group.create_task(collector.run())
        async with asyncio.timeout(10):
            record = await until(HostRecord)
            with socket.socket() as server:
                server.bind(("127.0.0.1", 0))
                server.listen()
                found = [fact for fact in (await until(FactBatch)).facts if fact.name == "new_listener"]
                assert server.getsockname()[1] in [int(fact.value) for fact in found]
        task.cancel()
    assert (record.end_ns - record.start_ns) / 1e9 == pytest.approx(1.0, abs=0.3)
    status = collector.status()
    assert status.readings >= 2
    assert status.last_reading_age_seconds is not None
    assert status.last_reading_duration_seconds < 1.0


class SlowMachine(HostCollector):
    """Takes longer to read than its interval is."""

    def read(self) -> HostReading:
        reading = super().read()
        time.sleep(0.12)
        return reading


async def test_a_slow_machine_skips_instead_of_queueing(tmp_path: Path) -> None:
    """A reading longer than the interval costs the slots that passed, counted, and none is caught up."""
    config = HostConfig.model_construct(interval=0.05)
    emitted: list[Batch] = []
    collector = SlowMachine(config, sensor="s1", state_dir=tmp_path, clock=SystemClock(), emit=emitted.append)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await collector.run()
    status = collector.status()
    assert status.readings <= 8
    assert status.skipped >= status.readings

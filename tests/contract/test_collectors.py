"""What every asyncio collector must do, whatever it observes: emit in order, keep its clocks, end by cancellation alone."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Protocol

import pytest
from snmp_scripted import ScriptedBackend, ScriptedDevice

from netmote.clock import SystemClock
from netmote.host.collector import HostCollector
from netmote.host.config import HostConfig
from netmote.records.batch import Batch
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch, InvalidReason
from netmote.snmp.collector import SnmpCollector
from netmote.snmp.config import SnmpConfig


class Collector(Protocol):
    async def run(self) -> None: ...


Make = Callable[[Callable[[Batch], None], Path], Collector]


def host(emit: Callable[[Batch], None], directory: Path) -> Collector:
    return HostCollector(HostConfig(interval=1.0), sensor="s", state_dir=directory, clock=SystemClock(), emit=emit)


def snmp(emit: Callable[[Batch], None], directory: Path) -> Collector:
    devices, clock = {}, SystemClock()
    for name in ("a", "b"):
        devices[name] = device = ScriptedDevice()
        device.boot(up_time=1_000)

        def count(device: ScriptedDevice = device) -> None:
            device.boot(up_time=round(clock.monotonic() * 100) % 2**32)

        device.before_answer = count
        count()
        device.port(1, "eth1")
    targets = [{"name": name, "address": "192.0.2.1"} for name in devices]
    config = SnmpConfig.model_validate({"interval": "1s", "targets": targets})
    return SnmpCollector(config, clock=SystemClock(), random=Random(1), emit=emit, backend=ScriptedBackend(devices))


@pytest.fixture(params=[host, snmp], ids=["host", "snmp"])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param  # type: ignore[no-any-return]


async def collect(make: Make, directory: Path, *, seconds: float) -> list[Batch]:
    emitted: list[Batch] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await make(emitted.append, directory).run()
    return emitted


async def test_batches_of_a_source_come_in_the_order_of_time(make: Make, tmp_path: Path) -> None:
    """`end_ns` is the watermark of a source: it never goes back, and no interval ends before it starts."""
    emitted = await collect(make, tmp_path, seconds=3.3)
    assert len(emitted) >= 2
    for source in {batch.source for batch in emitted}:
        batches = [batch for batch in emitted if batch.source == source]
        ends = [batch.end_ns for batch in batches]
        assert ends == sorted(ends)
        assert all(batch.start_ns <= batch.end_ns for batch in batches)


async def test_interface_batches_are_well_formed(make: Make, tmp_path: Path) -> None:
    """Columns of one length in canonical order; what is invalid is 0; intervals touch; names belong to the device."""
    emitted = await collect(make, tmp_path, seconds=3.3)
    for source in {batch.source for batch in emitted}:
        batches = [batch for batch in emitted if isinstance(batch, InterfaceBatch) and batch.source == source]
        assert batches
        for batch in batches:
            shape = (len(batch.interfaces), len(INTERFACE_COUNTERS))
            assert batch.deltas.shape == batch.invalid.shape == shape
            assert list(batch.interfaces) == sorted(set(batch.interfaces))
            assert {entity.owner for entity in batch.interfaces} == {batch.device}
            assert (batch.deltas >= 0).all()
            assert not batch.deltas[batch.invalid != InvalidReason.VALID].any()
            for column in (batch.if_index, batch.if_type, batch.if_high_speed, batch.if_admin_status, batch.if_oper_status):
                assert column.shape == shape[:1]
        for earlier, later in itertools.pairwise(batches):
            assert later.start_ns == earlier.end_ns
            assert later.duration_ns == pytest.approx(later.end_ns - later.start_ns, abs=100_000_000)


async def test_cancellation_ends_it_at_any_moment(make: Make, tmp_path: Path) -> None:
    """Cancelled at the start, during a reading or while it sleeps, it is over at once and emits nothing afterwards."""
    for delay in (0.0, 0.001, 0.02, 0.3, 1.01):
        emitted: list[Batch] = []
        async with asyncio.TaskGroup() as group:
            task = group.create_task(make(emitted.append, tmp_path).run())
            await asyncio.sleep(delay)
            task.cancel()
            async with asyncio.timeout(0.5):
                await asyncio.wait([task])
        assert task.cancelled()
        before = len(emitted)
        await asyncio.sleep(0.05)
        assert len(emitted) == before


async def test_it_runs_again_after_it_was_cancelled(make: Make, tmp_path: Path) -> None:
    """The supervisor starts the same object anew after a failure."""
    emitted: list[Batch] = []
    collector = make(emitted.append, tmp_path)
    for _ in range(2):
        emitted.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.4):
                await collector.run()
        assert emitted


async def test_what_emit_raises_is_not_swallowed(make: Make, tmp_path: Path) -> None:
    """A consumer that fails is a bug of the daemon: it ends the run instead of losing records in silence."""

    def fail(batch: Batch) -> None:
        raise LookupError(batch.source)

    with pytest.raises((LookupError, ExceptionGroup)):
        async with asyncio.timeout(5):
            await make(fail, tmp_path).run()

"""Timeouts and cancellation leave nothing behind: no task, no exchange, no descriptor."""

import asyncio
from pathlib import Path
from random import Random

from snmp_fault_agent import FaultAgent

from netmote.clock import SystemClock
from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.snmp.backends import Backends
from netmote.snmp.collector import SnmpCollector
from netmote.snmp.config import SnmpConfig, TargetConfig
from netmote.snmp.credentials import Community
from netmote.snmp.native.transport import Transport


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_a_cancelled_collector_leaves_nothing() -> None:
    """30 silent devices in the middle of their requests: what ran is gone at once."""
    emitted: list[Batch] = []
    async with FaultAgent(lambda table, request: []) as agent:
        fds, tasks = descriptors(), len(asyncio.all_tasks())
        targets = [
            {"name": f"d{number}", "address": "127.0.0.1", "port": agent.port, "timeout": "300ms", "retries": 1}
            for number in range(30)
        ]
        config = SnmpConfig.model_validate({"interval": "1s", "targets": targets})
        for seconds in (0.2, 2.5):
            collector = SnmpCollector(config, clock=SystemClock(), random=Random(1), emit=emitted.append)
            run = asyncio.create_task(collector.run())
            await asyncio.sleep(seconds)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            assert len(asyncio.all_tasks()) == tasks
            assert descriptors() == fds
    assert sum(isinstance(batch, DeviceRecord) and batch.timeouts > 0 for batch in emitted) >= 30, "they did time out"


async def test_cancelled_requests_leave_no_exchange() -> None:
    """200 requests cancelled before their answers, 50 timed out: the table of those that wait is empty."""
    async with FaultAgent(lambda table, request: []) as agent:
        backends = Backends(clock=SystemClock(), random=Random(1))
        target = TargetConfig(name="d", address="127.0.0.1", port=agent.port, timeout=0.2, backend="native")
        session = await backends.open(target, Community())
        transport: Transport = session.transport  # type: ignore[attr-defined]
        asked = [asyncio.create_task(session.get([b"\x2b\x06\x01"])) for _ in range(250)]
        await asyncio.sleep(0.05)
        assert transport.waiting == 250
        for task in asked[:200]:
            task.cancel()
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(end).__name__ for end in ends] == ["CancelledError"] * 200 + ["RequestTimedOut"] * 50
        assert transport.waiting == 0
        await backends.close()

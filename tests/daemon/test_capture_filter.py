"""A filter in the document reaches the kernel, and a reload with another one opens the ring anew."""

import asyncio

import pytest
from daemon_legs import Legs, until
from veth_link import Link

from netmote.capture.config import CaptureConfig
from netmote.clock import SystemClock
from netmote.daemon.captures import Captures
from netmote.metering.config import MeteringConfig
from netmote.records.batch import Batch
from netmote.records.flow import FlowBatch

pytestmark = pytest.mark.root


async def test_a_reload_with_another_filter_opens_the_ring_anew(legs: Legs, link: Link) -> None:
    """Only what the filter of the moment wants is received; the version is the one asked for."""
    link.create()
    emitted: list[Batch] = []
    captured = Captures(sensor="s1", emit=emitted.append, supervise=legs.supervised, clock=SystemClock(), health=legs.health)
    metering = MeteringConfig(max_flows=1024)

    def config(**values: str) -> CaptureConfig:
        return CaptureConfig.model_validate({"interfaces": ["wire0"], "ring_size": 2**18, **values})

    def received() -> int:
        return sum(batch.loss.received for batch in emitted if isinstance(batch, FlowBatch))

    async def is_open() -> None:
        await until(lambda: bool(captured.observations) and captured.observations[0].has_ring)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        captured.start(group, config(filter="not arp"), metering)
        await is_open()
        link.send(20)  # ARP
        await asyncio.sleep(0.4)
        await captured.apply(group, config(filter="arp", ring="v2"), metering)
        assert received() == 0
        await is_open()
        link.send(30)
        await asyncio.sleep(0.4)
        await captured.apply(group, config(filter="arp and len > 1000", ring="v2"), metering)
        assert received() == 30
        await is_open()
        link.send(40)
        await asyncio.sleep(0.4)
        await captured.stop(5.0)
    assert received() == 30

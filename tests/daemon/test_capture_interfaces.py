"""Several interfaces at once: each is an observation point of its own, with its own packets, ring and state."""

import asyncio
from collections import Counter

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


async def test_both_ends_of_a_wire(legs: Legs, link: Link) -> None:
    """One sees packets leave, the other sees them arrive; one that goes away does not disturb the other."""
    link.create()
    emitted: list[Batch] = []
    captured = Captures(sensor="s1", emit=emitted.append, supervise=legs.supervised, clock=SystemClock(), health=legs.health)
    config = CaptureConfig.model_validate({"interfaces": ["wire0", "wire1", "absent0"], "ring_size": 2**18, "ring": "v2"})
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        captured.start(group, config, MeteringConfig(max_flows=1024))
        by_name = {each.interface: each for each in captured.observations}
        await until(lambda: by_name["wire0"].has_ring and by_name["wire1"].has_ring)
        await until(lambda: by_name["absent0"].gone_since is not None)
        link.send(25)
        await asyncio.sleep(0.5)
        link.set("wire1", "down")
        await asyncio.sleep(0.5)
        assert by_name["wire0"].has_ring
        await captured.stop(5.0)
    seen: Counter[str] = Counter()
    for batch in emitted:
        if isinstance(batch, FlowBatch):
            seen[batch.source] += batch.loss.received
    assert seen == {"capture:wire0": 25, "capture:wire1": 25}
    assert not legs.health.reasons

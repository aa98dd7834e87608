"""One interface, captured: panes while it is there, a fact and a reason when it goes, capture again when it is back."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon_legs import Legs, until
from veth_link import Link

from netmote.capture.config import CaptureConfig
from netmote.capture.pcap_file import read_capture
from netmote.capture.ring import Ring
from netmote.clock import SystemClock
from netmote.daemon.captures import Captures
from netmote.daemon.observation import Observation
from netmote.errors import Unavailable
from netmote.metering.config import MeteringConfig
from netmote.records.batch import Batch
from netmote.records.fact import FactBatch
from netmote.records.flow import PANE_NS, FlowBatch

pytestmark = pytest.mark.root


class Seen(list[Batch]):
    def packets(self) -> int:
        return sum(batch.loss.received for batch in self if isinstance(batch, FlowBatch))

    def facts(self, name: str) -> list[float]:
        return [fact.value for batch in self if isinstance(batch, FactBatch) for fact in batch.facts if fact.name == name]


def observation(legs: Legs, seen: Callable[[Batch], None], *, interface: str = "wire0", **capture: object) -> Observation:
    return Observation(
        interface,
        CaptureConfig.model_validate({"interfaces": [interface], "ring_size": 2**18, **capture}),
        MeteringConfig(max_flows=1024),
        sensor="s1",
        clock=SystemClock(),
        emit=seen,
        health=legs.health,
    )


async def test_the_interface_vanishes_and_returns(legs: Legs, link: Link) -> None:
    """Deleted: the open pane is flushed, a fact begins, the reason is shown; created anew: both end and packets come again."""
    link.create()
    seen = Seen()
    observed = observation(legs, seen.append)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(observed.run())
        await until(lambda: observed.has_ring)
        link.send(20)
        await until(lambda: observed.meter.open_pane_start_ns is not None)
        link.delete()
        await until(lambda: seen.facts("capture_interface_gone") == [0.0, 1.0])
        assert seen.packets() == 20
        assert not observed.has_ring
        assert "captured again when it is back" in legs.reason("capture:wire0")
        link.create()
        await until(lambda: seen.facts("capture_interface_gone") == [0.0, 1.0, 0.0])
        assert legs.reason("capture:wire0") is None
        link.send(20)
        await asyncio.sleep(0.5)
        task.cancel()
    assert seen.packets() == 40
    assert all(batch.end_ns - batch.start_ns == PANE_NS for batch in seen if isinstance(batch, FlowBatch))


async def test_replaced_by_another_of_its_name(legs: Legs, link: Link) -> None:
    """An interface that was deleted and created between two looks is captured anew, not taken for silent."""
    link.create()
    seen = Seen()
    observed = observation(legs, seen.append)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(observed.run())
        await until(lambda: observed.has_ring)
        link.delete()
        link.create()
        await until(lambda: seen.facts("capture_interface_gone") == [0.0, 1.0, 0.0])
        link.send(10)
        await asyncio.sleep(0.5)
        task.cancel()
    assert seen.packets() >= 10


async def test_not_there_yet(legs: Legs, link: Link) -> None:
    """An interface that is named and not there is waited for, with a reason."""
    seen = Seen()
    observed = observation(legs, seen.append)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(observed.run())
        await until(lambda: observed.gone_since is not None)
        assert "no interface wire0" in legs.reason("capture:wire0")
        link.create()
        await until(lambda: observed.has_ring)
        task.cancel()
    assert not legs.health.reasons


async def test_the_tee_may_fail(legs: Legs, link: Link, tmp_path: Path) -> None:
    """When the copy cannot be written, that is a reason, and packets are captured all the same."""
    link.create()
    (tmp_path / "file").write_text("")
    seen = Seen()
    observed = observation(legs, seen.append, tee_dir=tmp_path / "file" / "tee")
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(observed.run())
        await until(lambda: observed.has_ring)
        assert "not written" in legs.reason("tee:wire0")
        link.send(10)
        await asyncio.sleep(0.5)
        task.cancel()
    assert seen.packets() == 10


async def test_recent_headers_are_kept_beside_the_tee(legs: Legs, link: Link, tmp_path: Path) -> None:
    """Both are told every packet; their memory counts as the ring's; headers stay over a gap. Turned off: none are kept."""
    link.create()
    seen = Seen()
    observed = observation(legs, seen.append, tee_dir=tmp_path / "tee", evidence_size="100kB")
    plain = observation(legs, seen.append, interface="wire1", evidence_size="0B")

    def kept() -> int:
        return 0 if observed.recent is None else len(observed.recent.between(0, 2**62))

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in (observed, plain)]
        await until(lambda: observed.has_ring and plain.has_ring)
        link.send(20)
        await until(lambda: kept() == 20)
        assert observed.recent is not None
        assert observed.ring_bytes == plain.ring_bytes + observed.recent.memory_bytes
        assert plain.recent is None
        link.delete()
        await until(lambda: observed.gone_since is not None)
        link.create()
        await until(lambda: observed.has_ring)
        link.send(5)
        await until(lambda: kept() == 25)
        for task in tasks:
            task.cancel()
    teed = [block.received for path in sorted((tmp_path / "tee").iterdir()) for block in read_capture(path)]
    assert sum(teed) == 25


async def test_an_interface_that_cannot_be_captured_says_so_once(legs: Legs) -> None:
    """What the kernel refuses is Unavailable to the supervisor, and a fact that begins once over all tries."""

    class Refused(Observation):
        def _open_ring(self) -> Ring:
            raise Unavailable(f"{self.interface} has link type ARPHRD 769, which is not decoded")

    seen = Seen()
    observed = Refused(
        "tun6", CaptureConfig(), MeteringConfig(), sensor="s1", clock=SystemClock(), emit=seen.append, health=legs.health
    )
    for _ in range(3):
        with pytest.raises(Unavailable, match="link type"):
            await observed.run()
    assert seen.facts("capture_unavailable") == [1.0]


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_flood_into_a_small_ring_is_received_or_told_as_lost(legs: Legs, link: Link, workers: int) -> None:
    """Faster than it is read: every packet sent is in the pane's account, as received or as lost in the ring, and windows see it."""
    link.create()
    seen = Seen()
    observed = observation(legs, seen.append, ring_size=2**18, workers=workers, evidence_size="0B")
    frames = [
        bytes.fromhex("02000000000202000000000108004500003200010000401100000a00") + number.to_bytes(2, "big") + bytes(60)
        for number in range(2_000)
    ]
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(observed.run())
        await until(lambda: observed.has_ring and len(observed.worker_processes) in (0, workers))
        await asyncio.sleep(0.5)
        readers = observed.worker_processes
        for pid in readers:  # these would be fast enough
            os.kill(pid, signal.SIGSTOP)
        for _ in range(20):
            await asyncio.to_thread(link.send_frames, frames)
        for pid in readers:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(1.0)
        task.cancel()
    panes = [batch for batch in seen if isinstance(batch, FlowBatch)]
    lost = sum(dict(batch.loss.dropped_by).get("ring", 0) for batch in panes)
    assert lost > 0
    assert seen.packets() + lost == 20 * len(frames)
    assert max(batch.loss.loss_ratio for batch in panes) > 0.01


async def test_captures_follow_the_machine_and_the_document(legs: Legs, link: Link) -> None:
    """A changed list of interfaces touches only what changed; `auto` without any interface says so."""
    link.create()
    seen = Seen()
    captures = Captures(
        sensor="s1",
        emit=seen.append,
        supervise=legs.supervised,
        clock=legs.clock,
        health=legs.health,
        select=lambda names: tuple(name for name in names if name != "auto"),
    )
    both = CaptureConfig.model_validate({"interfaces": ["wire0", "wire1"], "ring_size": 2**18})
    one = both.model_copy(update={"interfaces": ("wire0",)})
    small = MeteringConfig(max_flows=1024)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        captures.start(group, one, small)
        await until(lambda: captures.observations[0].has_ring)
        first = captures.observations[0]
        await captures.apply(group, both, small)
        assert [each.interface for each in captures.observations] == ["wire0", "wire1"]
        assert captures.observations[0] is first
        await until(lambda: captures.observations[1].has_ring)
        await captures.apply(group, one, small)
        assert captures.observations == [first]
        await captures.apply(group, one, MeteringConfig(max_flows=2048))
        assert captures.observations[0] is not first
        await captures.apply(group, both.model_copy(update={"interfaces": ("auto",)}), small)
        assert captures.observations == []
        assert "no interface is up" in legs.reason("capture")
        await captures.apply(group, both.model_copy(update={"interfaces": ()}), small)
        assert legs.reason("capture") is None
        await captures.stop(5.0)
    assert set(seen.facts("capture_unavailable")) == {0.0}

"""Several processes capture one interface: together they say what one would; one that dies is replaced, and the loss is told."""

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from daemon_legs import Legs, NoDelay, until
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from veth_link import Link

from netmote.capture.config import CaptureConfig
from netmote.capture.pcap_file import read_capture
from netmote.capture.ring import InterfaceGone
from netmote.clock import SystemClock
from netmote.daemon.capture_workers import CaptureWorkers
from netmote.daemon.captures import Captures
from netmote.daemon.observation import Observation
from netmote.metering.config import MeteringConfig
from netmote.records.batch import Batch
from netmote.records.fact import FactBatch
from netmote.records.flow import FLOW_DTYPE, PANE_NS, FlowBatch

pytestmark = pytest.mark.root

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
SMALL = MeteringConfig(max_flows=1024)


class Seen(list[Batch]):
    def panes(self) -> list[FlowBatch]:
        return [batch for batch in self if isinstance(batch, FlowBatch)]

    def packets(self) -> int:
        return sum(batch.loss.received for batch in self.panes())

    def lost(self, place: str) -> int:
        return sum(dict(batch.loss.dropped_by).get(place, 0) for batch in self.panes())

    def facts(self, name: str) -> list[float]:
        return [fact.value for batch in self if isinstance(batch, FactBatch) for fact in batch.facts if fact.name == name]

    def flows(self) -> Counter[bytes]:
        """Every flow over all panes: what sent and answered how much. Without ids and times, which differ between observers."""
        slices = np.concatenate([np.zeros(0, FLOW_DTYPE), *(batch.slices for batch in self.panes())])
        keys = (
            "source_address",
            "destination_address",
            "source_transport_port",
            "destination_transport_port",
            "protocol_identifier",
        )
        sums: dict[bytes, list[int]] = {}
        for row in slices:
            counts = sums.setdefault(b"".join(row[name].tobytes() for name in keys), [0, 0, 0, 0])
            for place, name in enumerate(("initiator_packets", "responder_packets", "initiator_octets", "responder_octets")):
                counts[place] += int(row[name])
        return Counter(key + repr(counts).encode() for key, counts in sums.items())


def config(workers: int, **capture: object) -> CaptureConfig:
    return CaptureConfig.model_validate(
        {"interfaces": ["wire0"], "ring_size": 2**20, "workers": workers, "evidence_size": "0B", **capture}
    )


def observation(legs: Legs, seen: Callable[[Batch], None], workers: int, **capture: object) -> Observation:
    return Observation(
        "wire0",
        config(workers, **capture),
        SMALL,
        sensor="s1",
        clock=SystemClock(),
        emit=seen,
        health=legs.health,
        on_worker_death=lambda name: legs.metrics.component_restarts_total.inc(component=name),
    )


def exchange(number: int, *, port: int = 80) -> list[bytes]:
    """A conversation of two hosts over TCP and IPv4, another over UDP and IPv6."""
    here, there, six, far = f"10.2.0.{number % 250 + 1}", "192.0.2.9", f"2001:db8::{number:x}", "2001:db8::f:1"
    packets = [
        IP(src=here, dst=there) / TCP(sport=30_000 + number, dport=port, flags="S"),
        IP(src=there, dst=here) / TCP(sport=port, dport=30_000 + number, flags="SA"),
        IP(src=here, dst=there) / TCP(sport=30_000 + number, dport=port, flags="PA") / Raw(b"x" * (number % 700)),
        IPv6(src=six, dst=far, fl=number) / UDP(sport=40_000 + number, dport=443) / Raw(b"y" * 50),
        IPv6(src=far, dst=six) / UDP(sport=443, dport=40_000 + number) / Raw(b"z" * (number % 900)),
    ]
    return [bytes(ETHER / packet) for packet in packets]


def traffic(count: int = 200) -> list[bytes]:
    return [frame for number in range(count) for frame in exchange(number)]


def step_for(workers: CaptureWorkers, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert workers.step() == []


async def early_in_a_pane() -> None:
    """What comes next falls into one pane, which stays open for three seconds at least."""
    await until(lambda: SystemClock().now_ns() % PANE_NS < PANE_NS // 5)


async def ended(pids: list[int]) -> None:
    await until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


async def test_two_workers_say_what_one_does(legs: Legs, link: Link) -> None:
    """Over several panes, the flows and totals of two workers are those of one thread that sees the same packets; ids are unique,
    the panes come in order and without a gap, and no process is left.
    """
    link.create()
    one, two = Seen(), Seen()
    alone, shared = observation(legs, one.append, 1), observation(legs, two.append, 2)
    frames = traffic()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in (alone, shared)]
        await until(lambda: alone.has_ring and shared.has_ring)
        pids = shared.worker_processes
        for part in range(4):
            await asyncio.to_thread(link.send_frames, frames[part::4])
            await asyncio.sleep(2.0)
        assert shared.flows_held == 400
        assert shared.ring_bytes == 2 * alone.ring_bytes
        for task in tasks:
            task.cancel()
    assert two.packets() == one.packets() == len(frames)
    assert two.flows() == one.flows()
    assert sum(two.flows().values()) == 400
    ids = np.concatenate([batch.slices["flow_id"] for batch in two.panes()])
    assert {int(number) >> 60 for number in ids} == {0, 1}
    assert len(np.unique(ids)) == 400
    starts = [batch.start_ns for batch in two.panes()]
    assert len(starts) >= 2
    assert starts == list(range(starts[0], starts[-1] + 1, PANE_NS))
    assert sum(batch.loss.dropped for batch in two.panes()) == 0
    assert two.facts("capture_worker_restarted") == []
    await ended(pids)


async def test_one_that_is_killed_is_replaced(legs: Legs, link: Link) -> None:
    """Kill -9: the other goes on, packets wait in the ring for the next worker, what the dead one had counted is told as lost, and
    everything sent is either received or lost.
    """
    link.create()
    seen = Seen()
    observed = observation(legs, seen.append, 2)
    frames = traffic(100)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(observed.run())
        await until(lambda: observed.has_ring)
        await early_in_a_pane()
        await asyncio.to_thread(link.send_frames, frames)
        await until(lambda: observed.flows_held == 200)
        await asyncio.sleep(0.6)  # counted, and told
        victim, survivor = observed.worker_processes
        os.kill(victim, signal.SIGKILL)
        await asyncio.to_thread(link.send_frames, frames)  # some of them while nobody reads that ring
        await until(lambda: seen.facts("capture_worker_restarted") == [0.0])
        assert "SIGKILL" in legs.reason("capture:wire0:workers")
        await until(lambda: len(observed.worker_processes) == 2)
        assert survivor in observed.worker_processes
        assert victim not in observed.worker_processes
        await asyncio.to_thread(link.send_frames, frames)
        await asyncio.sleep(1.5)
        pids = observed.worker_processes
        task.cancel()
    lost = seen.lost("worker")
    assert 0 < lost < len(frames)
    assert seen.packets() + lost == 3 * len(frames)
    assert any(batch.loss.loss_ratio > 0.01 for batch in seen.panes())
    assert 'netmote_component_restarts_total{component="capture:wire0:0"} 1.0' in legs.metrics.render().decode()
    assert legs.reason("capture:wire0:workers") is None
    await ended(pids)


async def test_one_that_is_stopped_holds_nobody_back(legs: Legs, link: Link) -> None:
    """SIGSTOP: the panes of the other come on time, and what the stopped one had comes later, as batches of the same panes."""
    link.create()
    seen = Seen()
    observed = observation(legs, seen.append, 2)
    frames = traffic(100)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(observed.run())
        await until(lambda: observed.has_ring)
        await early_in_a_pane()
        await asyncio.to_thread(link.send_frames, frames)
        await until(lambda: observed.flows_held == 200)
        stopped = observed.worker_processes[0]
        os.kill(stopped, signal.SIGSTOP)
        await until(lambda: 0 < seen.packets() < len(frames))
        os.kill(stopped, signal.SIGCONT)
        await until(lambda: seen.packets() == len(frames))
        task.cancel()
    assert seen.lost("worker") == 0
    assert seen.facts("capture_worker_restarted") == []


def test_one_that_hangs_is_replaced(link: Link) -> None:
    """One that neither dies nor says anything is ended, and another goes on with its ring: nothing that waited there is lost."""
    link.create()
    deaths: list[tuple[int, str]] = []
    workers = CaptureWorkers(
        "wire0",
        config(2),
        SMALL,
        source="capture:wire0",
        clock=SystemClock(),
        random=NoDelay(),
        on_death=lambda number, how: deaths.append((number, how)),
        on_tee_failure=deaths.append,
        hung_seconds=3.0,
    )
    frames, panes = traffic(20), []

    def step_until(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            panes.extend(workers.step())

    with contextlib.closing(workers):
        step_until(lambda: len(workers.processes) == 2)
        hung, other = workers.processes
        os.kill(hung, signal.SIGSTOP)
        link.send_frames(frames)
        step_until(lambda: deaths)
        step_until(lambda: len(workers.processes) == 2 and workers.flows_held == 40)
        assert workers.processes[1] == other
        panes += workers.end()
    assert deaths == [(0, "it said nothing for 3 s")]
    assert sum(batch.loss.received for batch in panes) == len(frames)
    assert sum(batch.loss.dropped for batch in panes) == 0
    assert not any(psutil.pid_exists(pid) for pid in (hung, other))


def test_what_waits_for_workers_that_never_began_is_told(link: Link, caplog: pytest.LogCaptureFixture) -> None:
    """The interface goes while they start: no pane can tell of the packets in the rings, so the log does, to the packet."""
    link.create()
    workers = CaptureWorkers(
        "wire0",
        config(2),
        SMALL,
        source="capture:wire0",
        clock=SystemClock(),
        random=NoDelay(),
        on_death=lambda _number, how: pytest.fail(how),
        on_tee_failure=pytest.fail,
    )
    with contextlib.closing(workers):
        link.send_frames(traffic(20))
        link.delete()
        with pytest.raises(InterfaceGone):  # as the first of them says that has begun, perhaps within the step that starts it
            step_for(workers, seconds=20)
        assert workers.end() == []
    assert "100 packets were lost after the last pane" in caplog.text
    assert workers.processes == []


async def test_the_interface_vanishes_and_returns(legs: Legs, link: Link) -> None:
    """As with one thread: the open pane is flushed, a fact begins and ends, and packets come again."""
    link.create()
    seen = Seen()
    observed = observation(legs, seen.append, 2)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(observed.run())
        await until(lambda: observed.has_ring)
        pids = observed.worker_processes
        await asyncio.to_thread(link.send_frames, traffic(20))
        await asyncio.sleep(0.5)
        link.delete()
        await until(lambda: seen.facts("capture_interface_gone") == [0.0, 1.0])
        assert seen.packets() == 100
        assert observed.worker_processes == []
        await ended(pids)
        link.create()
        await until(lambda: observed.has_ring)
        assert seen.facts("capture_interface_gone") == [0.0, 1.0, 0.0]
        await asyncio.to_thread(link.send_frames, traffic(20))
        await asyncio.sleep(0.5)
        task.cancel()
    assert seen.packets() == 200


async def test_from_one_to_two_and_back(legs: Legs, link: Link, tmp_path: Path) -> None:
    """A reload changes how many read, and leaves nothing behind; each worker writes a copy of its own, and together they have all."""
    link.create()
    seen = Seen()
    captures = Captures(sensor="s1", emit=seen.append, supervise=legs.supervised, clock=SystemClock(), health=legs.health)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        captures.start(group, config(1), SMALL)
        await until(lambda: captures.observations[0].has_ring)
        assert captures.observations[0].worker_processes == []
        await captures.apply(group, config(2, tee_dir=tmp_path / "tee"), SMALL)
        await until(lambda: captures.observations[0].has_ring)
        pids = captures.observations[0].worker_processes
        await asyncio.to_thread(link.send_frames, traffic(20))
        await asyncio.sleep(0.5)
        await captures.apply(group, config(1), SMALL)
        await ended(pids)
        assert seen.packets() == 100
        await until(lambda: captures.observations[0].has_ring)
        await asyncio.to_thread(link.send_frames, traffic(4))
        await asyncio.sleep(0.5)
        await captures.stop(5.0)
    assert seen.packets() == 120
    copies = sorted((tmp_path / "tee").iterdir())
    assert [path.name.split("-")[2:] for path in copies] == [["0", "0.pcapng"], ["1", "0.pcapng"]]
    assert sum(block.received for path in copies for block in read_capture(path)) == 100


async def test_a_copy_that_cannot_be_written_is_a_reason(legs: Legs, link: Link, tmp_path: Path) -> None:
    """Packets are captured all the same."""
    link.create()
    (tmp_path / "file").write_text("")
    seen = Seen()
    observed = observation(legs, seen.append, 2, tee_dir=tmp_path / "file" / "tee")
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(observed.run())
        await until(lambda: legs.reason("tee:wire0") is not None)
        await until(lambda: observed.has_ring)
        await asyncio.to_thread(link.send_frames, traffic(4))
        await asyncio.sleep(0.5)
        task.cancel()
    assert "not written" in legs.reason("tee:wire0")
    assert seen.packets() == 20

"""An interface that cannot be observed for a while, with one reader and with two: nothing is taken for silence, and it goes on by itself."""

import asyncio
from collections.abc import Callable

import pytest
from daemon_legs import Legs, until
from veth_link import Link

from netmote.capture.config import CaptureConfig
from netmote.clock import SystemClock
from netmote.daemon.observation import Observation
from netmote.metering.config import MeteringConfig
from netmote.records.batch import Batch
from netmote.records.fact import Fact, FactBatch
from netmote.records.flow import PANE_NS, FlowBatch
from netmote.windows.config import WindowsConfig
from netmote.windows.observation_gaps import GAP_FACTS
from netmote.windows.sliding import Windows

pytestmark = [pytest.mark.root, pytest.mark.parametrize("workers", [1, 2])]

GAP_SECONDS = 1.5


class Seen(list[Batch]):
    def packets(self) -> int:
        return sum(batch.loss.received for batch in self if isinstance(batch, FlowBatch))

    def facts(self, name: str) -> list[Fact]:
        return [fact for batch in self if isinstance(batch, FactBatch) for fact in batch.facts if fact.name == name]

    def values(self, name: str) -> list[float]:
        return [fact.value for fact in self.facts(name)]


def gaps_in(seen: Seen) -> list[tuple[float, float]]:
    """When nothing could be observed, in seconds since 1970. A link that came back is down for a moment before it carries anything."""
    told = sorted((fact for name in GAP_FACTS for fact in seen.facts(name)), key=lambda fact: fact.time_ns)
    holding: set[str] = set()
    found: list[tuple[float, float]] = []
    since = 0
    for fact in told:
        was_blind = bool(holding)
        (holding.add if fact.value else holding.discard)(fact.name)
        if holding and not was_blind:
            since = fact.time_ns
        elif was_blind and not holding:
            found.append((since / 1e9, fact.time_ns / 1e9))
    return found


def observation(legs: Legs, seen: Callable[[Batch], None], workers: int) -> Observation:
    document = {"interfaces": ["wire0"], "ring_size": 2**18, "evidence_size": "0B", "workers": workers}
    return Observation(
        "wire0",
        CaptureConfig.model_validate(document),
        MeteringConfig(max_flows=1024),
        sensor="s1",
        clock=SystemClock(),
        emit=seen,
        health=legs.health,
    )


def observed_seconds(batches: list[Batch]) -> float:
    """Of the last window, by what windows make of these batches."""
    windows = Windows(WindowsConfig(), sensor="s1")
    for batch in batches:
        windows.add(batch)
    last = [batch for batch in windows.finish() if batch.schema.name == "traffic"][-1]
    return float(last.coverage[[str(each) for each in last.entities].index("interface:s1/wire0")]) * 60


async def gap(legs: Legs, link: Link, workers: int, *, fact: str, begin: Callable[[], None], end: Callable[[], None]) -> Seen:
    """Packets, a gap, packets again."""
    link.create()
    seen = Seen()
    observed = observation(legs, seen.append, workers)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(observed.run())
        await until(lambda: observed.has_ring and len(observed.worker_processes) in (0, workers))
        # So that the gap begins within the pane of these packets.
        await until(lambda: SystemClock().now_ns() % PANE_NS < PANE_NS // 2)
        link.send(20)
        await asyncio.sleep(0.6)
        begin()
        await until(lambda: seen.values(fact) == [0.0, 1.0])
        assert legs.reason("capture:wire0") is not None
        await asyncio.sleep(GAP_SECONDS)
        end()
        await until(lambda: seen.values(fact) == [0.0, 1.0, 0.0])
        assert legs.reason("capture:wire0") is None
        await until(lambda: observed.has_ring and len(observed.worker_processes) in (0, workers))
        await asyncio.sleep(0.5)
        link.send(20)
        await asyncio.sleep(0.6)
        task.cancel()
    assert seen.packets() == 40
    began, ended = (each.time_ns / 1e9 for each in seen.facts(fact)[1:])
    assert ended - began > GAP_SECONDS - 0.5
    # What windows count as observed lacks the gap, as far as panes reached into it; without the facts they would say it was silent.
    told = [batch for batch in seen if isinstance(batch, FlowBatch)]
    panes = [(batch.start_ns / 1e9, batch.end_ns / 1e9) for batch in told]
    inside = sum(
        max(0.0, min(end_s, ended) - max(start_s, began)) for start_s, end_s in set(panes) for began, ended in gaps_in(seen)
    )
    assert inside > 0
    assert observed_seconds(seen) == pytest.approx(observed_seconds(list(told)) - inside, abs=0.01)
    return seen


async def test_deleted_and_created_anew(legs: Legs, link: Link, workers: int) -> None:
    """The interface goes with its namespace or its driver, and another of its name comes."""
    await gap(legs, link, workers, fact="capture_interface_gone", begin=link.delete, end=link.create)


async def test_renamed_and_renamed_back(legs: Legs, link: Link, workers: int) -> None:
    """It is captured by its name: under another one it is not the interface that the document names."""

    def rename(old: str, new: str) -> None:
        link.set(old, "down")
        link.set(old, "name", new)
        link.set(new, "up")

    await gap(
        legs,
        link,
        workers,
        fact="capture_interface_gone",
        begin=lambda: rename("wire0", "other0"),
        end=lambda: rename("other0", "wire0"),
    )


async def test_set_down_and_up(legs: Legs, link: Link, workers: int) -> None:
    """The ring stays, and no pane is made while the link is down."""
    seen = await gap(
        legs,
        link,
        workers,
        fact="capture_link_down",
        begin=lambda: link.set("wire0", "down"),
        end=lambda: link.set("wire0", "up"),
    )
    assert seen.values("capture_interface_gone") == [0.0]


async def test_the_other_end_loses_its_carrier(legs: Legs, link: Link, workers: int) -> None:
    """A mirror port that is unplugged: up, but nothing can come."""
    seen = await gap(
        legs,
        link,
        workers,
        fact="capture_link_down",
        begin=lambda: link.set("wire1", "down"),
        end=lambda: link.set("wire1", "up"),
    )
    assert seen.values("capture_interface_gone") == [0.0]

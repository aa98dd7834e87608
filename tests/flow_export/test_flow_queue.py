"""The queue of an exporter: bounded by flows, the oldest lost, every flow either there or counted; and the process over it."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from exported_flows import many_flows
from hypothesis import given
from hypothesis import strategies as st

from netmote.errors import Retryable
from netmote.flow_export.exporter import Parcel
from netmote.flow_export.exporting_process import ExportingProcess
from netmote.flow_export.flow_queue import CHUNK_FLOWS, ExportTally, FlowChunk, FlowQueue, chunks_of

ALL = many_flows(40_000)


@given(st.lists(st.one_of(st.integers(0, 3_000), st.just("take"), st.just("return")), max_size=30), st.integers(1, 5_000))
def test_no_flow_is_anywhere_twice_or_nowhere(actions: list[int | str], limit: int) -> None:
    """Whatever is put, taken and given back: a flow waits, was taken, or is counted as lost, and the oldest go first."""
    told: list[tuple[int, str]] = []
    tally = ExportTally(lambda flows, reason: told.append((flows, reason)))
    queue = FlowQueue(limit, tally)
    put, taken, in_hand = 0, [], None
    for action in actions:
        if isinstance(action, int):
            stop = min(put + action, len(ALL))
            queue.put(chunks_of("eth0", ALL[put:stop]))
            put = stop
        elif action == "take" and in_hand is None:
            in_hand = queue.take()
        elif action == "return" and in_hand is not None:
            queue.give_back(in_hand)
            in_hand = None
        assert len(queue) <= limit
    if in_hand is not None:
        taken.append(in_hand)
    while chunk := queue.take():
        taken.append(chunk)
        assert 0 < len(chunk.records) <= CHUNK_FLOWS
    ids = [number for chunk in taken for number in chunk.records["flow_id"].tolist()]
    assert ids == sorted(set(ids))
    assert len(ids) + tally.lost["queue_full"] == put
    assert sum(flows for flows, _ in told) == tally.lost.total()
    assert len(queue) == 0


def test_what_is_lost_is_weighed() -> None:
    """Packets and octets of lost flows are summed for the collector's statistics."""
    tally = ExportTally()
    queue = FlowQueue(10, tally)
    queue.put(chunks_of("eth0", ALL[:25]))
    assert tally.lost == {"queue_full": 15}
    lost = ALL[:15]
    assert tally.lost_packets == int((lost["initiator_packets"] + lost["responder_packets"]).sum())
    assert tally.lost_octets == int((lost["initiator_octets"] + lost["responder_octets"]).sum())
    queue.lose_all("stopped")
    assert tally.lost == {"queue_full": 15, "stopped": 10}


class Way:
    """An exporter that fails where told to, and keeps what it sent."""

    name = "way"

    def __init__(self, failures: list[Exception | None] | None = None) -> None:
        self.failures = failures or []
        self.sent: list[Parcel] = []
        self.opened = self.closed = self.tended = 0
        self.prepare_fails = False

    async def open(self) -> None:
        self.opened += 1

    async def prepare(self, chunk: FlowChunk) -> Sequence[Parcel]:
        await asyncio.sleep(0)
        if self.prepare_fails:
            raise ZeroDivisionError
        half = len(chunk.records) // 2
        return [
            Parcel(chunk.interface, part["flow_id"].tobytes(), len(part)) for part in (chunk.records[:half], chunk.records[half:])
        ]

    async def send(self, parcel: Parcel) -> int:
        await asyncio.sleep(0)
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        self.sent.append(parcel)
        return len(parcel.octets)

    async def tend(self) -> int:
        self.tended += 1
        return 1

    async def close(self) -> None:
        self.closed += 1


def sent_ids(way: Way) -> list[int]:
    return [number for parcel in way.sent for number in np.frombuffer(parcel.octets, "u8").tolist()]


async def test_a_parcel_that_was_refused_is_sent_again() -> None:
    """A session that breaks keeps what is in hand: nothing is lost, nothing goes twice, order stays."""
    way = Way([None, Retryable("gone"), None, None, Retryable("gone again")])
    work = ExportingProcess(way, queue_limit=10_000, tally=ExportTally())
    work.put(chunks_of("eth0", ALL[:2_500]))
    for _ in range(2):
        with pytest.raises(Retryable):
            await work.run()
        assert not work.is_open
    assert (way.opened, way.closed) == (2, 2)
    await work.drain(1.0)
    assert sent_ids(way) == list(range(1, 2_501))
    assert (work.tally.flows, work.queued, work.tally.lost.total()) == (2_500, 0, 0)


async def test_cancelled_anywhere_nothing_is_lost() -> None:
    """However far a run had come when it was cancelled, the next goes on from there."""
    way = Way()
    work = ExportingProcess(way, queue_limit=10_000, tally=ExportTally())
    work.put(chunks_of("eth0", ALL[:8_000]))
    for turns in range(1, 15):
        run = asyncio.create_task(work.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    await work.drain(1.0)
    assert sent_ids(way) == list(range(1, 8_001))


async def test_a_chunk_that_cannot_be_encoded_is_counted_and_left() -> None:
    """A bug in an encoding costs its chunk, not the exporter: it would come again for ever."""
    way = Way()
    work = ExportingProcess(way, queue_limit=10_000, tally=ExportTally())
    work.put(chunks_of("eth0", ALL[:1_500]))
    way.prepare_fails = True
    with pytest.raises(ZeroDivisionError):
        await work.run()
    way.prepare_fails = False
    await work.drain(1.0)
    assert work.tally.lost == {"not_encodable": 1_000}
    assert sent_ids(way) == list(range(1_001, 1_501))


async def test_what_does_not_leave_in_time_is_counted() -> None:
    """The last attempt ends at its deadline or at the first refusal; the rest is lost, by name."""
    work = ExportingProcess(Way([None, Retryable("gone")]), queue_limit=10_000, tally=ExportTally())
    work.put(chunks_of("eth0", ALL[:2_500]))
    await work.drain(1.0)
    assert (work.tally.flows, work.tally.lost, work.queued) == (0, {"stopped": 2_500}, 0)


async def test_an_idle_exporter_is_tended() -> None:
    """What is due by time goes out although no flow comes."""
    way = Way()
    work = ExportingProcess(way, queue_limit=10, tally=ExportTally())
    run = asyncio.create_task(work.run())
    await asyncio.sleep(0.05)
    assert (way.tended, work.tally.octets, work.is_open) == (1, 1, True)
    work.put(chunks_of("eth0", ALL[:2]))
    await asyncio.sleep(0.05)
    assert sent_ids(way) == [1, 2]
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)

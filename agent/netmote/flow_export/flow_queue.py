"""What waits to be exported: flow records in chunks, bounded by their number. Full: the oldest go, and are counted."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHUNK_FLOWS = 1_000
"""The most records of one chunk: what is encoded at once."""


@dataclass(frozen=True, slots=True, eq=False)
class FlowChunk:
    """Whole flow records (FLOW_DTYPE, at most CHUNK_FLOWS) of one interface."""

    interface: str
    records: NDArray[np.void]


def chunks_of(interface: str, records: NDArray[np.void]) -> list[FlowChunk]:
    """Cut records into chunks: copies, for one chunk that waits would else keep the array of all."""
    if len(records) <= CHUNK_FLOWS:
        return [FlowChunk(interface, records)] if len(records) else []
    starts = range(0, len(records), CHUNK_FLOWS)
    return [FlowChunk(interface, records[start : start + CHUNK_FLOWS].copy()) for start in starts]


class ExportTally:
    """Since the start: what left, and what did not and why."""

    def __init__(self, on_lost: Callable[[int, str], None] = lambda _flows, _reason: None) -> None:
        """`on_lost` is told of flows that will not leave, with the reason."""
        self.flows = self.octets = 0
        self.lost: Counter[str] = Counter()
        """Flows by reason."""
        self.lost_packets = self.lost_octets = 0
        self._on_lost = on_lost

    def lose(self, records: NDArray[np.void], reason: str) -> None:
        """These flows will not leave."""
        if len(records):
            self.lost[reason] += len(records)
            self.lost_packets += int(records["initiator_packets"].sum() + records["responder_packets"].sum())
            self.lost_octets += int(records["initiator_octets"].sum() + records["responder_octets"].sum())
            self._on_lost(len(records), reason)


class FlowQueue:
    """First in, first out, on one event loop."""

    def __init__(self, limit: int, tally: ExportTally) -> None:
        """`limit`: flows."""
        self._limit, self._tally = limit, tally
        self._chunks: deque[FlowChunk] = deque()
        self._flows = 0
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        """Flows that wait."""
        return self._flows

    def put(self, chunks: Iterable[FlowChunk]) -> None:
        """Take chunks; never waits."""
        for chunk in chunks:
            self._chunks.append(chunk)
            self._flows += len(chunk.records)
            self._make_room()
        if self._chunks:
            self._arrived.set()

    def take(self) -> FlowChunk | None:
        """The oldest chunk, None when nothing waits."""
        if not self._chunks:
            self._arrived.clear()
            return None
        chunk = self._chunks.popleft()
        self._flows -= len(chunk.records)
        return chunk

    def give_back(self, chunk: FlowChunk) -> None:
        """It could not be prepared: it is the oldest again."""
        self._chunks.appendleft(chunk)
        self._flows += len(chunk.records)
        self._make_room()
        self._arrived.set()

    async def wait(self, seconds: float) -> None:
        """Until something waits, at most this long."""
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return

    def lose_all(self, reason: str) -> None:
        """Nothing of what waits will leave."""
        while chunk := self.take():
            self._tally.lose(chunk.records, reason)

    def _make_room(self) -> None:
        while self._flows > self._limit:
            oldest = self._chunks.popleft()
            excess = min(self._flows - self._limit, len(oldest.records))
            self._tally.lose(oldest.records[:excess], "queue_full")
            self._flows -= excess
            if excess < len(oldest.records):
                self._chunks.appendleft(FlowChunk(oldest.interface, oldest.records[excess:]))

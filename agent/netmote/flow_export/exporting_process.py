"""The Exporting Process (RFC 7011 section 2) of one exporter: takes what waits, prepares it, sends it parcel by parcel.

    records ─► [queue, bounded] ─► prepare ─► parcels in hand ─► send

A session that ends (a collector restarts) keeps the parcels in hand for the next; a full queue loses its oldest flows. `run` raises
Retryable when the way is barred: whoever runs it waits and runs it again.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from netmote.errors import Retryable
from netmote.flow_export.exporter import FlowExporter, Parcel
from netmote.flow_export.flow_queue import ExportTally, FlowChunk, FlowQueue

_TEND_SECONDS = 1.0


class ExportingProcess:
    """One exporter at work."""

    def __init__(self, exporter: FlowExporter, *, queue_limit: int, tally: ExportTally) -> None:
        """`queue_limit`: flows that may wait. `tally` is counted up; the exporter may read it."""
        self.exporter = exporter
        self.tally = tally
        self.is_open = False
        """Whether the way out is open now."""
        self._queue = FlowQueue(queue_limit, tally)
        self._in_hand: FlowChunk | None = None
        self._parcels: deque[Parcel] = deque()

    @property
    def queued(self) -> int:
        """Flows that have not left."""
        return len(self._queue) + (len(self._in_hand.records) if self._in_hand is not None else 0)

    def put(self, chunks: Iterable[FlowChunk]) -> None:
        """Take whole flow records; never waits. Their arrays are only read."""
        self._queue.put(chunks)

    async def run(self) -> None:
        """Export until cancelled. Raises Retryable."""
        try:
            await self._open()
            while True:
                if not await self._export_some():
                    self.tally.octets += await self.exporter.tend()
                    await self._queue.wait(_TEND_SECONDS)
        finally:
            self.is_open = False
            await self.exporter.close()

    async def drain(self, deadline: float) -> None:
        """One last attempt at what waits, within `deadline` seconds; what does not leave is lost (counted: `stopped`)."""
        try:
            async with asyncio.timeout(deadline):
                if self.queued:
                    await self._open()
                while await self._export_some():
                    pass
        except (TimeoutError, Retryable):
            pass  # said by the count
        finally:
            self.is_open = False
            try:
                await self.exporter.close()
            finally:
                self._lose_all()

    async def _open(self) -> None:
        await self.exporter.open()
        self.is_open = True

    async def _export_some(self) -> bool:
        """Export one chunk. Returns whether there was one."""
        if self._in_hand is None:
            chunk = self._queue.take()
            if chunk is None:
                return False
            try:
                self._parcels = deque(await self.exporter.prepare(chunk))
            except asyncio.CancelledError:
                self._queue.give_back(chunk)
                raise
            except Exception:
                # A bug, and with the same chunk it would come again for ever.
                self.tally.lose(chunk.records, "not_encodable")
                raise
            self._in_hand = chunk
        while self._parcels:
            octets = await self.exporter.send(self._parcels[0])
            self._parcels.popleft()
            self.tally.octets += octets
        self.tally.flows += len(self._in_hand.records)
        self._in_hand = None
        return True

    def _lose_all(self) -> None:
        in_hand, self._in_hand = self._in_hand, None
        self._parcels.clear()
        if in_hand is not None:
            self.tally.lose(in_hand.records, "stopped")
        self._queue.lose_all("stopped")

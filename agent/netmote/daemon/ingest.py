"""The first leg: what collectors observed becomes durable, and is handed to analysis.

    collectors ─► [queue, bounded] ─► store.append (one transaction for all that waits) ─► analysis

When the queue is full the newest batch is dropped and counted: a collector on the event loop cannot be made to wait.
When the store cannot take telemetry the batches go on to analysis all the same, without a position in the store.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from netmote.clock import Clock
from netmote.errors import Permanent, Retryable
from netmote.records.batch import Batch
from netmote.records.flow import FlowBatch
from netmote.store.store import Position, Store
from netmote.telemetry.health import Health, Level
from netmote.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

COMPONENT = "store"
_BATCHES_PER_TRANSACTION = 64


@dataclass(frozen=True, slots=True)
class Observed:
    """Batches in the order of ingest; `position` is where the last of them lies, None when they were not stored."""

    position: Position | None
    batches: tuple[Batch, ...]


class Ingest:
    """Takes batches from collectors on the event loop's thread."""

    def __init__(
        self, store: Store, hand_on: Callable[[Observed], None], *, limit: int, clock: Clock, health: Health, metrics: Metrics
    ) -> None:
        self._store, self._hand_on = store, hand_on
        self._limit, self._clock = limit, clock
        self._health, self._metrics = health, metrics
        self._queue: deque[Batch] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.last_batch_ns: dict[str, int] = {}
        self.batches = 0

    @property
    def is_empty(self) -> bool:
        return not self._queue and self._idle.is_set()

    def put(self, batch: Batch) -> None:
        """Take one batch; never waits."""
        self.last_batch_ns[batch.source] = max(batch.end_ns, self.last_batch_ns.get(batch.source, 0))
        if len(self._queue) >= self._limit:
            self._metrics.discarded_records_total.inc(
                _records_in(batch), stage="ingest", reason="queue_full", intentional="false"
            )
            return
        self._queue.append(batch)
        self._idle.clear()
        self._arrived.set()

    async def run(self) -> None:
        """Store and hand on until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                await self._store_some()
            self._idle.set()

    async def drain(self) -> None:
        """Wait until everything taken so far has been handed on."""
        await self._idle.wait()

    async def _store_some(self) -> None:
        batches = tuple(self._queue[position] for position in range(min(len(self._queue), _BATCHES_PER_TRANSACTION)))
        position: Position | None = None
        began = self._clock.monotonic()
        try:
            position = await self._store.append(batches)
        except (Retryable, Permanent) as error:
            if self._health.degrade(COMPONENT, Level.LEDGER, f"telemetry is not stored: {error}"):
                log.error("telemetry is not stored: %s", error, extra={"component": COMPONENT})
            self._metrics.discarded_records_total.inc(
                sum(map(_records_in, batches)), stage="store", reason=type(error).__name__, intentional="true"
            )
        else:
            if self._health.recover(COMPONENT):
                log.info("telemetry is stored again", extra={"component": COMPONENT})
            self._metrics.store_write_duration_seconds.observe(self._clock.monotonic() - began, file="telemetry")
        for _ in batches:
            self._queue.popleft()
        self.batches += len(batches)
        self._hand_on(Observed(position, batches))


def _records_in(batch: Batch) -> int:
    return len(batch.slices) if isinstance(batch, FlowBatch) else 1

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
from netmote.daemon.discards import Discards
from netmote.errors import Retryable
from netmote.records.batch import Batch
from netmote.store.store import Position, Store, StoreFull
from netmote.telemetry.health import Health, Level
from netmote.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

COMPONENT = "store"
_BATCHES_PER_TRANSACTION = 64
# A fault of the moment (a busy file, an I/O error) is tried again this often before the batches go on without being stored.
_TRIES = 3
_RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Observed:
    """Batches in the order of ingest; `position` is where the last of them lies, None when they were not stored."""

    position: Position | None
    batches: tuple[Batch, ...]


class Ingest:
    """Takes batches from collectors on the event loop's thread."""

    def __init__(
        self,
        store: Store,
        hand_on: Callable[[Observed], None],
        *,
        limit: int,
        clock: Clock,
        health: Health,
        metrics: Metrics,
        discards: Discards,
        conceal: Callable[[tuple[Batch, ...]], tuple[Batch, ...]] | None = None,
    ) -> None:
        """`conceal` makes of batches what may be kept of them; it runs in a worker thread, before anything else."""
        self._store, self._hand_on, self._conceal = store, hand_on, conceal
        self._limit, self._clock = limit, clock
        self._health, self._metrics, self._discards = health, metrics, discards
        self._queue: deque[Batch] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._transaction_limit = _BATCHES_PER_TRANSACTION
        self.batches = 0
        """Handed on since the start; what the watchdog looks at."""

    @property
    def is_empty(self) -> bool:
        return not self._queue and self._idle.is_set()

    @property
    def waiting(self) -> int:
        """Batches in the queue."""
        return len(self._queue)

    def put(self, batch: Batch) -> None:
        """Take one batch; never waits."""
        if len(self._queue) >= self._limit:
            self._discards.count((batch,), stage="ingest", reason="queue_full")
            return
        self._queue.append(batch)
        self._idle.clear()
        self._arrived.set()

    async def run(self) -> None:
        """Store and hand on until cancelled."""
        while True:
            while self._queue:
                await self._store_some()
            self._idle.set()
            await self._arrived.wait()
            self._arrived.clear()

    async def drain(self) -> None:
        """Wait until everything taken so far has been handed on."""
        await self._idle.wait()

    async def _store_some(self) -> None:
        batches = tuple(self._queue[place] for place in range(min(len(self._queue), self._transaction_limit)))
        taken = len(batches)
        if self._conceal is not None:
            batches = await self._concealed(batches)
        began = self._clock.monotonic()
        position: Position | None = None
        try:
            position = await self._append(batches)
        except Retryable as error:
            self._refused(batches, error)
        except Exception as error:
            # It is this data, not the disk. One by one the culprit is found; it goes on to analysis like what a full disk refuses.
            if len(batches) > 1:
                self._transaction_limit = 1
                return
            log.exception("the store cannot take a batch", extra={"component": COMPONENT, "source": batches[0].source})
            self._refused(batches, error)
        else:
            if self._health.recover(COMPONENT):
                log.info("telemetry is stored again", extra={"component": COMPONENT})
            self._metrics.store_write_duration_seconds.observe(self._clock.monotonic() - began, file="telemetry")
        for _ in range(taken):
            self._queue.popleft()
        if not self._queue:
            self._transaction_limit = _BATCHES_PER_TRANSACTION
        self.batches += taken
        self._hand_on(Observed(position, batches))

    async def _concealed(self, batches: tuple[Batch, ...]) -> tuple[Batch, ...]:
        """What may be kept of them. A batch in which nothing can be hidden goes no further."""
        assert self._conceal is not None
        sound: list[Batch] = []
        for batch in batches:
            try:
                sound.extend(await asyncio.to_thread(self._conceal, (batch,)))
            except Exception:
                log.exception("addresses of a batch cannot be hidden", extra={"component": COMPONENT, "source": batch.source})
                self._discards.count((batch,), stage="ingest", reason="not_concealed")
        return tuple(sound)

    def _refused(self, batches: tuple[Batch, ...], error: Exception) -> None:
        if self._health.degrade(COMPONENT, Level.LEDGER, f"telemetry is not stored: {error}"):
            log.error("telemetry is not stored: %s", error, extra={"component": COMPONENT})
        self._discards.count(batches, stage="store", reason=type(error).__name__, is_intentional=isinstance(error, StoreFull))

    async def _append(self, batches: tuple[Batch, ...]) -> Position:
        tries = 1
        while True:
            try:
                return await self._store.append(batches)
            except StoreFull:
                raise
            except Retryable as error:
                self._metrics.store_errors_total.inc(file="telemetry", error_type=type(error).__name__)
                if tries >= _TRIES:
                    raise
                tries += 1
                await asyncio.sleep(_RETRY_SECONDS)

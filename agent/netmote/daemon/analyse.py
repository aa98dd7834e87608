"""The second leg: batches to alerts, committed in the ledger together with how far analysis got.

    ingest ─► [queue, bounded] ─► worker thread: Analysis ─► ledger.commit(alerts, checkpoint) ─► delivery is woken

The queue is only the short way. When it is full, after a restart or a slow spell, analysis reads on from its checkpoint in
the store, so nothing is skipped; only batches that the store refused can be lost here, and they are counted.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from netmote.alerts.alert import Committed
from netmote.analysis.analysis import Analysis
from netmote.analysis.outcome import Outcome
from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.daemon.ingest import Observed
from netmote.daemon.learned import LearnedFile
from netmote.errors import Retryable
from netmote.records.batch import Batch
from netmote.store.store import Checkpoint, Position, Store
from netmote.telemetry.health import Health, Level
from netmote.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

COMPONENT = "analysis"
T = TypeVar("T")

_TICK_SECONDS = 1.0
_CHECKPOINT_SECONDS = 30.0
_LEARNED_SECONDS = 600.0
# What windows need to be filled again after a restart: the longest window and its lateness.
_REBUILD_NS = 90 * NANOSECONDS_PER_SECOND
_READ_LIMIT = 64


class Analyse:
    """Runs one Analysis in one worker thread and owns its checkpoint."""

    def __init__(
        self,
        analysis: Analysis,
        store: Store,
        *,
        learned: LearnedFile,
        lateness_ns: int,
        committed: Callable[[list[Committed]], None],
        ingest_is_empty: Callable[[], bool],
        limit: int,
        clock: Clock,
        health: Health,
        metrics: Metrics,
    ) -> None:
        self.analysis = analysis
        self.position: Position | None = None
        self.windows_closed = 0
        self._store, self._learned, self._committed = store, learned, committed
        self._lateness_ns, self._limit = lateness_ns, limit
        self._ingest_is_empty = ingest_is_empty
        self._clock, self._health, self._metrics = clock, health, metrics
        self._queue: deque[Observed] = deque()
        self._arrived = asyncio.Event()
        # While behind, batches come from the store; `_tail` is the last position known to lie there.
        self._is_behind = True
        self._tail: Position | None = None
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="analysis")
        self._checkpointed = self._saved = clock.monotonic()
        self.progress = 0

    @property
    def lag_seconds(self) -> float:
        """How far the newest scored event time lies behind the clock."""
        if not self.analysis.event_time_ns:
            return 0.0
        return max(0.0, (self._clock.now_ns() - self.analysis.event_time_ns) / NANOSECONDS_PER_SECOND)

    def put(self, observed: Observed) -> None:
        """Take what ingest hands on; never waits."""
        if observed.position is not None:
            self._tail = observed.position
        if self._is_behind and observed.position is not None:
            return
        if len(self._queue) >= self._limit:
            self._fall_behind(observed)
            return
        self._queue.append(observed)
        self._arrived.set()

    async def recover(self) -> None:
        """Take up the checkpoint: learned state, firing alerts, and the windows as they stood."""
        await self._in_worker(self._learned.load_into, self.analysis)
        checkpoint = await self._store.checkpoint()
        active = await self._store.active_alerts()
        self.analysis.silence(await self._store.silences())
        if checkpoint is None:
            self.analysis.resume(0, active)
            return
        await self._in_worker(self.analysis.restore, checkpoint.state)
        self.analysis.resume(checkpoint.event_time_ns, active)
        await self._rebuild_windows(checkpoint)
        self.position = checkpoint.position

    async def run(self) -> None:
        """Analyse until cancelled."""
        while True:
            if self._is_behind:
                await self._catch_up()
            await self._wait_arrived()
            while self._queue and not self._is_behind:
                observed = self._queue.popleft()
                await self._step(self._observe_all, observed.batches, position=observed.position)
            await self._tick()

    async def finish(self) -> None:
        """What is queued, then a last checkpoint and the learned state. Call after `run` has been cancelled."""
        while self._queue:
            observed = self._queue.popleft()
            await self._step(self._observe_all, observed.batches, position=observed.position)
        await self._commit(Outcome())
        await self._in_worker(self._learned.save_from, self.analysis)

    def close(self) -> None:
        """Give the worker thread back. Safe twice."""
        self._worker.shutdown(wait=True)

    def _fall_behind(self, observed: Observed) -> None:
        lost = sum(len(each.batches) for each in (*self._queue, observed) if each.position is None)
        if lost:
            self._metrics.discarded_records_total.inc(lost, stage="analysis", reason="queue_full", intentional="false")
        self._queue.clear()
        self._is_behind = True
        self._arrived.set()
        self._health.degrade(COMPONENT, Level.FULL, "analysis is behind and reads from the store")

    async def _catch_up(self) -> None:
        last_tail: Position | None = None
        while self._is_behind:
            stored = await self._store.read_after(self.position, limit=_READ_LIMIT)
            if stored:
                await self._step(self._observe_all, tuple(batch for _, batch in stored), position=stored[-1][0])
            elif self._tail in (None, self.position, last_tail):
                self._is_behind = False
                self._health.recover(COMPONENT)
            else:
                # Ingest wrote on while the query looked: look once more.
                last_tail = self._tail

    async def _wait_arrived(self) -> None:
        try:
            async with asyncio.timeout(_TICK_SECONDS):
                await self._arrived.wait()
        except TimeoutError:
            pass
        self._arrived.clear()

    async def _tick(self) -> None:
        """Let event time pass when nothing waits: the clock less the lateness is what idle sources have reached."""
        self.progress += 1
        if not self._queue and self._ingest_is_empty():
            await self._step(self.analysis.advance, self._clock.now_ns() - self._lateness_ns, position=self.position)
        now = self._clock.monotonic()
        if now - self._checkpointed >= _CHECKPOINT_SECONDS:
            await self._commit(Outcome())
        if now - self._saved >= _LEARNED_SECONDS:
            self._saved = now
            await self._in_worker(self._learned.save_from, self.analysis)

    async def _rebuild_windows(self, checkpoint: Checkpoint) -> None:
        since = checkpoint.event_time_ns - _REBUILD_NS
        position: Position | None = None
        while stored := await self._store.read_after(position, since_ns=since, limit=_READ_LIMIT):
            done = [batch for at, batch in stored if at == checkpoint.position]
            until = next((n + 1 for n, (at, _) in enumerate(stored) if at == checkpoint.position), len(stored))
            await self._in_worker(self._rebuild_all, tuple(batch for _, batch in stored[:until]))
            position = stored[-1][0]
            if done:
                return

    def _observe_all(self, batches: tuple[Batch, ...]) -> Outcome:
        return Outcome.joined([self.analysis.observe(batch) for batch in batches])

    def _rebuild_all(self, batches: tuple[Batch, ...]) -> None:
        for batch in batches:
            self.analysis.rebuild(batch)

    async def _step(self, function: Callable[[T], Outcome], argument: T, *, position: Position | None) -> None:
        began = self._clock.monotonic()
        outcome = await self._in_worker(function, argument)
        if position is not None:
            self.position = position
        self.windows_closed += len(outcome.vectors)
        if outcome.alerts:
            await self._commit(outcome)
        if outcome.vectors:
            self._metrics.window_close_to_commit_seconds.observe(self._clock.monotonic() - began)
        self._count(outcome)

    async def _commit(self, outcome: Outcome) -> None:
        """One ledger transaction: the alerts and the checkpoint that covers them. Tried until it holds; nothing is announced before."""
        state = await self._in_worker(self.analysis.state)
        checkpoint = Checkpoint(self.position, self.analysis.event_time_ns, state)
        while True:
            try:
                rows = await self._store.commit(outcome.alerts, checkpoint)
                break
            except Retryable as error:
                if self._health.degrade("ledger", Level.LEDGER, f"alerts cannot be stored: {error}"):
                    log.error("alerts cannot be stored, trying on: %s", error, extra={"component": COMPONENT})
                await asyncio.sleep(1.0)
        self._health.recover("ledger")
        self._checkpointed = self._clock.monotonic()
        if rows:
            self._committed(rows)

    def _count(self, outcome: Outcome) -> None:
        for window in outcome.vectors:
            good = int(np.count_nonzero(window.quality == 0))
            self._metrics.windows_total.inc(good, schema=window.schema.name, quality="good")
            self._metrics.windows_total.inc(len(window.entities) - good, schema=window.schema.name, quality="degraded")
        for scores in outcome.scores:
            known = int(np.count_nonzero(np.isfinite(scores.surprise)))
            self._metrics.scores_total.inc(known, detector=scores.detector, verdict="scored")
            self._metrics.scores_total.inc(len(scores.entities) - known, detector=scores.detector, verdict="no_claim")

    async def _in_worker(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *arguments)

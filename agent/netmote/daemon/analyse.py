"""The second leg: batches to alerts, committed in the ledger together with how far analysis got.

    ingest ─► [queue, bounded] ─► worker thread: Analysis ─► ledger.commit(alerts, checkpoint) ─► delivery is woken

The queue is only the short way. When it is full, after a restart or a slow spell, analysis reads on from its checkpoint in
the store, so nothing is skipped; only batches that the store refused can be lost here, and they are counted.

`run` begins from what is durable each time it is called, so a crash of analysis costs a pause and no alert. A batch that makes
it crash again and again is passed over, counted and named.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.ma  # np.unique imports it at its first call, which would hold the loop for 13 ms in the middle of the work

from netmote.alerts.alert import Alert, Committed
from netmote.analysis.analysis import Analysis
from netmote.analysis.outcome import Outcome
from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.daemon.analysis_view import AnalysisView, look_at
from netmote.daemon.discards import Discards
from netmote.daemon.ingest import Observed
from netmote.daemon.learned import LearnedFile
from netmote.daemon.poison import Poison
from netmote.errors import Retryable
from netmote.records.batch import Batch
from netmote.records.entity import Entity
from netmote.scoring.finding import ScoreBatch
from netmote.store.store import Checkpoint, Position, Store
from netmote.store.uninterrupted import finish as to_its_end
from netmote.telemetry.health import Health, Level
from netmote.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

COMPONENT = "analysis"
BACKLOG = "analysis_backlog"
T = TypeVar("T")

_TICK_SECONDS = 1.0
_CHECKPOINT_SECONDS = 30.0
_LEARNED_SECONDS = 600.0
_RETRY_SECONDS = 1.0
# What windows are filled with again after a restart: the longest a lane waits for a slow source (30 hops) and a window before
# that; also what an entity's peers are known from.
_REBUILD_NS = 600 * NANOSECONDS_PER_SECOND
# Without a checkpoint the newest records are judged, and not a week of history.
_COLD_READ_NS = 600 * NANOSECONDS_PER_SECOND
# A wall clock this far behind what was analysed was set back while nobody ran (no battery): old windows mean nothing then.
_CLOCK_BACK_NS = 60 * NANOSECONDS_PER_SECOND
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
        looked: Callable[[AnalysisView], None],
        scored: Callable[[tuple[ScoreBatch, ...]], None] = lambda _: None,
        ingest_is_empty: Callable[[], bool],
        limit: int,
        clock: Clock,
        health: Health,
        metrics: Metrics,
        discards: Discards,
    ) -> None:
        self.analysis = analysis
        self.position: Position | None = None
        self.windows_closed = 0
        self.progress = 0
        """Rises with every step, and while a commit is tried again: what the watchdog looks at."""
        self.view = look_at(analysis)
        self._store, self._learned = store, learned
        self._committed, self._looked, self._scored = committed, looked, scored
        self._lateness_ns, self._limit = lateness_ns, limit
        self._ingest_is_empty = ingest_is_empty
        self._clock, self._health, self._metrics, self._discards = clock, health, metrics, discards
        self._queue: deque[Observed] = deque()
        self._arrived = asyncio.Event()
        # While behind, batches come from the store; `_tail` is the last position known to lie there.
        self._is_behind = True
        self._tail: Position | None = None
        # Alerts that steps gave and no commit holds yet; with `position` and the analysis they are one consistent whole.
        self._uncommitted: list[Alert] = []
        self._is_sound = False  # whether that whole may be written down: not before recovery, not after a crash
        self._poison = Poison()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="analysis")
        self._checkpointed = self._saved = clock.monotonic()

    @property
    def lag_seconds(self) -> float:
        """How far the newest scored event time lies behind the clock."""
        if not self.view.event_time_ns:
            return 0.0
        return max(0.0, (self._clock.now_ns() - self.view.event_time_ns) / NANOSECONDS_PER_SECOND)

    @property
    def waiting(self) -> int:
        """Hand-overs in the queue."""
        return len(self._queue)

    def put(self, observed: Observed) -> None:
        """Take what ingest hands on; never waits."""
        if observed.position is not None:
            self._tail = observed.position
        if self._is_behind and observed.position is not None:
            return
        if len(self._queue) >= self._limit:
            self._queue.append(observed)
            self._give_up_queue("queue_full")
            self._is_behind = True
            self._health.degrade(BACKLOG, Level.FULL, "analysis is behind and reads from the store")
        else:
            self._queue.append(observed)
        self._arrived.set()

    async def run(self) -> None:
        """Analyse until cancelled. May be called again after it raised: it begins from the checkpoint."""
        try:
            await self._recover()
            while True:
                if self._is_behind:
                    await self._catch_up()
                await self._wait_arrived()
                while self._queue and not self._is_behind:
                    await self._observe_next()
                await self._tick()
        except Exception:
            self._is_sound = False
            raise

    async def finish(self, deadline: float) -> None:
        """After `run` was cancelled: what is queued, a last checkpoint and the learned state, within `deadline` seconds.

        What is not done by then, the next start does from the store.
        """
        if not self._is_sound:
            return
        try:
            async with asyncio.timeout(deadline):
                while self._queue:
                    await self._observe_next()
                await self._commit()
                await self._save_learned()
        except TimeoutError:
            log.warning("the last checkpoint was not written in time", extra={"component": COMPONENT, "seconds": deadline})

    async def accept(self, entity: Entity) -> None:
        """What this entity does now is its new normal: detectors learn it anew, and what they learned is written down."""
        await to_its_end(self._in_worker(self.analysis.scoring.accept, entity))
        await self._save_learned()

    def close(self) -> None:
        """Give the worker thread back. Safe twice."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _recover(self) -> None:
        """Take up the checkpoint: learned state, firing alerts, and the windows as they stood."""
        self._is_sound = False
        self._give_up_queue("analysis_failed")
        self._is_behind = True
        self._uncommitted.clear()
        await self._in_worker(self.analysis.begin_anew)
        await self._in_worker(self._learned.load_into, self.analysis)
        self.analysis.silence(await self._store.silences())
        checkpoint = await self._store.checkpoint()
        active = await self._store.active_alerts()
        if checkpoint is None:
            if self._store.is_checkpoint_damaged:
                log.error("the checkpoint is damaged, analysis begins cold", extra={"component": COMPONENT})
            self.position = None
            self.analysis.resume(0, active)
        else:
            await self._restore(checkpoint.state)
            self.analysis.resume(checkpoint.event_time_ns, active)
            self.position = checkpoint.position
            await self._rebuild_windows(checkpoint)
        await self._turn(lambda _: self.analysis.rebuilt(), None, position=None)
        self._is_sound = True
        if self._uncommitted:
            await self._commit()

    async def _restore(self, state: bytes) -> None:
        try:
            await self._in_worker(self.analysis.restore, state)
        except ValueError as error:
            log.error("the state of analysis is not understood, it begins cold: %s", error, extra={"component": COMPONENT})

    async def _rebuild_windows(self, checkpoint: Checkpoint) -> None:
        if checkpoint.position is None:
            return
        if self._clock.now_ns() < checkpoint.event_time_ns - _CLOCK_BACK_NS:
            log.warning("the clock is behind what was analysed, windows begin empty", extra={"component": COMPONENT})
            return
        since_ns = checkpoint.event_time_ns - _REBUILD_NS
        position: Position | None = None
        while stored := await self._read_after(position, since_ns=since_ns):
            for at, batch in stored:
                if at.order > checkpoint.position.order:
                    return
                await self._rebuild(at, batch)
            position = stored[-1][0]

    async def _rebuild(self, position: Position, batch: Batch) -> None:
        try:
            await self._turn(self.analysis.rebuild, batch, position=None)
        except Exception:
            # It was passed over before the restart, or is new to a bug: either way it must not keep analysis from beginning.
            log.exception("passed over while windows were filled again", extra=_named(position, batch))
            self._discards.count((batch,), stage="analysis", reason="failed")
            self.analysis.empty_windows()

    async def _catch_up(self) -> None:
        last_tail: Position | None = None
        while self._is_behind:
            since_ns = 0 if self.position is not None else self._clock.now_ns() - _COLD_READ_NS
            stored = await self._read_after(self.position, since_ns=since_ns)
            for position, batch in stored:
                await self._observe_stored(position, batch)
            if stored:
                continue
            if self._tail in (None, self.position, last_tail):
                self._is_behind = False
                self._health.recover(BACKLOG)
            else:
                # Ingest wrote on while the query looked: look once more.
                last_tail = self._tail

    async def _observe_stored(self, position: Position, batch: Batch) -> None:
        if self._poison.is_due((self.analysis.observe.__name__, position)):
            # What windows hold may be what it chokes on, so they are given up too; their coverage tells.
            log.error("analysis fails on a batch, which is passed over", extra=_named(position, batch))
            self._discards.count((batch,), stage="analysis", reason="failed")
            self.analysis.empty_windows()
            self._poison.passed()
            self.position = position
            await self._commit()
            return
        await self._step(self.analysis.observe, batch, position=position)

    async def _observe_next(self) -> None:
        observed = self._queue.popleft()
        if observed.position is not None and self.position is not None and observed.position.order <= self.position.order:
            return  # it came from the store just before
        await self._step(self._observe_all, observed.batches, position=observed.position)

    async def _wait_arrived(self) -> None:
        try:
            async with asyncio.timeout(_TICK_SECONDS):
                await self._arrived.wait()
        except TimeoutError:
            pass
        self._arrived.clear()

    async def _tick(self) -> None:
        """Let event time pass when nothing waits: the clock less the lateness is what idle sources have reached."""
        if self._poison.is_due((self.analysis.advance.__name__, self.position)):
            log.error("analysis fails on its open windows, which are given up", extra={"component": COMPONENT})
            self.analysis.empty_windows()
            self._poison.passed()
        if not self._queue and self._ingest_is_empty():
            await self._step(self.analysis.advance, self._clock.now_ns() - self._lateness_ns, position=self.position)
        self.progress += 1
        self.view = await self._in_worker(look_at, self.analysis)
        self._looked(self.view)
        now = self._clock.monotonic()
        if now - self._checkpointed >= _CHECKPOINT_SECONDS:
            await self._commit()
        if now - self._saved >= _LEARNED_SECONDS:
            await self._save_learned()
            if self.view.failures:
                # A model that was taken out of use gets another chance.
                await self._in_worker(self.analysis.retry_detectors)

    def _observe_all(self, batches: tuple[Batch, ...]) -> Outcome:
        return Outcome.joined([self.analysis.observe(batch) for batch in batches])

    async def _step(self, function: Callable[[T], Outcome], argument: T, *, position: Position | None) -> None:
        began = self._clock.monotonic()
        try:
            outcome = await self._turn(function, argument, position=position)
            if self._uncommitted:
                await self._commit()
        except Exception:
            self._poison.failed((function.__name__, position))
            raise
        if outcome.vectors:
            self._metrics.window_close_to_commit_seconds.observe(self._clock.monotonic() - began)

    async def _turn(self, function: Callable[[T], Outcome], argument: T, *, position: Position | None) -> Outcome:
        """One piece of work and the books on it, never cut in the middle: the thread would run on and its alerts be lost."""

        async def turn() -> Outcome:
            try:
                outcome = await self._in_worker(function, argument)
            except Exception:
                self._is_sound = False
                raise
            if position is not None:
                self.position = position
            self._uncommitted.extend(outcome.alerts)
            self.progress += 1
            self._count(outcome)
            self._scored(outcome.scores)
            return outcome

        return await to_its_end(turn())

    async def _commit(self) -> None:
        """One ledger transaction: the alerts and the checkpoint that covers them. Tried until it holds; nothing is announced before."""
        state = await to_its_end(self._in_worker(self.analysis.state))
        checkpoint = Checkpoint(self.position, self.analysis.event_time_ns, state)
        alerts = tuple(self._uncommitted)
        while True:
            try:
                rows = await self._store.commit(alerts, checkpoint)
                break
            except Retryable as error:
                if self._health.degrade("ledger", Level.LEDGER, f"alerts cannot be stored: {error}"):
                    log.error("alerts cannot be stored, trying on: %s", error, extra={"component": COMPONENT})
                self.progress += 1
                await asyncio.sleep(_RETRY_SECONDS)
        if self._health.recover("ledger"):
            log.info("alerts are stored again", extra={"component": COMPONENT})
        self._uncommitted.clear()
        self._checkpointed = self._clock.monotonic()
        if rows:
            self._committed(rows)

    async def _save_learned(self) -> None:
        self._saved = self._clock.monotonic()
        learned = await self._in_worker(self.analysis.learned)
        await asyncio.to_thread(self._learned.save, learned)

    async def _read_after(self, position: Position | None, *, since_ns: int) -> list[tuple[Position, Batch]]:
        while True:
            try:
                return await self._store.read_after(position, since_ns=since_ns, limit=_READ_LIMIT)
            except Retryable as error:
                if self._health.degrade(BACKLOG, Level.COLLECT, f"analysis cannot read from the store: {error}"):
                    log.error("cannot read from the store, trying on: %s", error, extra={"component": COMPONENT})
                self.progress += 1
                await asyncio.sleep(_RETRY_SECONDS)

    def _give_up_queue(self, reason: str) -> None:
        """The store still has what lies there; what it refused is lost."""
        lost = tuple(batch for each in self._queue if each.position is None for batch in each.batches)
        self._discards.count(lost, stage="analysis", reason=reason)
        self._queue.clear()

    def _count(self, outcome: Outcome) -> None:
        self.windows_closed += len(outcome.vectors)
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


def _named(position: Position, batch: Batch) -> dict[str, object]:
    return {
        "component": COMPONENT,
        "batch": f"{position.file_uuid}/{position.batch_id}",
        "kind": type(batch).__name__,
        "source": batch.source,
    }

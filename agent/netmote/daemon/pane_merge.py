"""The panes of several workers of one interface become one stream of panes, as one worker would have made them. Pure.

    worker 0 ─► panes, watermark ─┐
    worker 1 ─► panes, watermark ─┴─► a pane, once every worker has come to its end

A worker that is late (dead, starting, stuck) is waited for `GRACE_SECONDS` after the first has closed a pane. What it then sends of that
pane is handed on as a batch of its own: late, which windows tell of, and not lost. Flow ids keep apart what different workers, and
different lives of one, have numbered: in 64 bits 0, worker (3), life (12), number (48).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from netmote.daemon.worker_channel import sum_of_losses
from netmote.metering.slices import NO_SLICES
from netmote.records.flow import CaptureLoss, FlowBatch

GRACE_SECONDS = 0.5  # windows wait 2 s for what is late, of which a ring and an idle pane take 1.25
MOST_WORKERS = 8
_MOST_PENDING = 256  # panes; more are handed on without those who are late
_WORKER_SHIFT, _LIFE_SHIFT, _LIVES = np.uint64(60), np.uint64(48), 1 << 12
_NEVER = -(1 << 63)


class PaneMerge:
    """Not thread-safe. Times are monotonic seconds of the caller."""

    def __init__(self, workers: int) -> None:
        if not 1 <= workers <= MOST_WORKERS:
            raise ValueError(f"1 to {MOST_WORKERS} workers, not {workers}")
        self._watermark_ns = [_NEVER] * workers
        self._pending: dict[int, list[FlowBatch]] = {}  # by start
        self._since: dict[int, float] = {}  # when the first worker closed it
        self._lost: Counter[str] = Counter()
        self._late: list[FlowBatch] = []
        self._emitted_until_ns = _NEVER

    @property
    def emitted_until_ns(self) -> int | None:
        """The end of the newest pane handed on; None before the first."""
        return None if self._emitted_until_ns == _NEVER else self._emitted_until_ns

    @property
    def untold(self) -> int:
        """Packets lost that no pane has told yet."""
        return sum(self._lost.values())

    def add(self, worker: int, life: int, batch: FlowBatch, now: float) -> None:
        """A worker closed a pane, in its `life`-th life."""
        if len(batch.slices):
            slices = batch.slices.copy()
            slices["flow_id"] |= (np.uint64(worker) << _WORKER_SHIFT) | (np.uint64(life % _LIVES) << _LIFE_SHIFT)
            batch = replace(batch, slices=slices)
        self._watermark_ns[worker] = max(self._watermark_ns[worker], batch.end_ns)
        if batch.end_ns <= self._emitted_until_ns:
            if len(batch.slices) or batch.loss != CaptureLoss():
                self._late.append(batch)
            return
        self._pending.setdefault(batch.start_ns, []).append(batch)
        self._since.setdefault(batch.start_ns, now)

    def advance(self, worker: int, watermark_ns: int) -> None:
        """A worker has sent every pane that ends by then."""
        self._watermark_ns[worker] = max(self._watermark_ns[worker], watermark_ns)

    def lose(self, lost: Mapping[str, int]) -> None:
        """Packets lost, by place: told of the next pane."""
        self._lost.update(lost)

    def ready(self, now: float) -> list[FlowBatch]:
        """The panes that are complete, or were waited for long enough, in order; and what came late."""
        late, self._late = self._late, []
        return late + self._emit(lambda start, end: min(self._watermark_ns) >= end or now - self._since[start] > GRACE_SECONDS)

    def drain(self) -> list[FlowBatch]:
        """All there is; afterwards time may begin anew."""
        late, self._late = self._late, []
        batches = late + self._emit(lambda _start, _end: True)
        self._watermark_ns = [_NEVER] * len(self._watermark_ns)
        self._emitted_until_ns = _NEVER
        return batches

    def _emit(self, is_ready: Callable[[int, int], bool]) -> list[FlowBatch]:
        batches = []
        for start in sorted(self._pending):
            parts = self._pending[start]
            if not is_ready(start, parts[0].end_ns) and len(self._pending) <= _MOST_PENDING:
                break
            del self._pending[start], self._since[start]
            batches.append(self._merged(parts))
            self._emitted_until_ns = max(self._emitted_until_ns, parts[0].end_ns)
        return batches

    def _merged(self, parts: list[FlowBatch]) -> FlowBatch:
        told = [part.slices for part in parts if len(part.slices)]
        slices = np.concatenate(told) if len(told) > 1 else told[0] if told else NO_SLICES
        if len(told) > 1:
            slices = slices[np.argsort(slices["flow_id"], kind="stable")]
        lost, self._lost = self._lost, Counter()
        by_place = tuple(sorted((place, packets) for place, packets in lost.items() if packets))
        missing = CaptureLoss(dropped=sum(lost.values()), dropped_by=by_place)
        return replace(parts[0], slices=slices, loss=sum_of_losses([*(part.loss for part in parts), missing]))

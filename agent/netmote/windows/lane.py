"""One lane: the windows of one schema over event time. Owns when a window closes; knows no feature.

    feeds (a watermark per source) -> target -> [horizon, target] in hops -> close, or skip where nothing was observed

Windows end at whole multiples of the hop. The horizon is the end of the last window that was closed or skipped. A window that
overlaps no record of its schema is skipped: a jump of hours costs one step, not thousands of windows.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from netmote.records.batch import Batch
from netmote.records.entity import Entity
from netmote.windows.config import WindowsConfig
from netmote.windows.schema import FeatureSchema
from netmote.windows.vector import Quality, VectorBatch

# A source is idle when the newest one of its lane is this far ahead: three hops, or three of its own intervals (a device polled
# every minute is not idle after half a minute), but never more than thirty hops.
IDLE_HOPS = 3
IDLE_INTERVALS = 3
LONGEST_IDLE_HOPS = 30
MOST_STEPS = 64  # clock steps remembered; a clock that steps more often marks every window anyway


Feeds: TypeAlias = tuple[tuple[str, int], ...]  # (feed, watermark)


class Rows(NamedTuple):
    """What features say about the entities of one window, in canonical order."""

    entities: tuple[Entity, ...]
    values: NDArray[np.float64]  # (entities, features)
    present: NDArray[np.bool_]  # same shape
    coverage: NDArray[np.float64]  # (entities,)
    quality: NDArray[np.uint8]  # (entities,): flags only the features can know
    loss_ratio: NDArray[np.float64]  # (entities,)


class Features(Protocol):
    """The records of one schema that open windows need, and the arithmetic over them."""

    schema: FeatureSchema

    def feeds(self, batch: Batch) -> Feeds:
        """How far this batch brings each of its feeds; none when it is not for this schema."""
        ...

    def add(self, batch: Batch) -> None:
        """Keep what windows need of it."""
        ...

    def earliest_after(self, instant_ns: int) -> int | None:
        """The earliest start of the records that end after `instant_ns`."""
        ...

    def close(self, start_ns: int, end_ns: int) -> Rows:
        """The rows of [start, end). Called with ascending ends."""
        ...

    def forget(self, before_ns: int) -> None:
        """Drop the records that ended at or before this."""
        ...

    def rebase(self) -> None:
        """Time begins anew: drop all records and every memory of when."""
        ...


@dataclass(slots=True)
class Feed:
    """How far one source has come."""

    watermark_ns: int
    interval_ns: int = 0  # its last step

    def advance(self, end_ns: int) -> None:
        if end_ns > self.watermark_ns:
            self.interval_ns = end_ns - self.watermark_ns
            self.watermark_ns = end_ns


class Lane:
    """Closes the windows of one schema."""

    def __init__(self, features: Features, config: WindowsConfig) -> None:
        self.features = features
        self.schema = features.schema
        self._coverage_limit = config.coverage_limit
        self._loss_limit = config.loss_limit
        self._feeds: dict[str, Feed] = {}
        self._horizon_ns: int | None = None
        self._late_until_ns: int | None = None  # windows that begin before this saw records come late
        self._steps_ns: list[int] = []  # instants at which the wall clock stepped
        self._ready: list[VectorBatch] = []
        self._finished_ns: int | None = None  # the last horizon before `finish`

    def add(self, batch: Batch) -> tuple[bool, bool]:
        """Take a batch in; answers whether it was late and whether it was dropped for that."""
        feeds = self.features.feeds(batch)
        if not feeds:
            return False, False
        if self._finished_ns is not None:
            self._begin_anew(batch.start_ns)
        for name, watermark_ns in feeds:
            self._feeds.setdefault(name, Feed(watermark_ns)).advance(watermark_ns)
        horizon = self._horizon_ns
        is_late = horizon is not None and batch.end_ns <= horizon
        if horizon is not None and batch.end_ns <= horizon + self.schema.hop_ns - self.schema.window_ns:
            return True, True
        if is_late:
            self._late_until_ns = max(self._late_until_ns or batch.end_ns, batch.end_ns)
        self.features.add(batch)
        return is_late, False

    def advance(self, event_time_ns: int | None) -> list[VectorBatch]:
        """The windows that can close now, in order."""
        if self._horizon_ns is not None:
            # Only now: what the windows last handed out rest on stays for their evidence until here.
            self.features.forget(self._horizon_ns + self.schema.hop_ns - self.schema.window_ns)
        closed, self._ready = self._ready, []
        target = self._target(event_time_ns)
        if target is not None and self._finished_ns is None:
            closed.extend(self._close_until(target))
        return closed

    def finish(self) -> list[VectorBatch]:
        """Every window up to the one that holds the end of the last record; afterwards time may begin anew."""
        closed = self.advance(None) + self._drain()
        self._finished_ns = self._horizon_ns
        self._restart()
        return closed

    def step_clock(self, before_ns: int, after_ns: int) -> None:
        """The wall clock stepped: windows that hold one of the instants are marked; backwards, time begins anew."""
        self._steps_ns = [*self._steps_ns, before_ns, after_ns][-MOST_STEPS:]
        if after_ns < before_ns:
            self._ready.extend(self._drain())
            self._restart()
            self._steps_ns = [after_ns]
            self.features.rebase()

    @property
    def watermarks(self) -> dict[str, int]:
        return {name: feed.watermark_ns for name, feed in self._feeds.items()}

    def _target(self, event_time_ns: int | None) -> int | None:
        candidates = [] if event_time_ns is None else [event_time_ns]
        if self._feeds:
            newest = max(feed.watermark_ns for feed in self._feeds.values())
            candidates.append(min(feed.watermark_ns for feed in self._feeds.values() if not self._is_idle(feed, newest)))
        return max(candidates, default=None)

    def _is_idle(self, feed: Feed, newest_ns: int) -> bool:
        patience = min(
            max(IDLE_HOPS * self.schema.hop_ns, IDLE_INTERVALS * feed.interval_ns), LONGEST_IDLE_HOPS * self.schema.hop_ns
        )
        return newest_ns - feed.watermark_ns > patience

    def _close_until(self, target_ns: int) -> list[VectorBatch]:
        hop, window = self.schema.hop_ns, self.schema.window_ns
        closed: list[VectorBatch] = []
        if self._horizon_ns is None:
            begin = self.features.earliest_after(-(1 << 63))
            if begin is None:
                return closed
            self._horizon_ns = begin // hop * hop
        last = target_ns // hop * hop
        while self._horizon_ns < last:
            end = self._horizon_ns + hop
            begin = self.features.earliest_after(end - window)
            if begin is None or begin >= end:
                # Nothing in this window: go on to the first that overlaps a record, or as far as time has come.
                self._horizon_ns = last if begin is None else min(last, begin // hop * hop)
                continue
            batch = self._close(end)
            if batch.entities:
                closed.append(batch)
            self._horizon_ns = end
        return closed

    def _close(self, end_ns: int) -> VectorBatch:
        start_ns = end_ns - self.schema.window_ns
        rows = self.features.close(start_ns, end_ns)
        quality = rows.quality.astype(np.uint8)
        quality[rows.coverage < self._coverage_limit] |= np.uint8(Quality.PARTIAL)
        quality[rows.loss_ratio > self._loss_limit] |= np.uint8(Quality.LOSS)
        if self._late_until_ns is not None and start_ns < self._late_until_ns:
            quality |= np.uint8(Quality.LATE)
        self._steps_ns = [instant for instant in self._steps_ns if instant >= start_ns]
        if any(instant < end_ns for instant in self._steps_ns):
            quality |= np.uint8(Quality.CLOCK_STEP)
        return VectorBatch(
            self.schema, start_ns, end_ns, rows.entities, rows.values, rows.present, rows.coverage, quality, rows.loss_ratio
        )

    def _drain(self) -> list[VectorBatch]:
        if not self._feeds:
            return []
        newest = max(feed.watermark_ns for feed in self._feeds.values())
        return self._close_until(-(-newest // self.schema.hop_ns) * self.schema.hop_ns)

    def _begin_anew(self, start_ns: int) -> None:
        """The first batch after `finish`: later time goes on with what is remembered, earlier time does not."""
        if self._finished_ns is not None and start_ns < self._finished_ns - self.schema.hop_ns:
            self.features.rebase()
        else:
            self.features.forget(np.iinfo(np.int64).max)
        self._finished_ns = None

    def _restart(self) -> None:
        self._feeds.clear()
        self._horizon_ns = None
        self._late_until_ns = None

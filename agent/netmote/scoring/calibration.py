"""Raw scores to p-values, per entity: sliding conformal ranks over its own past, with an extrapolated tail.

A fixed threshold misses its false-alarm target by 7 to 150 times on drifting data; ranks within the last 3,000 windows hold it.
Above the 98th percentile the rank runs out of resolution, so the tail is exponential. It is predicted with the uncertainty of
its own estimate: for k exceedances of mean b over u, P(S > u + x) = q (1 + x / (k b))^-k (the F(2, 2k) law of a new exponential
value against the mean of k), which is the exponential itself once k is large and stays honest when k is small.

Windows that look wrong (p <= `exclusion`) never enter, else an attack would become normal. That truncates the tail, which
would shrink b, hence the cut, hence b again; b is therefore divided by the mean of an exponential truncated at the same cut.
"""

import zlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.records.entity import Entity
from netmote.scoring.baseline import to_log
from netmote.scoring.entity_rows import ABSENT, EntityRows
from netmote.scoring.state_bytes import pack, unpack

# -log10 p is capped here: nobody believes smaller p-values from 3,000 windows.
MOST_SURPRISE = 12.0
TAIL_SHARE = 0.02


class Readiness(StrEnum):
    """How far an entity's calibration has come."""

    COLD = "cold"  # fewer than `learning_from` windows: no p-value at all
    LEARNING = "learning"  # p-values exist, alerts do not
    ARMED = "armed"


class Calibration:
    """Sliding conformal p-values of one detector for up to `max_entities` entities.

    Memory: entities x window x 4 bytes once all are armed, growing by doubling.
    """

    def __init__(
        self,
        *,
        max_entities: int = 1_000,
        window: int = 3_000,
        learning_from: int = 30,
        armed_from: int = 360,
        exclusion: float = 2e-4,
        relearn_after: int = 8_640,
        least_tail: float = 0.01,
    ) -> None:
        """Counts are windows. `relearn_after` consecutive windows that look wrong are a new normal (24 h at a hop of 10 s).

        `least_tail`: least tail length in sign*log1p score space, so that an entity that never changed does not alert on a trifle.
        """
        if not 1 <= learning_from <= armed_from <= window:
            raise ValueError("expected 1 <= learning_from <= armed_from <= window")
        if not 0.0 <= exclusion < TAIL_SHARE:
            raise ValueError(f"exclusion must lie in [0, {TAIL_SHARE})")
        self._window, self._learning_from, self._armed_from = window, learning_from, armed_from
        self._exclusion, self._relearn_after, self._least_tail = exclusion, relearn_after, least_tail
        self._rows = EntityRows(capacity=max_entities)
        self._past = np.full((0, min(256, window)), np.nan, np.float32)  # sign*log1p scores, ring per row; NaN = empty
        self._total = np.zeros(0, np.int64)  # windows ever taken in
        self._phase = np.zeros(0, np.int64)  # of the entity's name: when its tail is estimated anew
        self._excluded_run = np.zeros(0, np.int64)
        self._tail = np.zeros((0, 4))  # u, b, k, q as of the last refresh

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def evicted(self) -> int:
        """Entities forgotten because others needed the room."""
        return self._rows.evicted

    def observe(
        self, entities: Sequence[Entity], scores: NDArray[np.float64], learnable: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return -log10 p of each score against that entity's past, (entities,), NaN while cold; then take in what is learnable.

        A learnable window of an armed entity enters only with p > `exclusion`. Scores must be finite.
        """
        rows, fresh = self._rows.assign(entities)
        self._grow()
        self._clear(fresh)
        for row, entity in zip(rows.tolist() if len(fresh) else (), entities, strict=False):
            if row != ABSENT:
                self._phase[row] = _phase(entity)
        surprise = np.full(len(rows), np.nan)
        logs = to_log(np.asarray(scores, np.float64)).astype(np.float32)
        known = np.flatnonzero(rows != ABSENT)
        warm = known[self._total[rows[known]] >= self._learning_from]
        surprise[warm] = self._surprise(rows[warm], logs[warm])
        self._learn(rows[known], logs[known], surprise[known], np.asarray(learnable, bool)[known])
        return surprise

    def readiness(self, entity: Entity) -> tuple[Readiness, int]:
        """The state of an entity and how many windows it still lacks until armed."""
        row = self._rows.find(entity)
        total = 0 if row is None else int(self._total[row])
        if total >= self._armed_from:
            return Readiness.ARMED, 0
        return (Readiness.LEARNING if total >= self._learning_from else Readiness.COLD), self._armed_from - total

    def armed(self, entities: Sequence[Entity]) -> NDArray[np.bool_]:
        """Which entities are armed, (entities,)."""
        rows = self._rows.find_all(entities)
        ready = np.zeros(len(rows), bool)
        ready[rows != ABSENT] = self._total[rows[rows != ABSENT]] >= self._armed_from
        return ready

    def counts(self) -> dict[Readiness, int]:
        """How many entities are in each state."""
        totals = self._total[[row for _, row in self._rows.entities()]]
        armed = int((totals >= self._armed_from).sum())
        cold = int((totals < self._learning_from).sum())
        return {Readiness.COLD: cold, Readiness.LEARNING: len(totals) - armed - cold, Readiness.ARMED: armed}

    @property
    def entities(self) -> tuple[Entity, ...]:
        """All that it knows."""
        return tuple(entity for entity, _ in self._rows.entities())

    def forget(self, entity: Entity) -> None:
        """Begin anew with this entity: an operator accepted its new normal."""
        self._rows.forget(entity)

    def state(self) -> bytes:
        """Everything learnt; the past as float32, oldest first, without padding."""
        pairs = self._rows.entities()
        pasts = [self._chronological(row) for _, row in pairs]
        rows = [row for _, row in pairs]
        head = {"window": self._window, "entities": [str(entity) for entity, _ in pairs]}
        arrays: dict[str, NDArray[Any]] = {
            "past": np.concatenate(pasts) if pasts else np.empty(0, np.float32),
            "total": self._total[rows],
            "excluded_run": self._excluded_run[rows],
            "tail": self._tail[rows],
        }
        return pack(head, arrays)

    def restore(self, blob: bytes) -> None:
        """Inverse of `state`: what follows is as if nothing had happened. Raises ValueError on damaged bytes; then nothing changed."""
        head, arrays = unpack(blob)
        entities = [Entity.parse(name) for name in head.get("entities", ())]
        try:
            total, past = arrays["total"].astype(np.int64), arrays["past"].astype(np.float32)
            excluded_run, tail = arrays["excluded_run"].astype(np.int64), arrays["tail"].astype(np.float64)
        except KeyError as error:
            raise ValueError(f"the stored calibration lacks {error}") from error
        lengths = np.minimum(total, self._window)
        fits = head.get("window") == self._window and len(total) == len(excluded_run) == len(tail) == len(entities)
        if not fits or int(lengths.sum()) != len(past) or tail.shape[1:] != (4,):
            raise ValueError("the stored calibration does not fit: another window length, or damaged")
        self._rows.refill(entities)
        width = min(self._window, max(256, int(lengths.max(initial=0))))
        self._past = np.full((len(entities), width), np.nan, np.float32)
        self._total, self._excluded_run, self._tail = total, excluded_run, tail
        self._phase = np.array([_phase(entity) for entity in entities], np.int64)
        for row, part in enumerate(np.split(past, np.cumsum(lengths)[:-1]) if entities else []):
            self._past[row, (total[row] - len(part) + np.arange(len(part))) % self._window] = part

    def _chronological(self, row: int) -> NDArray[np.float32]:
        total = int(self._total[row])
        length = min(total, self._window)
        return np.asarray(self._past[row, (total - length + np.arange(length)) % self._window], np.float32)

    def _surprise(self, rows: NDArray[np.intp], logs: NDArray[np.float32]) -> NDArray[np.float64]:
        held = np.minimum(self._total[rows], self._window)
        as_high = (self._past[rows] >= logs[:, None]).sum(axis=1)  # empty cells are NaN: never counted
        p = (1.0 + as_high) / (held + 1.0)
        u, b, k, q = self._tail[rows].T
        beyond = logs > u
        excess = np.where(beyond, logs - u, 0.0)
        tail = np.log10(q) - k * np.log1p(excess / (k * b)) / np.log(10.0)
        return np.asarray(np.clip(-np.where(beyond, tail, np.log10(p)), 0.0, MOST_SURPRISE), np.float64)

    def _learn(
        self, rows: NDArray[np.intp], logs: NDArray[np.float32], surprise: NDArray[np.float64], learnable: NDArray[np.bool_]
    ) -> None:
        wrong = (self._total[rows] >= self._armed_from) & (10.0**-surprise <= self._exclusion)
        self._excluded_run[rows[learnable & wrong]] += 1
        entering = learnable & ~wrong
        rows_in, total = rows[entering], self._total[rows[entering]]
        position = total % self._window
        self._widen(int(position.max(initial=0)) + 1)
        self._past[rows_in, position] = logs[entering]
        self._total[rows_in] = total + 1
        self._excluded_run[rows_in] = 0
        self._clear(rows[self._excluded_run[rows] >= self._relearn_after])
        held = np.minimum(self._total[rows_in], self._window)
        # Every second per cent of the past, and not all entities in the same window.
        due = (held >= self._learning_from) & ((self._total[rows_in] + self._phase[rows_in]) % np.maximum(held // 50, 1) == 0)
        due |= held == self._learning_from
        self._refresh(rows_in[due], held[due])

    def _refresh(self, rows: NDArray[np.intp], held: NDArray[np.int64]) -> None:
        if not len(rows):
            return
        k = np.minimum(np.maximum(np.rint(TAIL_SHARE * held).astype(np.int64), 5), np.maximum(held - 1, 1))
        ordered = np.sort(self._past[rows], axis=1)  # NaN last
        lines = np.arange(len(rows))
        u = ordered[lines, np.maximum(held - k - 1, 0)].astype(np.float64)
        columns = np.arange(ordered.shape[1])
        above = (columns >= (held - k)[:, None]) & (columns < held[:, None])
        mean = np.where(above, ordered - u[:, None], 0.0).sum(axis=1) / k
        q = (k + 1.0) / (held + 1.0)  # exact for the (k+1)-th largest of `held` exchangeable values
        b = np.maximum(mean / self._truncated_mean(k, q), self._least_tail + 0.02 * np.abs(u))
        self._tail[rows] = np.stack([u, b, k.astype(np.float64), q], axis=1)

    def _truncated_mean(self, k: NDArray[np.int64], q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of a unit exponential cut where its predicted p reaches the exclusion."""
        if not self._exclusion:
            return np.ones(len(k))
        cut = k * ((q / self._exclusion) ** (1.0 / k) - 1.0)
        return np.asarray(1.0 - cut / np.expm1(cut), np.float64)

    def _clear(self, rows: NDArray[np.intp]) -> None:
        self._past[rows] = np.nan
        self._total[rows] = self._excluded_run[rows] = 0
        self._tail[rows] = 0.0

    def _grow(self) -> None:
        missing = self._rows.allocated - len(self._total)
        if missing > 0:
            room = max(missing, min(len(self._total), self._rows.capacity - len(self._total)))
            self._past = np.concatenate([self._past, np.full((room, self._past.shape[1]), np.nan, np.float32)])
            self._total = np.concatenate([self._total, np.zeros(room, np.int64)])
            self._phase = np.concatenate([self._phase, np.zeros(room, np.int64)])
            self._excluded_run = np.concatenate([self._excluded_run, np.zeros(room, np.int64)])
            self._tail = np.concatenate([self._tail, np.zeros((room, 4))])

    def _widen(self, width: int) -> None:
        if width > self._past.shape[1]:
            more = min(self._window, max(width, 2 * self._past.shape[1])) - self._past.shape[1]
            blank: NDArray[Any] = np.full((len(self._past), more), np.nan, np.float32)
            self._past = np.concatenate([self._past, blank], axis=1)


def _phase(entity: Entity) -> int:
    """Spreads the work of entities over windows by name, so that the answer depends neither on their order nor on a restart."""
    return zlib.crc32(str(entity).encode()) & 0xFFFF

"""Row numbers of entities in columnar state, bounded: when full, the entity seen longest ago gives its row up.

Owns the mapping only; the arrays belong to whoever asks for rows, and it clears those reported as fresh.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from netmote.records.entity import Entity

ABSENT = -1


class EntityRows:
    """At most `capacity` entities. Deterministic: the answer depends on the order of calls, never on hash seeds."""

    def __init__(self, *, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity} must be at least 1")
        self.capacity = capacity
        self.evicted = 0  # entities that gave their row to another
        self.refused = 0  # requests beyond the capacity within one batch
        self._row: dict[Entity, int] = {}
        self._holder: list[Entity] = []  # by row; stale where the row is free
        self._seen = np.zeros(0, np.int64)  # tick of the last request, per row
        self._tick = 0
        self._free: list[int] = []
        self._last: tuple[tuple[Entity, ...], NDArray[np.intp]] | None = None

    def __len__(self) -> int:
        return len(self._row)

    def __contains__(self, entity: Entity) -> bool:
        return entity in self._row

    @property
    def allocated(self) -> int:
        """Rows ever handed out: the length the owner's arrays need."""
        return len(self._seen)

    def entities(self) -> tuple[tuple[Entity, int], ...]:
        """Every entity with its row, in the order of rows."""
        return tuple(sorted(self._row.items(), key=lambda item: item[1]))

    def find(self, entity: Entity) -> int | None:
        """Its row, without counting as seen."""
        return self._row.get(entity)

    def find_all(self, entities: Sequence[Entity]) -> NDArray[np.intp]:
        """The row of each, ABSENT for whoever has none, without counting as seen."""
        return np.fromiter((self._row.get(entity, ABSENT) for entity in entities), np.intp, count=len(entities))

    def forget(self, entity: Entity) -> int | None:
        """Free its row; returns the row that was freed."""
        row = self._row.pop(entity, None)
        if row is not None:
            self._free.append(row)
            self._last = None
        return row

    def assign(self, entities: Sequence[Entity]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return (row of each entity, rows that belong to somebody new and must be cleared).

        An entity gets ABSENT when more entities than `capacity` come in one call; that is counted in `refused`.
        """
        self._tick += 1
        key = tuple(entities)
        none = np.empty(0, np.intp)
        if self._last is not None and self._last[0] == key:
            rows = self._last[1]
            self._seen[rows] = self._tick
            return rows, none
        rows = np.fromiter((self._row.get(entity, ABSENT) for entity in key), np.intp, count=len(key))
        self._seen[rows[rows != ABSENT]] = self._tick
        fresh: list[int] = []
        for position in np.flatnonzero(rows == ABSENT):
            row = self._room()
            if row is None:
                self.refused += 1
                continue
            self._row[key[position]] = row
            self._holder[row : row + 1] = [key[position]]
            self._seen[row] = self._tick
            rows[position] = row
            fresh.append(row)
        self._last = (key, rows) if (rows != ABSENT).all() else None
        return rows, np.array(fresh, np.intp)

    def refill(self, entities: Iterable[Entity]) -> None:
        """Begin anew with these entities in rows 0, 1, ...; raises ValueError when they are too many or repeat."""
        names = list(entities)
        if len(names) > self.capacity or len(set(names)) != len(names):
            raise ValueError(f"{len(names)} entities do not fit into {self.capacity} rows, each once")
        self._row = {entity: row for row, entity in enumerate(names)}
        self._holder = names
        self._seen = np.zeros(len(names), np.int64)
        self._tick, self._free, self._last = 0, [], None

    def _room(self) -> int | None:
        if self._free:
            return self._free.pop()
        if self.allocated < self.capacity:
            self._seen = np.append(self._seen, 0)
            return self.allocated - 1
        oldest = int(np.argmin(self._seen))
        if self._seen[oldest] == self._tick:
            return None
        del self._row[self._holder[oldest]]
        self.evicted += 1
        self._last = None
        return oldest

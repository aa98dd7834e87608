"""What is usual for each entity, feature by feature: a running robust centre and spread, for people to compare with.

Kept in sign * log1p space, where rates and counts of a network are close to symmetric, and told in the feature's own unit.
Bounded: the entity seen longest ago is forgotten. Refuses to judge: it explains scores, it never makes one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.records.entity import Entity
from netmote.scoring.entity_rows import ABSENT, EntityRows
from netmote.scoring.state_bytes import pack, unpack
from netmote.windows.schema import FeatureSchema
from netmote.windows.vector import VectorBatch

# Below this many windows nothing is called usual (evidence: 30 windows are the first sensible device baseline).
KNOWN_FROM = 30
# The memory in windows: 1 h at a hop of 10 s.
MEMORY = 360
# Residuals count as at most this many spreads once the spread is known, so one wild window moves it little.
WINSOR = 3.0
# Least spread in log1p space: a change of 5 % is never a deviation, however steady the entity was.
LEAST_SPREAD = 0.05


def to_log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """sign(x) * log1p(|x|)."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), np.float64)


def from_log(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of `to_log`."""
    return np.asarray(np.sign(logs) * np.expm1(np.abs(logs)), np.float64)


class Baseline:
    """The usual values of up to `max_entities` entities of one schema.

    The centre starts as the plain mean and becomes an exponentially weighted one (weight 1/360); residuals are winsorised
    at 3 spreads from the ninth window on. State is (entities, features) float64 three times.
    """

    def __init__(self, schema: FeatureSchema, *, max_entities: int = 1_000) -> None:
        self.schema = schema
        self._rows = EntityRows(capacity=max_entities)
        self._centre = np.zeros((0, len(schema)))
        self._variance = np.zeros((0, len(schema)))
        self._count = np.zeros((0, len(schema)), np.int32)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def evicted(self) -> int:
        """Entities forgotten because others needed the room."""
        return self._rows.evicted

    def learn(self, vectors: VectorBatch, learnable: NDArray[np.bool_]) -> None:
        """Take in the windows of `learnable` entities, (entities,); absent features are left as they were."""
        positions = np.flatnonzero(learnable)
        if not len(positions):
            return
        rows, fresh = self._rows.assign([vectors.entities[position] for position in positions])
        self._grow()
        self._centre[fresh], self._variance[fresh], self._count[fresh] = 0.0, 0.0, 0
        kept = rows != ABSENT
        rows, positions = rows[kept], positions[kept]
        present = vectors.present[positions]
        count = self._count[rows] + present
        weight = 1.0 / np.minimum(np.maximum(count, 1), MEMORY)
        residual = to_log(vectors.values[positions]) - self._centre[rows]
        limit = np.where(count > 8, WINSOR * np.maximum(np.sqrt(self._variance[rows]), LEAST_SPREAD), np.inf)
        residual = np.clip(residual, -limit, limit)
        # West's incremental form: exact mean and variance while the weight is 1/n, exponentially weighted after.
        variance = (1.0 - weight) * (self._variance[rows] + weight * residual**2)
        self._centre[rows] += np.where(present, weight * residual, 0.0)
        self._variance[rows] = np.where(present, variance, self._variance[rows])
        self._count[rows] = count

    def explain(
        self, schema: FeatureSchema, entity: Entity, values: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (usual value in the feature's own unit, how many spreads `values` lie off), both (features,).

        NaN where fewer than `KNOWN_FROM` windows are known. Raises ValueError for another schema.
        """
        if schema.hash != self.schema.hash:
            raise ValueError(f"baseline of schema {self.schema.name} asked about {schema.name}")
        row = self._rows.find(entity)
        if row is None:
            return np.full(len(schema), np.nan), np.full(len(schema), np.nan)
        known = self._count[row] >= KNOWN_FROM
        spread = np.maximum(np.sqrt(self._variance[row]), LEAST_SPREAD)
        sigma = (to_log(values) - self._centre[row]) / spread
        return np.where(known, from_log(self._centre[row]), np.nan), np.where(known, sigma, np.nan)

    def forget(self, entity: Entity) -> None:
        """Begin anew with this entity."""
        self._rows.forget(entity)

    def state(self) -> bytes:
        """Everything learnt, to the last bit."""
        pairs = self._rows.entities()
        rows = [row for _, row in pairs]
        head = {"schema": self.schema.hash, "entities": [str(entity) for entity, _ in pairs]}
        return pack(
            head,
            {
                "centre": self._centre[rows],
                "variance": self._variance[rows],
                "count": self._count[rows],
            },
        )

    def restore(self, blob: bytes) -> None:
        """Inverse of `state`. Raises ValueError on damaged bytes or another schema; then nothing has changed."""
        head, arrays = unpack(blob)
        if head.get("schema") != self.schema.hash:
            raise ValueError(f"the stored baseline is not of schema {self.schema.name} version {self.schema.version}")
        entities = [Entity.parse(name) for name in head["entities"]]
        shape = (len(entities), len(self.schema))
        centre, variance, count = (_shaped(arrays, name, shape) for name in ("centre", "variance", "count"))
        self._rows.refill(entities)
        self._centre, self._variance = centre.astype(np.float64), variance.astype(np.float64)
        self._count = count.astype(np.int32)

    def _grow(self) -> None:
        missing = self._rows.allocated - len(self._centre)
        if missing > 0:
            room = max(missing, min(len(self._centre), self._rows.capacity - len(self._centre)))
            blank = np.zeros((room, len(self.schema)))
            self._centre = np.concatenate([self._centre, blank])
            self._variance = np.concatenate([self._variance, blank])
            self._count = np.concatenate([self._count, blank.astype(np.int32)])


def _shaped(arrays: dict[str, NDArray[Any]], name: str, shape: Sequence[int]) -> NDArray[Any]:
    array = arrays.get(name)
    if array is None or array.shape != tuple(shape):
        raise ValueError(f"the stored state lacks {name!r} of shape {tuple(shape)}")
    return array

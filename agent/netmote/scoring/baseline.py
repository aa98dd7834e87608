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
from netmote.scoring.usual import Usual
from netmote.windows.schema import FeatureSchema
from netmote.windows.vector import VectorBatch

# Below this many windows nothing is called usual (evidence: 30 windows are the first sensible device baseline).
KNOWN_FROM = 30
# The memory in windows: 1 h at a hop of 10 s.
MEMORY = 360
# Residuals count as at most this many spreads once the spread is known, so one wild window moves it little.
WINSOR = 3.0
# So many windows on end in which a rule finds an entity unlike itself are a new normal (24 h at a hop of 10 s, as in calibration).
RELEARN_AFTER = 8_640
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

    def __init__(self, schema: FeatureSchema, *, max_entities: int = 1_000, relearn_after: int = RELEARN_AFTER) -> None:
        self.schema = schema
        self._relearn_after = relearn_after
        self._rows = EntityRows(capacity=max_entities)
        self._centre = np.zeros((0, len(schema)))
        self._variance = np.zeros((0, len(schema)))
        self._count = np.zeros((0, len(schema)), np.int32)
        self._deviating = np.zeros(0, np.int32)  # windows on end in which a rule found the entity unlike itself

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
        self._centre[fresh], self._variance[fresh], self._count[fresh], self._deviating[fresh] = 0.0, 0.0, 0, 0
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

    def renew(self, vectors: VectorBatch, deviating: NDArray[np.bool_]) -> None:
        """Begin anew with entities that rules found unlike themselves, (entities,), for `relearn_after` windows on end.

        Such windows are never learnt, so a change that stays would else be unlike the entity for ever.
        """
        rows = self._rows.find_all(vectors.entities)
        held = rows != ABSENT
        rows, deviating = rows[held], deviating[held]
        self._deviating[rows] = np.where(deviating, self._deviating[rows] + 1, 0)
        over = rows[self._deviating[rows] >= self._relearn_after]
        self._count[over], self._deviating[over] = 0, 0

    def usual(self, vectors: VectorBatch) -> Usual:
        """What is usual for every entity of a window, and how far off it lies. Counts nobody as seen, learns nothing.

        Raises ValueError for another schema.
        """
        self._require(vectors.schema)
        rows = self._rows.find_all(vectors.entities)
        held = np.flatnonzero(rows != ABSENT)
        if len(held) == len(rows):
            centre, deviation = self._compare(rows, vectors.values)
        else:
            centre, deviation = np.full(vectors.values.shape, np.nan), np.full(vectors.values.shape, np.nan)
            centre[held], deviation[held] = self._compare(rows[held], vectors.values[held])
        deviation[~vectors.present] = np.nan
        return Usual(centre, deviation, ~np.isnan(deviation))

    def explain(
        self, schema: FeatureSchema, entity: Entity, values: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (usual value in the feature's own unit, how many spreads `values` lie off), both (features,).

        NaN where fewer than `KNOWN_FROM` windows are known. Raises ValueError for another schema.
        """
        self._require(schema)
        row = self._rows.find(entity)
        if row is None:
            return np.full(len(schema), np.nan), np.full(len(schema), np.nan)
        usual, sigma = self._compare(np.array([row]), values[None, :])
        return usual[0], sigma[0]

    @property
    def entities(self) -> tuple[Entity, ...]:
        """All that it knows."""
        return tuple(entity for entity, _ in self._rows.entities())

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
                "deviating": self._deviating[rows],
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
        # States written before there was such a count have none.
        deviating = _shaped(arrays, "deviating", shape[:1]) if "deviating" in arrays else np.zeros(len(entities))
        self._rows.refill(entities)
        self._centre, self._variance = centre.astype(np.float64), variance.astype(np.float64)
        self._count, self._deviating = count.astype(np.int32), deviating.astype(np.int32)

    def _require(self, schema: FeatureSchema) -> None:
        if schema.hash != self.schema.hash:
            raise ValueError(f"baseline of schema {self.schema.name} asked about {schema.name}")

    def _compare(self, rows: NDArray[np.intp], values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(Usual value, spreads off), both (rows, features), NaN where not known."""
        # In place, because this is asked about whole windows; NaN passes through.
        centre, spread = self._centre[rows], self._variance[rows]
        centre[self._count[rows] < KNOWN_FROM] = np.nan
        np.maximum(np.sqrt(spread, out=spread), LEAST_SPREAD, out=spread)
        sigma = to_log(values)
        sigma -= centre
        sigma /= spread
        return from_log(centre), sigma

    def _grow(self) -> None:
        missing = self._rows.allocated - len(self._centre)
        if missing > 0:
            room = max(missing, min(len(self._centre), self._rows.capacity - len(self._centre)))
            blank = np.zeros((room, len(self.schema)))
            self._centre = np.concatenate([self._centre, blank])
            self._variance = np.concatenate([self._variance, blank])
            self._count = np.concatenate([self._count, blank.astype(np.int32)])
            self._deviating = np.concatenate([self._deviating, np.zeros(room, np.int32)])


def _shaped(arrays: dict[str, NDArray[Any]], name: str, shape: Sequence[int]) -> NDArray[Any]:
    array = arrays.get(name)
    if array is None or array.shape != tuple(shape):
        raise ValueError(f"the stored state lacks {name!r} of shape {tuple(shape)}")
    return array

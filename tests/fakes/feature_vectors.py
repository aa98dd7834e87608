"""Vectors of a window without packets behind them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from netmote.records.entity import Entity, EntityKind
from netmote.windows.schema import Feature, FeatureSchema
from netmote.windows.vector import VectorBatch

SMALL = FeatureSchema(
    name="small",
    version=1,
    window_ns=60_000_000_000,
    hop_ns=10_000_000_000,
    features=(
        Feature("out_bytes_ps", "By/s", "octets / W"),
        Feature("uniq_dst", "{address}", "distinct addresses"),
        Feature("reset_ratio", "1", "resets / slices"),
    ),
)


def hosts(count: int) -> tuple[Entity, ...]:
    """Host entities in canonical order."""
    return tuple(sorted(Entity(EntityKind.HOST, f"10.0.{index // 250}.{index % 250 + 1}") for index in range(count)))


def vectors(
    values: ArrayLike,
    *,
    schema: FeatureSchema = SMALL,
    entities: Sequence[Entity] | None = None,
    step: int = 0,
    quality: ArrayLike | None = None,
    present: ArrayLike | None = None,
) -> VectorBatch:
    """A batch of raw `values` (entities, features); window number `step`; good and complete unless told otherwise."""
    rows = np.atleast_2d(np.asarray(values, np.float64)).reshape(-1, len(schema))
    start = 1_700_000_000_000_000_000 + step * schema.hop_ns
    return VectorBatch(
        schema=schema,
        start_ns=start,
        end_ns=start + schema.window_ns,
        entities=tuple(entities) if entities is not None else hosts(len(rows)),
        values=rows,
        present=np.ones(rows.shape, bool) if present is None else np.asarray(present, bool),
        coverage=np.ones(len(rows)),
        quality=np.zeros(len(rows), np.uint8) if quality is None else np.asarray(quality, np.uint8),
        loss_ratio=np.zeros(len(rows)),
    )

"""A window in words: which features stand out against the entity's own baseline, and one sentence that says so.

Ordered by distance from the baseline (on labelled faults the true cause leads that order most often); the model's own
contribution decides between equals and where no baseline is known yet.
"""

import numpy as np
from numpy.typing import NDArray

from netmote.records.entity import Entity
from netmote.scoring.baseline import Baseline
from netmote.scoring.finding import Contributor, Finding
from netmote.windows.vector import VectorBatch

SHOWN = 3
# A rule's finding is enriched with other features only when they lie this many spreads off.
NOTABLE_SIGMA = 3.0
# Spreads beyond this say nothing more to a reader.
MOST_SIGMA = 999.0


def contributors(
    vectors: VectorBatch, index: int, contribution: NDArray[np.float64] | None, baseline: Baseline
) -> tuple[Contributor, ...]:
    """The `SHOWN` features that stand out most in one entity's window, most first; absent features never do.

    `contribution` (features,) comes from a model; without one only features beyond `NOTABLE_SIGMA` are told.
    """
    usual, sigma = baseline.explain(vectors.schema, vectors.entities[index], vectors.values[index])
    distance = np.abs(np.nan_to_num(sigma, nan=0.0))
    told = vectors.present[index] & ((distance >= NOTABLE_SIGMA) if contribution is None else True)
    second = np.zeros(len(distance)) if contribution is None else contribution
    order = np.lexsort((-second, -distance))
    return tuple(_contributor(vectors, index, int(column), usual, sigma) for column in order[told[order]][:SHOWN])


def enriched(finding: Finding, vectors: VectorBatch, index: int, baseline: Baseline) -> tuple[Contributor, ...]:
    """A rule's contributors with what is usual for this entity, followed by other features that stand out."""
    usual, sigma = baseline.explain(vectors.schema, vectors.entities[index], vectors.values[index])
    filled = []
    for given in finding.contributors:
        column = vectors.schema.index.get(given.feature)
        if column is None or given.baseline is not None:
            filled.append(given)
            continue
        told = _contributor(vectors, index, column, usual, sigma)
        filled.append(Contributor(given.feature, given.unit, given.value, told.baseline, told.sigma, threshold=given.threshold))
    names = {given.feature for given in filled}
    others = (other for other in contributors(vectors, index, None, baseline) if other.feature not in names)
    return (*filled, *others)


def sentence(entity: Entity, told: tuple[Contributor, ...]) -> str:
    """One sentence with the values in it, such as `host 10.0.0.5 is unlike itself: uniq dst 180 (usually 3)`."""
    parts = []
    for one in told:
        usual = "" if one.baseline is None else f" (usually {quantity(one.baseline, one.unit)})"
        parts.append(f"{one.feature.replace('_', ' ')} {quantity(one.value, one.unit)}{usual}")
    return f"{entity.kind.value} {entity.name} is unlike itself: {', '.join(parts)}"


def quantity(value: float, unit: str) -> str:
    """A number a person can read with its unit (UCUM, without its braces and with B for By); counts and ratios have none."""
    size = abs(value)
    number = f"{value:,.0f}" if size >= 100.0 else f"{value:.3g}" if size >= 1e-3 or not value else f"{value:.1e}"
    if unit in ("", "1") or (unit.startswith("{") and unit.endswith("}")):
        return number
    return f"{number} {unit.replace('By', 'B').replace('{', '').replace('}', '')}"


def _contributor(
    vectors: VectorBatch, index: int, column: int, usual: NDArray[np.float64], sigma: NDArray[np.float64]
) -> Contributor:
    feature = vectors.schema.features[column]
    is_known = bool(np.isfinite(sigma[column]))
    return Contributor(
        feature=feature.name,
        unit=feature.unit,
        value=float(vectors.values[index, column]),
        baseline=float(usual[column]) if is_known else None,
        sigma=float(np.clip(sigma[column], -MOST_SIGMA, MOST_SIGMA)) if is_known else None,
    )

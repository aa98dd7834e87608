"""The geometry of the bars that are drawn as SVG on the server: values against what is usual and what is allowed. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from netmote.scoring.finding import Contributor
from netmote.web.quantity import figure, quantity

# User units of the SVG's width; the page scales it.
WIDTH = 1_000.0


@dataclass(frozen=True, slots=True)
class Bullet:
    """One feature: a bar for its value, a band up to what is usual, a tick at a rule's limit. Lengths in user units."""

    feature: str
    value: str
    baseline: str
    threshold: str
    deviation: str  # how many robust standard deviations, and to which side; empty while unknown
    bar: float
    band: float | None
    tick: float | None


def bullets(contributors: Sequence[Contributor]) -> tuple[Bullet, ...]:
    """One bar a contributor, each on a scale of its own: units differ, so lengths compare only within a row."""
    return tuple(_bullet(contributor) for contributor in contributors)


def shares(counts: Sequence[int]) -> tuple[float, ...]:
    """Bar lengths of counts, the largest filling the width."""
    largest = max(counts, default=0)
    return tuple(WIDTH * count / largest if largest else 0.0 for count in counts)


def fill(part: float | None, whole: float | None) -> float | None:
    """Length of a bar for a share of 0 to 1; None when either is unknown."""
    if part is None or not whole or not math.isfinite(part / whole):
        return None
    return WIDTH * min(1.0, max(0.0, part / whole))


def _bullet(contributor: Contributor) -> Bullet:
    known = [
        abs(number)
        for number in (contributor.value, contributor.baseline, contributor.threshold)
        if number is not None and math.isfinite(number)
    ]
    scale = max(known, default=0.0)

    def length(number: float | None) -> float | None:
        if number is None or not math.isfinite(number):
            return None
        return round(WIDTH * (abs(number) / scale), 1) if scale else 0.0

    return Bullet(
        feature=contributor.feature,
        value=quantity(contributor.value, contributor.unit),
        baseline=quantity(contributor.baseline, contributor.unit),
        threshold=quantity(contributor.threshold, contributor.unit),
        deviation=_deviation(contributor),
        bar=length(contributor.value) or 0.0,
        band=length(contributor.baseline),
        tick=length(contributor.threshold),
    )


def _deviation(contributor: Contributor) -> str:
    if contributor.sigma is None or not math.isfinite(contributor.sigma):
        return ""
    below = contributor.baseline is not None and contributor.value < contributor.baseline
    return f"{figure(abs(contributor.sigma))} \N{GREEK SMALL LETTER SIGMA} {'below' if below else 'above'} usual"

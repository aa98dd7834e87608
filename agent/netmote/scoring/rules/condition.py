"""Conditions, evaluated over all entities of a window at once, in three values: true, false and not known.

Not known is what was not observed: a feature that is absent, a baseline that is not there yet, a ratio of nothing to nothing.
The logic is Kleene's: `all` with one false part is false, `any` with one true part is true, whatever the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from netmote.records.entity import Entity
from netmote.scoring.usual import Usual
from netmote.windows.vector import VectorBatch, WindowEvidence

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# A flow with this many slices of 5 s within a window is a session, not an attempt.
LASTING_SLICES = 4


@dataclass(frozen=True, eq=False)
class Frame:
    """What a condition may look at: the windows, and what is known beside them."""

    vectors: VectorBatch
    baselines: Callable[[VectorBatch], Usual] | None = None
    evidence: Callable[[Entity], WindowEvidence] | None = None

    @cached_property
    def usual(self) -> Usual | None:
        """What is usual, asked for once and only when a condition wants it."""
        return None if self.baselines is None else self.baselines(self.vectors)

    @cached_property
    def _evidence_of(self) -> dict[int, WindowEvidence]:
        return {}

    def brief_slices_on(self, row: int, ports: frozenset[int]) -> float:
        """Flow slices of an entity on these responder ports, long flows left out. Only called where `evidence` is given."""
        assert self.evidence is not None, "asked only where there is evidence"
        known = self._evidence_of
        if row not in known:
            known[row] = self.evidence(self.vectors.entities[row])
        slices = sum(count for port, count in known[row].top_ports if port in ports)
        lasting = sum(
            flow.slices
            for flow in known[row].top_flows
            if flow.destination_transport_port in ports and flow.slices >= LASTING_SLICES
        )
        return float(max(slices - lasting, 0))


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """One of three values for each entity: `holds` implies `known`."""

    holds: Mask
    known: Mask


@dataclass(frozen=True, slots=True)
class FeatureValue:
    """A feature."""

    name: str
    unit: str
    column: int

    is_costly = False

    def read(self, frame: Frame, _wanted: Mask) -> tuple[Floats, Mask]:
        return frame.vectors.values[:, self.column], frame.vectors.present[:, self.column]


@dataclass(frozen=True, slots=True)
class WindowValue:
    """`loss_ratio` or `coverage` of the window itself."""

    name: str
    unit: str = "1"

    is_costly = False

    def read(self, frame: Frame, _wanted: Mask) -> tuple[Floats, Mask]:
        values: Floats = getattr(frame.vectors, self.name)
        return values, np.ones(len(values), bool)


@dataclass(frozen=True, slots=True)
class RatioValue:
    """The sum of some features divided by the sum of others; something to nothing is infinite, nothing to nothing not known."""

    name: str
    unit: str
    above: tuple[int, ...]
    below: tuple[int, ...]

    is_costly = False

    def read(self, frame: Frame, _wanted: Mask) -> tuple[Floats, Mask]:
        values, present = frame.vectors.values, frame.vectors.present
        upper, lower = values[:, self.above].sum(axis=1), values[:, self.below].sum(axis=1)
        known = present[:, self.above + self.below].all(axis=1) & ~((upper == 0) & (lower == 0))
        ratio = np.full(len(upper), np.inf)
        np.divide(upper, lower, out=ratio, where=lower != 0)
        return ratio, known


@dataclass(frozen=True, slots=True)
class PortValue:
    """Flow slices of brief flows on some responder ports."""

    name: str
    unit: str
    ports: frozenset[int]

    is_costly = True  # evidence is gathered only for entities of which all else holds

    def read(self, frame: Frame, wanted: Mask) -> tuple[Floats, Mask]:
        slices = np.zeros(len(wanted))
        if frame.evidence is None:
            return slices, np.zeros(len(wanted), bool)
        for row in np.flatnonzero(wanted):
            slices[row] = frame.brief_slices_on(int(row), self.ports)
        return slices, wanted


Value = FeatureValue | WindowValue | RatioValue | PortValue


@dataclass(frozen=True, slots=True)
class Comparison:
    """A value against its limits; all limits that are given must hold."""

    value: Value
    above: float | None = None
    below: float | None = None
    clear_below: float | None = None
    clear_above: float | None = None
    sigma_above: float | None = None
    sigma_below: float | None = None

    @property
    def has_baseline(self) -> bool:
        """Whether it compares with what is usual."""
        return self.sigma_above is not None or self.sigma_below is not None

    def evaluate(self, frame: Frame, raised: Mask, wanted: Mask) -> Truth:
        values, known = self.value.read(frame, wanted)
        holds = known.copy()
        if self.above is not None:
            up = values > self.above
            holds &= up if self.clear_below is None else up | (raised & (values >= self.clear_below))
        if self.below is not None:
            down = values < self.below
            holds &= down if self.clear_above is None else down | (raised & (values <= self.clear_above))
        if self.has_baseline:
            deviation, has_baseline = self._deviation(frame)
            # Where another limit fails already, the answer is false whatever the baseline.
            known = known & (has_baseline | ~holds)
            holds &= has_baseline
            if self.sigma_above is not None:
                holds &= deviation > self.sigma_above
            if self.sigma_below is not None:
                holds &= deviation < -self.sigma_below
        return Truth(holds, known)

    def _deviation(self, frame: Frame) -> tuple[Floats, Mask]:
        rows = len(frame.vectors.values)
        if frame.usual is None or not isinstance(self.value, FeatureValue):
            return np.zeros(rows), np.zeros(rows, bool)
        return frame.usual.deviation[:, self.value.column], frame.usual.known[:, self.value.column]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds. Costly parts are asked last and only where the others hold."""

    parts: tuple["Node", ...]

    def evaluate(self, frame: Frame, raised: Mask, wanted: Mask) -> Truth:
        holds, known = np.ones(len(wanted), bool), np.ones(len(wanted), bool)
        is_false = np.zeros(len(wanted), bool)
        for part in sorted(self.parts, key=is_costly):
            truth = part.evaluate(frame, raised, wanted & holds)
            holds &= truth.holds
            is_false |= truth.known & ~truth.holds
            known &= truth.known
        return Truth(holds, known | is_false)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple["Node", ...]

    def evaluate(self, frame: Frame, raised: Mask, wanted: Mask) -> Truth:
        truths = [part.evaluate(frame, raised, wanted) for part in self.parts]
        holds = np.logical_or.reduce([truth.holds for truth in truths])
        return Truth(holds, holds | np.logical_and.reduce([truth.known for truth in truths]))


@dataclass(frozen=True, slots=True)
class NotOf:
    """The part is known not to hold."""

    part: "Node"

    def evaluate(self, frame: Frame, raised: Mask, wanted: Mask) -> Truth:
        truth = self.part.evaluate(frame, raised, wanted)
        return Truth(truth.known & ~truth.holds, truth.known)


Node = Comparison | AllOf | AnyOf | NotOf


def is_costly(node: Node) -> bool:
    """Whether evaluating it gathers evidence."""
    match node:
        case Comparison(value=value):
            return value.is_costly
        case NotOf(part=part):
            return is_costly(part)
        case AllOf(parts=parts) | AnyOf(parts=parts):
            return any(is_costly(part) for part in parts)


def comparisons(node: Node) -> Iterator[Comparison]:
    """The comparisons that can drive a finding, in the order written: those under `not` only hinder one."""
    match node:
        case Comparison():
            yield node
        case AllOf(parts=parts) | AnyOf(parts=parts):
            for part in parts:
                yield from comparisons(part)
        case NotOf():
            return

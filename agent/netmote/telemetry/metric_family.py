"""Metric families whose label values are bounded, over prometheus_client's. Knows no metric by name.

A label value that comes from outside (a collector's name, a reason) must not be able to grow the exposition without limit:
beyond `limit` different combinations the rest is counted together under the value `other`.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

OTHER = "other"


@dataclass(frozen=True, slots=True)
class Described:
    """One metric as its reference tells it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    documentation: str


class _Labels:
    """Which combinations of label values a family has shown, and where the next one goes."""

    def __init__(self, names: Sequence[str], limit: int) -> None:
        self.names = tuple(names)
        self._limit = limit
        self._known: set[tuple[str, ...]] = set()
        self._lock = threading.Lock()

    def place(self, labels: dict[str, str]) -> tuple[str, ...]:
        """The values to count under, in the family's order. Raises ValueError when the label names are not the family's."""
        if labels.keys() != set(self.names):
            raise ValueError(f"labels {sorted(labels)} given; the family has {sorted(self.names)}")
        values = tuple(str(labels[name]) for name in self.names)
        with self._lock:
            if values not in self._known:
                if len(self._known) >= self._limit:
                    return (OTHER,) * len(self.names)
                self._known.add(values)
        return values

    def forget(self, values: tuple[str, ...]) -> None:
        with self._lock:
            self._known.discard(values)


class CounterFamily:
    """Counts that only rise. Safe from any thread."""

    def __init__(
        self, registry: CollectorRegistry, name: str, documentation: str, labels: Sequence[str] = (), *, limit: int = 200
    ) -> None:
        self.described = Described(name, "counter", tuple(labels), documentation)
        self._metric = Counter(name, documentation, labels, registry=registry)
        self._labels = _Labels(labels, limit)
        self._totals: dict[tuple[str, ...], float] = {}

    def inc(self, amount: float = 1.0, **labels: str) -> None:
        """Add `amount`, at least 0."""
        self._child(self._labels.place(labels)).inc(amount)

    def rise_to(self, total: float, **labels: str) -> None:
        """Follow a source that counts by itself (a kernel statistic); a lower total means that it began anew at zero.

        One source a combination of labels, called from one thread. Sources are configured parts, so they are few.
        """
        values = self._labels.place(labels)
        # By the labels as given, not as placed: two sources folded into `other` keep totals of their own.
        source = tuple(str(labels[name]) for name in self._labels.names)
        known = self._totals.get(source, 0.0)
        self._totals[source] = total
        self._child(values).inc(total - known if total >= known else total)

    def _child(self, values: tuple[str, ...]) -> Counter:
        return self._metric.labels(*values) if values else self._metric


class GaugeFamily:
    """Values that rise and fall. Safe from any thread."""

    def __init__(
        self, registry: CollectorRegistry, name: str, documentation: str, labels: Sequence[str] = (), *, limit: int = 200
    ) -> None:
        self.described = Described(name, "gauge", tuple(labels), documentation)
        self._metric = Gauge(name, documentation, labels, registry=registry)
        self._labels = _Labels(labels, limit)

    def set(self, value: float, **labels: str) -> None:
        self._child(self._labels.place(labels)).set(value)

    def remove(self, **labels: str) -> None:
        """Show this combination no longer: what it measured is gone (a closed sink, a vanished interface)."""
        values = self._labels.place(labels)
        self._labels.forget(values)
        if values:
            self._child(values)  # remove() of a child never shown would raise
            self._metric.remove(*values)

    def _child(self, values: tuple[str, ...]) -> Gauge:
        return self._metric.labels(*values) if values else self._metric


class HistogramFamily:
    """Distributions over fixed buckets. Safe from any thread."""

    def __init__(
        self,
        registry: CollectorRegistry,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        limit: int = 20,
    ) -> None:
        self.described = Described(name, "histogram", tuple(labels), documentation)
        self._metric = Histogram(name, documentation, labels, registry=registry, buckets=buckets)
        self._labels = _Labels(labels, limit)

    def observe(self, value: float, **labels: str) -> None:
        values = self._labels.place(labels)
        (self._metric.labels(*values) if values else self._metric).observe(value)

"""Metric families whose label values are bounded, over prometheus_client's own. Knows no metric by name.

A label value that comes from outside (a collector's name, a reason) must not be able to grow the exposition without limit:
beyond `limit` different combinations the rest is counted together under the value `other`.
"""

import threading
from typing import Generic, TypeVar

from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

OTHER = "other"

MetricT = TypeVar("MetricT", bound=MetricWrapperBase)


class Family(Generic[MetricT]):
    """One metric with labels. Safe from any thread."""

    def __init__(self, metric: MetricT, names: tuple[str, ...], *, limit: int) -> None:
        self._metric = metric
        self._names = names
        self._limit = limit
        self._known: set[tuple[str, ...]] = set()
        self._lock = threading.Lock()

    def labels(self, **labels: str) -> MetricT:
        """The child that counts for these label values. Raises ValueError when the names are not the family's."""
        if labels.keys() != set(self._names):
            raise ValueError(f"labels {sorted(labels)} given; the family has {sorted(self._names)}")
        values = tuple(str(labels[name]) for name in self._names)
        with self._lock:
            if values not in self._known:
                if len(self._known) >= self._limit:
                    values = (OTHER,) * len(self._names)
                else:
                    self._known.add(values)
            return self._metric.labels(*values)

    def remove(self, **labels: str) -> None:
        """Show this combination no longer: what it measured is gone (a closed sink, a vanished interface)."""
        values = tuple(str(labels[name]) for name in self._names)
        with self._lock:
            if values in self._known:
                self._known.discard(values)
                self._metric.remove(*values)


class Following:
    """Lets a counter follow a source that counts by itself since its own start (a kernel statistic, a thread's totals)."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._total = 0.0

    def rise_to(self, total: float) -> None:
        """Add what the source counted since the last call. A lower total means that it began anew at zero."""
        self._counter.inc(total - self._total if total >= self._total else total)
        self._total = total

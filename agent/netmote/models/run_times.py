"""How long the last runs of a model took: written by the thread that scores, read by the one that shows."""

import threading

import numpy as np
from numpy.typing import NDArray

# 1024 windows at a hop of 10 s are nearly three hours of one schema; 8 KB.
KEPT = 1_024


class RunTimes:
    """The durations of the last `kept` runs, and how many runs there were. Safe from any thread."""

    def __init__(self, *, kept: int = KEPT) -> None:
        if kept < 1:
            raise ValueError(f"kept {kept} must be at least 1")
        self._ring = np.zeros(kept)
        self._total = 0
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """Runs ever noted."""
        return self._total

    def note(self, seconds: float) -> None:
        """Take in one run; the oldest gives way."""
        with self._lock:
            self._ring[self._total % len(self._ring)] = seconds
            self._total += 1

    def after(self, total: int) -> tuple[NDArray[np.float64], int]:
        """Return (durations in seconds of the runs noted after the first `total`, oldest first; how many runs there were).

        Of more than `kept` such runs only the last `kept` are still known.
        """
        with self._lock:
            first = max(total, self._total - len(self._ring))
            return self._ring[np.arange(first, self._total) % len(self._ring)], self._total

    def percentiles(self) -> tuple[float, float] | None:
        """(median, 99th percentile) in seconds over the kept runs; None before the first."""
        seconds, _ = self.after(0)
        if not len(seconds):
            return None
        median, high = np.percentile(seconds, (50, 99))
        return float(median), float(high)

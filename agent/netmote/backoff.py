"""Retry arithmetic: exponential back-off with full jitter. No sleeping here; the caller waits."""

from random import Random


class Backoff:
    """Delays of repeated failures: uniform in [0, min(cap, base * 2**n)], after "Exponential Backoff And Jitter" (AWS, 2015).

    `floor` keeps a hot loop impossible when the draw is near zero.
    """

    def __init__(self, *, base: float, cap: float, random: Random, floor: float = 0.05) -> None:
        if not 0 < base <= cap:
            raise ValueError(f"base {base} must be above 0 and at most cap {cap}")
        self._base, self._cap, self._floor, self._random = base, cap, floor, random
        self.failures = 0

    def next_delay(self, *, after: float | None = None) -> float:
        """Count one more failure and return the seconds to wait: at least `after`, when the peer asked for it."""
        ceiling = min(self._cap, self._base * 2.0 ** min(self.failures, 62))
        self.failures += 1
        return max(self._floor, after or 0.0, self._random.uniform(0.0, ceiling))

    def succeeded(self) -> None:
        """Start from the base again."""
        self.failures = 0

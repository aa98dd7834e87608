"""A clock that moves only when told to."""


class ManualClock:
    """Wall and monotonic time advance together unless `step` moves the wall alone."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = now_ns
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic(self) -> float:
        return self._monotonic_ns / 1e9

    def advance(self, seconds: float) -> None:
        self._now_ns += round(seconds * 1e9)
        self._monotonic_ns += round(seconds * 1e9)

    def step(self, seconds: float) -> None:
        self._now_ns += round(seconds * 1e9)

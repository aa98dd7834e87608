"""Where time comes in: wall time for records, monotonic time for schedules. Nothing else reads a clock."""

import time
from typing import Protocol

NANOSECONDS_PER_SECOND = 1_000_000_000


class Clock(Protocol):
    """The two clocks of a machine; tests pass a manual one."""

    def now_ns(self) -> int:
        """UTC wall time in nanoseconds since the epoch; may step."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps; only differences mean something."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()

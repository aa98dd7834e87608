"""Whether a device's whole table of counters has come to a stand although its agent runs on. Pure.

What is usual for a device is learnt from it: a switch that is asked in band counts at least the questions, and so never stands still;
one with a port of its own for them may do so all night. Its table is called stuck when nothing moved for STUCK_PERIODS times the longest
time in which that ever happened (at least its refresh period), while a port is up. A night that was called so once is usual from then on.
"""

STUCK_PERIODS = 10
LEAST_CHANGES = 10  # seen before anything is said


class Standstill:
    """One device. `observe` returns the value of a `counters_stuck` fact to emit, or None."""

    def __init__(self) -> None:
        self._changes = 0
        self._still = 0.0  # seconds since the last change
        self._longest = 0.0  # seconds without a change, from one to the next
        self._is_announced: bool | None = None

    @property
    def is_stuck(self) -> bool:
        return bool(self._is_announced)

    def restarted(self) -> None:
        """The device's clocks began anew: time without a change is counted from here."""
        self._still = 0.0

    def observe(self, elapsed: float, *, has_moved: bool, has_port_up: bool, period: float | None) -> float | None:
        """A poll, `elapsed` seconds of the agent's time after the one before; `period` is how often it refreshes, where that is known.

        The first change of all ends the condition too, because it may have begun before this process did.
        """
        self._still = self._still + elapsed if has_port_up else 0.0
        if has_moved:
            self._changes += 1
            self._longest, self._still = max(self._longest, self._still, elapsed), 0.0
            if self._is_announced is False:
                return None
            self._is_announced = False
            return 0.0
        limit = STUCK_PERIODS * max(self._longest, period or 0.0)
        if self._is_announced or self._changes < LEAST_CHANGES or self._still <= limit:
            return None
        self._is_announced = True
        return 1.0

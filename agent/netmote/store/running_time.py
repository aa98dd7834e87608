"""How long the agent has run, summed over all its lives: the clock that ages count in.

The wall clock may step by years (a board without a battery wakes in 1970, NTP corrects it); an age taken from it would
unlink or expire what is fresh. Running time only ever grows, by the monotonic clock; the ledger and every batch keep it.
The price, stated in the configuration reference: time in which the agent was off does not age anything.
"""

from netmote.clock import NANOSECONDS_PER_SECOND, Clock


class RunningTime:
    """Starts at 0; `at_least` brings in what earlier lives have written down."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ns = -round(clock.monotonic() * NANOSECONDS_PER_SECOND)

    def now_ns(self) -> int:
        return self._offset_ns + round(self._clock.monotonic() * NANOSECONDS_PER_SECOND)

    def at_least(self, running_ns: int) -> None:
        """Go on from there, unless we are beyond it already."""
        self._offset_ns += max(0, running_ns - self.now_ns())

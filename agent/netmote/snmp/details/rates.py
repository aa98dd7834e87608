"""Counters of scalars and small tables to rates, by the agent's own clock. A doubtful difference is none."""

from collections.abc import Mapping

from netmote.snmp.counters import Epoch, Instant, classify

# Beyond this a Counter32 may have wrapped more than once.
_LONGEST_SECONDS = 3600.0


class CounterRates:
    """The counters of one group as last seen, by name. What is not seen again is forgotten."""

    def __init__(self) -> None:
        self._values: Mapping[str, tuple[int, int]] = {}
        self._at: Instant | None = None

    def observe(self, counters: Mapping[str, tuple[int, int]], at: Instant) -> dict[str, float]:
        """Rates per second since the observation before, of counters given as (value, bits).

        None after a restart or a jump of the agent's clock, for a counter that went back, and the first time.
        """
        values, earlier = self._values, self._at
        self._values, self._at = dict(counters), at
        epoch, seconds = classify(earlier, at)
        if epoch not in (Epoch.SAME, Epoch.UNTIMED) or not 0 < seconds <= _LONGEST_SECONDS:
            return {}
        rates = {}
        for name, (later, bits) in counters.items():
            before, width = values.get(name, (0, 0))
            delta = later - before
            if delta < 0 and epoch is Epoch.SAME:
                delta += 1 << bits
            # A wrap goes through the top; what is more than half way round is a counter that was set back.
            if width == bits and 0 <= delta < 1 << (bits - 1):
                rates[name] = delta / seconds
        return rates

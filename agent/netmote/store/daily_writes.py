"""How much was written within the last day of running time, in hours. Pure.

In running time, like all ages here: a step of the clock neither forgets what was written nor counts it twice. What was written
before a restart is not known.
"""

_HOUR_NS = 3600 * 1_000_000_000
_HOURS = 24
_LEAST_NS = 600 * 1_000_000_000  # below this a daily rate would be a guess


class DailyWrites:
    """The hours of a day, the oldest forgotten as new ones begin."""

    def __init__(self) -> None:
        self._hours: dict[int, int] = {}  # number of the hour -> bytes
        self._began_ns: int | None = None

    def note(self, count: int, running_ns: int) -> None:
        """So many bytes were written now."""
        if self._began_ns is None:
            self._began_ns = running_ns
        hour = running_ns // _HOUR_NS
        self._hours[hour] = self._hours.get(hour, 0) + count

    def of_last_day(self, running_ns: int) -> int:
        """Bytes of this hour and the 23 before it."""
        first = running_ns // _HOUR_NS - _HOURS + 1
        for hour in [hour for hour in self._hours if hour < first]:
            del self._hours[hour]
        return sum(self._hours.values())

    def rate(self, running_ns: int) -> float | None:
        """Bytes a day; None until ten minutes were watched."""
        if self._began_ns is None:
            return None
        span = min(running_ns - self._began_ns, _HOURS * _HOUR_NS)
        return None if span < _LEAST_NS else self.of_last_day(running_ns) * _HOURS * _HOUR_NS / span

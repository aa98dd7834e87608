"""How long a request to one device waits for its answer: the retransmission timer of RFC 6298, measured over polls. Pure.

    timeout = SRTT + 4 x RTTVAR, between bounds; the configured timeout until something was measured

One sample a poll, the slowest answer of it: RFC 6298 is made for round trips that resemble each other, and an agent answers sysUpTime in
a millisecond, and a table that it has to read anew in a second. A poll whose requests were lost and none answered doubles the timeout
(section 5.5) until one is measured again (section 5.7). Karn's rule (section 3) is not needed: a repeated request has an id of its own,
so it is known which one an answer belongs to.

A request is repeated soon and given up late: each repetition waits twice as long as the one before, and the last one never less than is
configured. So a loss costs little where answers come quickly, and a device that is slow for once is as little given up as with a fixed
timeout.
"""

from typing import Final

LEAST_SECONDS: Final = 1.0  # section 2.4; agents that read a table anew every few seconds pause for that long
MOST_SECONDS: Final = 30.0
MOST_TIMES: Final = 4  # as much as configured
_ALPHA: Final = 1 / 8  # this and the next two: section 2.3
_BETA: Final = 1 / 4
_K: Final = 4
_GRANULARITY_SECONDS: Final = 0.01  # G of section 2.3: the loop may be held as long


class RoundTrips:
    """The timer of one device. Seconds throughout."""

    def __init__(self, timeout: float, *, least: float = LEAST_SECONDS) -> None:
        """`timeout` is the configured one; what is measured gives none below `least` and none above four times the configured."""
        self._configured = timeout
        self._least, self._most = min(least, timeout), max(timeout, min(MOST_TIMES * timeout, MOST_SECONDS))
        self.timeout = timeout
        """Of a first attempt."""
        self.smoothed: float | None = None
        """SRTT; None until something was measured."""
        self._variation = 0.0
        self._slowest: float | None = None  # answer of this poll
        self._was_lost = False  # a request of this poll

    def timeout_of(self, attempt: int, *, is_last: bool) -> float:
        """How long an attempt waits, the first being 0."""
        timeout = min(self.timeout * 2.0**attempt, self._most)
        return max(timeout, self._configured) if is_last else timeout

    def answered(self, seconds: float) -> None:
        """A round trip of this poll."""
        if self._slowest is None or seconds > self._slowest:
            self._slowest = seconds

    def lost(self) -> None:
        """A request of this poll got no answer in time."""
        self._was_lost = True

    def poll_ended(self) -> None:
        """Take in what this poll measured. A poll in which nothing was asked changes nothing."""
        sample, was_lost = self._slowest, self._was_lost
        self._slowest, self._was_lost = None, False
        if sample is None:
            if was_lost:
                self.timeout = min(2 * self.timeout, self._most)
            return
        if self.smoothed is None:
            self.smoothed, self._variation = sample, sample / 2
        else:
            self._variation += _BETA * (abs(self.smoothed - sample) - self._variation)
            self.smoothed += _ALPHA * (sample - self.smoothed)
        wanted = self.smoothed + max(_GRANULARITY_SECONDS, _K * self._variation)
        self.timeout = min(max(wanted, self._least), self._most)

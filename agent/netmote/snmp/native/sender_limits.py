"""How much one sender may say, and what was said before: bounds on notifications. Pure.

A token bucket for each sender, and the notifications of the last minutes, so that an inform that is sent again, a trap that is repeated
and a recorded one that is played again count once. Both are bounded: the sender that was silent longest and the notification that came
longest ago are forgotten first.
"""

from collections import OrderedDict
from typing import Final

MOST_SENDERS: Final = 4_096
MOST_REMEMBERED: Final = 16_384
# As long as a recorded message of v3 passes for a new one (RFC 3414 section 2.2.3), on both sides of now.
REMEMBER_SECONDS: Final = 300.0


class SenderLimits:
    """Token buckets by sender: `rate` a second, `burst` at once."""

    def __init__(self, *, rate: float, burst: float, most_senders: int = MOST_SENDERS) -> None:
        self._rate, self._burst, self._most_senders = rate, burst, most_senders
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # sender -> (tokens, when)

    def __len__(self) -> int:
        return len(self._buckets)

    def admits(self, sender: str, now: float) -> bool:
        """Whether this one is within the sender's rate; takes a token if so. `now`: monotonic seconds."""
        bucket = self._buckets.get(sender)
        if bucket is None:
            if len(self._buckets) >= self._most_senders:
                self._buckets.popitem(last=False)
            self._buckets[sender] = (self._burst - 1.0, now)
            return True
        tokens = min(self._burst, bucket[0] + (now - bucket[1]) * self._rate)
        self._buckets.move_to_end(sender)
        if tokens < 1.0:
            self._buckets[sender] = (tokens, now)
            return False
        self._buckets[sender] = (tokens - 1.0, now)
        return True


class Remembered:
    """What came within the last `seconds`, at most `most` of it."""

    def __init__(self, *, seconds: float = REMEMBER_SECONDS, most: int = MOST_REMEMBERED) -> None:
        self._seconds, self._most = seconds, most
        self._seen: OrderedDict[tuple[bytes | str, bytes], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def has(self, sender: bytes | str, pdu: bytes, now: float) -> bool:
        """Whether this sender's PDU is here."""
        when = self._seen.get((sender, pdu))
        return when is not None and now - when <= self._seconds

    def add(self, sender: bytes | str, pdu: bytes, now: float) -> None:
        seen = self._seen
        seen[sender, pdu] = now
        seen.move_to_end((sender, pdu))
        if len(seen) > self._most:
            seen.popitem(last=False)

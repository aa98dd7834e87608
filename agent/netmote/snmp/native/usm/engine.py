"""One authoritative engine as we know it: its id, our keys there, and its clock (RFC 3414 sections 2.3 and 3.2.7).

Owns the time window. An engine's clock is known in three ways, in rising trust:

- *told*: from the unauthenticated report of discovery. Used to write requests, so that the first one usually lies within the
  device's window and saves an exchange; believed in nothing that comes.
- *verified*: from a message with the right digest. Moves only forward: boots up, or time up within the same boots. What is older
  than the window of 150 s is refused.
- *resynchronised*: from a verified notInTimeWindow report that answers a request of ours that still waits. It may also move back:
  RFC 3414 would refuse that, and a device whose clock or boots went back (a battery changed, a configuration restored) would stay
  unreadable until we are restarted. The price: someone who recorded such a report could play it again, but only as the answer to a
  request with the same msgID, one of 2^31, while it waits. So it is counted and logged, and done.

Engines are state of one address, never shared: cloned machines have equal ids and different clocks.
"""

from enum import Enum

from netmote.snmp.native.usm.keys import LocalKeys
from netmote.snmp.native.usm.message import LARGEST_INTEGER

WINDOW_SECONDS = 150  # RFC 3414 section 2.2.3
_SHORTEST_ID, _LONGEST_ID = 5, 32  # SnmpEngineID (RFC 3411 section 5)


class Resync(Enum):
    """What a resynchronisation did."""

    FORWARD = "forward"
    CLOCK_BACK = "clock_back"
    BOOTS_BACK = "boots_back"
    REFUSED = "refused"  # boots has reached its maximum: the engine must be set up anew (RFC 3414 section 2.2.2)


def is_engine_id(octets: bytes) -> bool:
    """Whether these can be an engine's id: 5 to 32 octets, not all 00 or all FF (RFC 3411 section 5)."""
    return _SHORTEST_ID <= len(octets) <= _LONGEST_ID and octets.strip(b"\x00") != b"" and octets.strip(b"\xff") != b""


class AuthoritativeEngine:
    """An engine at one address. `now` is monotonic seconds throughout."""

    __slots__ = ("_latest", "_read_at", "_time", "boots", "engine_id", "is_verified", "keys")

    def __init__(self, engine_id: bytes, keys: LocalKeys, *, boots: int, time: int, now: float) -> None:
        """An engine as discovery told of it."""
        self.engine_id, self.keys = engine_id, keys
        self.is_verified = False  # an authenticated message gave boots and time
        self._set(boots, time, now)

    def time_at(self, now: float) -> int:
        """What the engine's clock shows, to the best of our knowledge."""
        return min(self._time + int(now - self._read_at), LARGEST_INTEGER)

    def hear(self, boots: int, time: int, now: float) -> None:
        """What another discovery told: of use until something is verified."""
        if not self.is_verified:
            self._set(boots, time, now)

    def admit(self, boots: int, time: int, now: float) -> bool:
        """Whether a message with the right digest lies in the time window; takes its clock if that is newer (section 3.2.7 b)."""
        if not self.is_verified or boots > self.boots or (boots == self.boots and time > self._latest):
            self._set(boots, time, now)
            self.is_verified = True
        return self.boots != LARGEST_INTEGER and boots == self.boots and time >= self.time_at(now) - WINDOW_SECONDS

    def resynchronise(self, boots: int, time: int, now: float) -> Resync:
        """Take the clock of a notInTimeWindow report with the right digest that answers a request that waits."""
        if boots == LARGEST_INTEGER:
            return Resync.REFUSED
        moved = Resync.FORWARD
        if self.is_verified and boots < self.boots:
            moved = Resync.BOOTS_BACK
        elif self.is_verified and boots == self.boots and time < self.time_at(now) - WINDOW_SECONDS:
            moved = Resync.CLOCK_BACK
        self._set(boots, time, now)
        self.is_verified = True
        return moved

    def _set(self, boots: int, time: int, now: float) -> None:
        self.boots, self._time, self._latest, self._read_at = boots, time, time, now

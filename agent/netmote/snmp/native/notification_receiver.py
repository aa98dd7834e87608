"""What arrives at the port for notifications, to what may be believed of it. Pure: octets in, a notification and an answer out.

    datagram ─► rate of its sender ─► version ─► community, or USM ─► PDU ─► seen before? ─► Received, and what is sent back

Every datagram that ends before its end is counted under the reason. An inform that was seen before is answered again: the answer was
lost. One that finds no room is not answered, so that its sender keeps it. Refuses sockets, devices, and what a notification means.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from netmote.snmp.native.ber import (
    OCTET_STRING,
    SEQUENCE,
    BerError,
    element,
    enter,
    integer,
    read_header,
    read_integer,
)
from netmote.snmp.native.notification_pdu import INFORM, TRAP_V1, TRAP_V2, read_notification, response_to
from netmote.snmp.native.sender_limits import Remembered, SenderLimits
from netmote.snmp.notification import Notification

if TYPE_CHECKING:
    from netmote.snmp.native.usm.receiver import UsmReceiver

_V1, _V2C, _V3 = 0, 1, 3
_KINDS: Final[Mapping[int, tuple[int, ...]]] = {_V1: (TRAP_V1,), _V2C: (TRAP_V2, INFORM)}
_NOTHING = b""


class Received(NamedTuple):
    """A notification that may be believed as far as its version allows."""

    source: str  # numeric address it came from
    engine_id: bytes  # of the sender, proven by its digest; empty otherwise
    is_authenticated: bool  # by the digest of v3
    notification: Notification


class Outcome(NamedTuple):
    """What becomes of a datagram."""

    received: Received | None
    reply: bytes  # to its source; empty for none


_DROPPED = Outcome(None, _NOTHING)


class NotificationReceiver:
    """All versions. `usm` is None when there are no users: then v3 is counted and nothing else."""

    def __init__(
        self,
        communities: Collection[str],
        usm: "UsmReceiver | None",
        *,
        limits: SenderLimits,
        remembered: Remembered,
        monotonic: Callable[[], float],
    ) -> None:
        self._communities = frozenset(community.encode() for community in communities)
        self._usm, self._limits, self._remembered, self._monotonic = usm, limits, remembered, monotonic
        self._resynchronised: Counter[str] = Counter()  # by receivers of earlier users
        self.dropped: Counter[str] = Counter()
        """Datagrams that gave no notification, by reason."""

    def renew(self, communities: Collection[str], usm: "UsmReceiver | None") -> None:
        """Take up other communities and users; what was seen stays seen."""
        self._communities = frozenset(community.encode() for community in communities)
        if self._usm is not None:
            self._resynchronised += self._usm.resynchronised
        self._usm = usm

    @property
    def resynchronised(self) -> Counter[str]:
        """Senders of traps whose clock or boots went back and were followed, by kind."""
        return self._resynchronised if self._usm is None else self._resynchronised + self._usm.resynchronised

    def receive(self, datagram: bytes, source: str, *, has_room: bool = True) -> Outcome:
        """Take one datagram from a numeric address. Without room an authentic one is dropped as `queue_full`. Never raises."""
        now = self._monotonic()
        if not self._limits.admits(source, now):
            return self._drop("rate")
        try:
            at, end = enter(datagram, 0, len(datagram), SEQUENCE)
            version, at = read_integer(datagram, at, end)
            if version == _V3:
                return self._receive_v3(datagram, source, now, has_room=has_room)
            return self._receive_community(datagram, version, (at, end), source, now, has_room=has_room)
        except BerError:
            return self._drop("malformed")

    def _receive_community(
        self, datagram: bytes, version: int, bounds: tuple[int, int], source: str, now: float, *, has_room: bool
    ) -> Outcome:
        """Versions 1 and 2c. Raises BerError."""
        if version not in _KINDS:
            return self._drop("unknown_version")
        start, at = enter(datagram, bounds[0], bounds[1], OCTET_STRING)
        community = datagram[start:at]
        if community not in self._communities:
            return self._drop("wrong_community")
        tag, _, stop = read_header(datagram, at, bounds[1])
        if tag not in _KINDS[version]:
            return self._drop("not_a_notification")
        pdu = datagram[at:stop]
        notification = read_notification(pdu)
        reply = _NOTHING
        if notification.is_confirmed:
            reply = element(SEQUENCE, integer(version) + element(OCTET_STRING, community) + response_to(pdu))
        received = Received(source, _NOTHING, is_authenticated=False, notification=notification)
        return self._hand_on(source, pdu, received, reply, now, has_room=has_room)

    def _receive_v3(self, datagram: bytes, source: str, now: float, *, has_room: bool) -> Outcome:
        """Raises BerError when an authentic message holds no notification."""
        if self._usm is None:
            return self._drop("unknown_user")
        opened = self._usm.open(datagram)
        if opened.accepted is None:
            self.dropped[opened.reason] += 1
            return Outcome(None, opened.report)
        accepted = opened.accepted
        notification = read_notification(accepted.pdu)
        reply = self._usm.answer(accepted, response_to(accepted.pdu)) if notification.is_confirmed else _NOTHING
        sender = accepted.engine_id or source
        received = Received(source, accepted.engine_id, is_authenticated=bool(accepted.user.auth), notification=notification)
        return self._hand_on(sender, accepted.pdu, received, reply, now, has_room=has_room)

    def _hand_on(
        self, sender: bytes | str, pdu: bytes, received: Received, reply: bytes, now: float, *, has_room: bool
    ) -> Outcome:
        if self._remembered.has(sender, pdu, now):
            self.dropped["duplicate"] += 1
            return Outcome(None, reply)
        if not has_room:
            return self._drop("queue_full")
        self._remembered.add(sender, pdu, now)
        return Outcome(received, reply)

    def _drop(self, reason: str) -> Outcome:
        self.dropped[reason] += 1
        return _DROPPED

"""Message processing of SNMPv3 as the receiver of notifications (RFC 3412 section 7.2, RFC 3414 section 3.2). Pure.

Who is authoritative decides with whose keys and clock a message is checked (RFC 3414 section 1.5.1):

- a trap: its *sender*. Its engine is not configured: our users' keys are localised to its id at first sight (two digests), and what
  is known of its clock is kept from its first message with the right digest on. Only such messages get a place in the table, so a
  flood without keys can push nobody out of it.
- an inform: *we*. Our own engine id, boots and time are in the message, or it is answered with a report that tells them. A sender
  learns them by asking first (RFC 3414 section 4).

A sender whose clock or boots went back (a battery changed, a configuration restored) sends traps that look like recorded ones. They count
again once the device has shown the same clock to a poll of ours, in a message with the right digest that answers a question: an
authenticated word to us. What was recorded before the engine went back stays refused until the engine has passed that clock, or a poll is
shown it. Of a device that is only listened to there is no such word: it counts again after our next start.

Nothing is believed below the level that the user is configured with. Within the time window of 150 s a recorded message may come
again: telling repeated ones apart is the caller's (`repeated`). Refuses sockets, rates and what a notification means.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from netmote.snmp.credentials import UsmUser
from netmote.snmp.native.ber import SEQUENCE, BerError, element, enter, integer
from netmote.snmp.native.channel import EngineClock
from netmote.snmp.native.notification_pdu import INFORM, TRAP_V2
from netmote.snmp.native.pdu import REPORT, read_request_id
from netmote.snmp.native.usm.authentication import AuthProtocol
from netmote.snmp.native.usm.engine import WINDOW_SECONDS, AuthoritativeEngine, is_engine_id
from netmote.snmp.native.usm.keys import KeyRing, LocalKeys, protocols
from netmote.snmp.native.usm.message import (
    AUTH_FLAG,
    LARGEST_INTEGER,
    PRIV_FLAG,
    REPORTABLE_FLAG,
    MessageTemplate,
    ScopedPdu,
    V3Message,
    octets_of,
    read_message,
    read_scoped_pdu,
)
from netmote.snmp.native.usm.privacy import SALT_OCTETS, PrivProtocol, SaltCounter, Undecipherable
from netmote.snmp.native.usm.reports import NOT_IN_TIME_WINDOWS, UNKNOWN_ENGINE_IDS
from netmote.snmp.native.usm.sealer import scope_of
from netmote.snmp.oid import parse_oid

MOST_ENGINES: Final = 4_096

_ASK_SECONDS: Final = 1.0

_LEVEL_FLAGS: Final = AUTH_FLAG | PRIV_FLAG
# usmStats (RFC 3414 section 5): what a report names.
_UNSUPPORTED_SEC_LEVELS: Final = parse_oid("1.3.6.1.6.3.15.1.1.1.0")
_UNKNOWN_USER_NAMES: Final = parse_oid("1.3.6.1.6.3.15.1.1.3.0")
_WRONG_DIGESTS: Final = parse_oid("1.3.6.1.6.3.15.1.1.5.0")
_DECRYPTION_ERRORS: Final = parse_oid("1.3.6.1.6.3.15.1.1.6.0")
_COUNTER32: Final = 0x41


class OwnEngine(NamedTuple):
    """Us as an authoritative engine (RFC 3414 section 2.2)."""

    engine_id: bytes
    boots: int  # 1 to LARGEST_INTEGER - 1
    started: float  # monotonic seconds

    def time_at(self, now: float) -> int:
        """Our snmpEngineTime."""
        return min(int(now - self.started), LARGEST_INTEGER)


class Accepted(NamedTuple):
    """A message that may be believed. Positions are those of RFC 3412's primitives."""

    engine_id: bytes  # of the sender, as an authenticated trap proves it; empty for an inform, whose engine is ours, and without a digest
    pdu: bytes
    user: "_User"
    message: V3Message
    scoped: ScopedPdu


class Verdict(NamedTuple):
    """What a message is: accepted, or why not and the report that its sender is owed (empty when none is)."""

    accepted: Accepted | None
    reason: str = ""
    report: bytes = b""


class _User(NamedTuple):
    user: UsmUser
    name: bytes
    auth: AuthProtocol | None
    priv: PrivProtocol | None
    level: int
    own_keys: LocalKeys  # at our own engine


class UsmReceiver:
    """Checks what comes under any of the users. Holds the table of engines; belongs to one loop."""

    def __init__(
        self,
        users: Sequence[UsmUser],
        *,
        own: OwnEngine,
        keys: KeyRing,
        salts: SaltCounter,
        monotonic: Callable[[], float],
        most_engines: int = MOST_ENGINES,
        clocks_of: Callable[[bytes], Sequence[EngineClock]] = lambda _: (),
    ) -> None:
        """Derives keys: some milliseconds a password, so in a thread. Raises UnsupportedSecurityLevel. Of two users of one name the
        first counts. `clocks_of` gives the clocks that an engine showed to polls; it is asked once a second and engine at most.
        """
        self._clocks_of = clocks_of
        self._asked_at: dict[tuple[bytes, bytes], float] = {}  # of engines in the table, when `clocks_of` was asked last
        self._left_at: dict[tuple[bytes, bytes], tuple[int, int]] = {}  # boots and time that engines showed before they went back
        self.resynchronised: Counter[str] = Counter()
        """Engines that went back and were followed, by kind."""
        self._own, self._keys, self._salts, self._monotonic, self._most_engines = own, keys, salts, monotonic, most_engines
        self._users: dict[bytes, _User] = {}
        for user in users:
            keys.prepare(user)
            auth, priv = protocols(user)
            level = (AUTH_FLAG if auth else 0) | (PRIV_FLAG if priv else 0)
            name = user.security_name.encode()
            self._users.setdefault(name, _User(user, name, auth, priv, level, keys.local_keys(user, own.engine_id)))
        self._engines: OrderedDict[tuple[bytes, bytes], AuthoritativeEngine] = OrderedDict()
        self._reported: Counter[bytes] = Counter()
        self.engines_forgotten = 0

    @property
    def engines(self) -> int:
        """Senders' engines known now, one a user."""
        return len(self._engines)

    def open(self, datagram: bytes) -> Verdict:
        """Check and unwrap what came. Never raises."""
        try:
            message = read_message(datagram)
        except BerError:
            return Verdict(None, "malformed")
        is_ours = message.engine_id == self._own.engine_id
        if not is_ours and not is_engine_id(message.engine_id):
            return self._refuse(message, "discovery", UNKNOWN_ENGINE_IDS)
        user = self._users.get(message.user_name)
        if user is None:
            return self._refuse(message, "unknown_user", _UNKNOWN_USER_NAMES)
        if message.flags & _LEVEL_FLAGS != user.level:
            return self._refuse(message, "security_level", _UNSUPPORTED_SEC_LEVELS)
        return self._open_own(message, user) if is_ours else self._open_foreign(message, user)

    def _open_own(self, message: V3Message, user: _User) -> Verdict:
        """RFC 3414 section 3.2 with us as the authoritative engine."""
        if user.auth is not None:
            if not user.auth.is_authentic(user.own_keys.auth, message.octets, message.digest_start, message.digest_end):
                return self._refuse(message, "wrong_digest", _WRONG_DIGESTS)
            distance = abs(message.time - self._own.time_at(self._monotonic()))
            if message.boots != self._own.boots or distance > WINDOW_SECONDS:  # section 3.2.7 a
                return self._refuse(message, "not_in_time", NOT_IN_TIME_WINDOWS, authenticated_by=user)
        try:
            scoped = _scoped(message, user.own_keys)
        except (BerError, Undecipherable):
            return self._refuse(message, "undecipherable", _DECRYPTION_ERRORS)
        if (
            scoped.tag != INFORM
        ):  # what is not confirmed has its sender for authority (RFC 3411 section 2.8, RFC 3412 section 7.1)
            return Verdict(None, "not_a_notification")
        return Verdict(Accepted(b"", scoped.pdu, user, message, scoped))

    def _open_foreign(self, message: V3Message, user: _User) -> Verdict:
        """RFC 3414 section 3.2 with the sender as the authoritative engine."""
        if user.auth is None:
            try:
                return self._foreign(b"", user, message, _scoped(message, user.own_keys))
            except BerError:
                return Verdict(None, "malformed")
        place = (message.engine_id, user.name)
        known = self._engines.get(place)
        keys = self._keys.local_keys(user.user, message.engine_id) if known is None else known.keys
        if not user.auth.is_authentic(keys.auth, message.octets, message.digest_start, message.digest_end):
            # Whoever takes another engine than ours for the one that is to confirm needs to be told ours.
            return self._refuse(message, "wrong_digest", UNKNOWN_ENGINE_IDS)
        now = self._monotonic()
        if known is None:
            known = AuthoritativeEngine(message.engine_id, keys, boots=message.boots, time=message.time, now=now)
            if len(self._engines) >= self._most_engines:
                forgotten, _ = self._engines.popitem(last=False)
                self._asked_at.pop(forgotten, None)
                self._left_at.pop(forgotten, None)
                self.engines_forgotten += 1
            self._engines[place] = known
        else:
            self._engines.move_to_end(place)
        is_heard = not self._is_of_earlier_life(place, known, message, now) and known.admit(message.boots, message.time, now)
        if not is_heard and not self._follows(place, known, message, now):
            return Verdict(None, "not_in_time")
        try:
            scoped = _scoped(message, keys)
        except (BerError, Undecipherable):
            return Verdict(None, "undecipherable")
        return self._foreign(message.engine_id, user, message, scoped)

    def _follows(self, place: tuple[bytes, bytes], known: AuthoritativeEngine, message: V3Message, now: float) -> bool:
        """Whether the engine went back: a poll was shown a clock in whose window the message lies. Takes that clock."""
        if now - self._asked_at.get(place, -_ASK_SECONDS) < _ASK_SECONDS:
            return False
        self._asked_at[place] = now
        for boots, time in self._clocks_of(known.engine_id):
            if boots == message.boots != LARGEST_INTEGER and abs(time - message.time) <= WINDOW_SECONDS:
                left = known.boots, known.time_at(now)
                self._left_at[place] = max(left, self._left_at.get(place, left))
                self.resynchronised[known.resynchronise(boots, time, now).value] += 1
                return known.admit(message.boots, message.time, now)
        return False

    def _is_of_earlier_life(self, place: tuple[bytes, bytes], known: AuthoritativeEngine, message: V3Message, now: float) -> bool:
        """Whether it is ahead of an engine that went back, and not ahead of what it showed before: it may be a recording from then."""
        left = self._left_at.get(place)
        if left is None:
            return False
        told = message.boots, message.time
        if told > (left[0], left[1] + WINDOW_SECONDS):
            del self._left_at[place]
            return False
        return told > (known.boots, known.time_at(now) + WINDOW_SECONDS)

    def _foreign(self, engine_id: bytes, user: _User, message: V3Message, scoped: ScopedPdu) -> Verdict:
        """A message whose sender is authoritative: a trap. An inform is told who has to be."""
        if scoped.tag == INFORM:
            return self._refuse(message, "discovery", UNKNOWN_ENGINE_IDS)
        if scoped.tag != TRAP_V2:
            return Verdict(None, "not_a_notification")
        return Verdict(Accepted(engine_id, scoped.pdu, user, message, scoped))

    def answer(self, accepted: Accepted, pdu: bytes) -> bytes:
        """The message that carries a Response-PDU to who sent an inform, at the level it came with (RFC 3412 section 7.1)."""
        return self._seal(
            accepted.message.message_id,
            accepted.user,
            accepted.user.level,
            scope_of(accepted.scoped.context_engine_id, accepted.scoped.context_name, len(pdu)) + pdu,
        )

    def _refuse(self, message: V3Message, reason: str, counter: bytes, *, authenticated_by: _User | None = None) -> Verdict:
        """RFC 3412 section 7.2 step 6: a report, where one is asked for."""
        if not message.flags & REPORTABLE_FLAG:
            return Verdict(None, reason)
        self._reported[counter] += 1
        request_id = 0  # where the PDU cannot be read (RFC 3412 section 7.1 step 3 c)
        if not message.flags & PRIV_FLAG:
            try:
                pdu = read_scoped_pdu(message.octets, message.data_start, message.data_end).pdu
                request_id = read_request_id(pdu, 0, len(pdu))
            except BerError:
                return Verdict(None, "malformed")
        value = element(SEQUENCE, element(0x06, counter) + integer(self._reported[counter] & 0xFFFF_FFFF, _COUNTER32))
        report = element(REPORT, integer(request_id) + integer(0) * 2 + element(SEQUENCE, value))
        data = scope_of(self._own.engine_id, b"", len(report)) + report
        level = 0 if authenticated_by is None else AUTH_FLAG
        return Verdict(None, reason, self._seal(message.message_id, authenticated_by, level, data))

    def _seal(self, message_id: int, user: _User | None, level: int, data: bytes) -> bytes:
        """A message of ours at a level: what is authoritative in it are we."""
        boots, time = self._own.boots, self._own.time_at(self._monotonic())
        auth = user.auth if user is not None and level & AUTH_FLAG else None
        salt = b""
        if user is not None and user.own_keys.privacy is not None and level & PRIV_FLAG:
            salt = self._salts.salt()
            data = user.own_keys.privacy.encrypt(data, boots, time, salt)
        template = MessageTemplate(
            id_octets=octets_of(message_id),
            flags=level,
            engine_id=self._own.engine_id,
            boots=boots,
            time_octets=octets_of(time),
            user_name=b"" if user is None else user.name,
            digest_length=0 if auth is None else auth.mac_length,
            salt_length=SALT_OCTETS if salt else 0,
            data_length=len(data),
        )
        octets, digest_at = template.fill(message_id, time, salt, data)
        if auth is None or user is None:
            return octets
        digest = auth.mac(user.own_keys.auth, octets)
        return b"".join((octets[:digest_at], digest, octets[digest_at + len(digest) :]))


def _scoped(message: V3Message, keys: LocalKeys) -> ScopedPdu:
    """The scoped PDU of a message at the level of its user. Raises BerError, Undecipherable."""
    if not message.flags & PRIV_FLAG:
        return read_scoped_pdu(message.octets, message.data_start, message.data_end)
    assert keys.privacy is not None
    secret = message.octets[message.data_start : message.data_end]
    plain = keys.privacy.decrypt(secret, message.boots, message.time, message.salt)
    start, end = enter(plain, 0, len(plain), SEQUENCE)  # what follows is padding (RFC 3414 section 8.1.1.2)
    return read_scoped_pdu(plain, start, end)

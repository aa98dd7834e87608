"""Message processing of SNMPv3 with one device (RFC 3412, RFC 3414): requests sealed, answers verified, engines kept in step.

    seal ─► None: nothing known ─► probe ─► report unknownEngineID ─► SEAL_AGAIN ─► seal ─► request ─► ANSWER
                                                                          ▲                   │
                                                                          └── report notInTimeWindow, right digest

What is believed, in falling order:

- A Response at exactly the asked security level, with the right digest, within the time window, to a request that waits, from the
  engine, the user and the context it was sent to. Only that is ANSWER.
- A report with the right digest that answers a request that waits. It may move the engine's clock (see `usm.engine`), and its other
  errors end the exchange.
- A report unknownEngineID, which never has a digest, that answers a message of ours that waits. It names an engine to try beside the
  one that is known; the known one goes only when the other has answered with a right digest. Who forges it gains one exchange.
- Another report without a digest (wrong digest, unknown user, security level, decryption error) is how a device says that our
  configuration is wrong, and how anyone on the path may say so. While the device has never answered, it ends the exchange at once:
  there is nothing better to go by. Once it has, the exchange waits on for the real answer, and `expire` gives the named error only
  if none came. So forged reports cannot stop a device that answers.

Everything else is ignored and counted. Nothing is believed below the asked level: not for a report, not during discovery.
Refuses sockets, deadlines, what a PDU asks for, and how a request is written (`usm.sealer`).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from netmote.errors import NetmoteError
from netmote.snmp.credentials import UsmUser
from netmote.snmp.native.ber import SEQUENCE, BerError, enter
from netmote.snmp.native.channel import EngineClock, Opened, Verdict
from netmote.snmp.native.envelope import message_id_of
from netmote.snmp.native.pdu import REPORT, RESPONSE, read_request_id, read_response
from netmote.snmp.native.usm.engine import AuthoritativeEngine, Resync, is_engine_id
from netmote.snmp.native.usm.keys import KeyRing, protocols
from netmote.snmp.native.usm.message import (
    AUTH_FLAG,
    PRIV_FLAG,
    ScopedPdu,
    V3Message,
    read_message,
    read_scoped_pdu,
)
from netmote.snmp.native.usm.privacy import SaltCounter, Undecipherable
from netmote.snmp.native.usm.reports import NOT_IN_TIME_WINDOWS, UNKNOWN_ENGINE_IDS, reported_error
from netmote.snmp.native.usm.sealer import Sealer
from netmote.snmp.session import DecryptionFailed, NotInTimeWindow, UndecodableAnswer, UnreadableAnswer

_LEVEL_FLAGS: Final = AUTH_FLAG | PRIV_FLAG
_MOST_WAITING = 1_024  # twice what may be in flight to all devices; beyond it the oldest is forgotten, and will time out
_STEPS = 4  # reports one exchange is sealed again for: engine id, clock, and once more for a device that restarts meanwhile
# Exchanges in a row where discovery was answered and the encrypted request not, before that is called a wrong privacy password.
_SILENCES = 2
_SILENCES_OF_PROVEN = 4  # two lost datagrams are no accusation of a device that has answered

_NOTICES: Final = {
    Resync.CLOCK_BACK.value: "the engine's clock went back, as an authenticated report says; followed it",
    Resync.BOOTS_BACK.value: "the engine's boots went back, as an authenticated report says; followed them",
    "engine_replaced": "another SNMP engine answers at this address with our keys: the device was replaced or set up anew",
}
_COMPLAINTS: Final = {
    "security_level": "an answer came at another security level than was asked for",
    "another_engine": "an answer came from another engine than was asked",
    "another_user": "an answer came under another user name",
    "wrong_digest": "an answer came whose digest is wrong",
    "outside_time_window": "an answer came that is too old",
    "not_a_response": "a PDU came that is no Response",
    "another_context": "an answer came from another context",
    "another_request": "an answer came to another question",
    "engine_id": "the device names an engine id that can be none: 5 to 32 octets (RFC 3411 section 5)",
}


@dataclass(slots=True)
class _Waiting:
    """One exchange, across the messages that discovery and resynchronisation ask for."""

    request_id: int | None = None  # None: only a probe was sent
    steps: int = 0
    was_heard: bool = False  # the device answered something that moved the exchange on
    complaint: NetmoteError | None = None  # what was heard and is not proven


class V3Channel:
    """SNMPv3 with one device under one user and one context. Implements Channel."""

    def __init__(
        self,
        user: UsmUser,
        *,
        keys: KeyRing,
        salts: SaltCounter,
        monotonic: Callable[[], float],
        notice: Callable[[str], None],
    ) -> None:
        """`keys` and `salts` are the back end's, shared by all channels. `notice` is told once of each kind of surprise.

        Derives keys from passwords: `keys.prepare(user)` beforehand, in a thread, takes that off the event loop. Raises
        UnsupportedSecurityLevel when protocols or passwords cannot be used.
        """
        keys.prepare(user)
        self._user, self._keys, self._monotonic, self._notice = user, keys, monotonic, notice
        self._auth, priv = protocols(user)
        self._level = (AUTH_FLAG if self._auth else 0) | (PRIV_FLAG if priv else 0)
        self._user_name, self._context_name = user.security_name.encode(), user.context_name.encode()
        self._sealer = Sealer(self._user_name, self._context_name, auth=self._auth, priv=priv, salts=salts)
        self._engine: AuthoritativeEngine | None = None  # has answered
        self._candidate: AuthoritativeEngine | None = None  # has only been named
        self._is_doubted = False  # silence: ask who is there before the next request
        self._silences = 0
        self._waiting: dict[int, _Waiting] = {}
        self._ignored: Counter[str] = Counter()
        self._learnt: Counter[str] = Counter()

    @property
    def ignored(self) -> Mapping[str, int]:
        """Datagrams not believed, by reason."""
        return self._ignored

    @property
    def learnt(self) -> Mapping[str, int]:
        """What authenticated messages changed: forward, clock_back, boots_back, engine_replaced."""
        return self._learnt

    @property
    def engine_id(self) -> bytes:
        """The id of the engine that answers here; empty until one has."""
        return b"" if self._engine is None else self._engine.engine_id

    def clock_of(self, engine_id: bytes) -> EngineClock | None:
        """Of the engine that answers here, once a message with the right digest told it."""
        engine = self._engine
        if engine is None or engine.engine_id != engine_id or not engine.is_verified:
            return None
        return EngineClock(engine.boots, engine.time_at(self._monotonic()))

    def seal(self, pdu: bytes, message_id: int) -> bytes | None:
        """The datagram that carries `pdu`; None: who is there must be asked first."""
        engine = self._candidate or self._engine
        if engine is None or self._is_doubted:
            return None
        self._wait(message_id).request_id = read_request_id(pdu, 0, len(pdu))
        return self._sealer.request(engine, pdu, message_id, self._monotonic())

    def probe(self, message_id: int) -> bytes:
        """A discovery message (RFC 3414 section 4)."""
        self._wait(message_id).request_id = None
        return self._sealer.probe(message_id)

    def open(self, datagram: bytes) -> Opened:
        """Check and unwrap what came."""
        try:
            message = read_message(datagram)
        except BerError as error:
            return self._unreadable(datagram, error)
        waiting = self._waiting.get(message.message_id)
        if waiting is None:  # late, twice, or made up
            return self._ignore("unasked", message.message_id)
        if message.flags & AUTH_FLAG:
            return self._open_authenticated(message, waiting)
        return self._open_unauthenticated(message, waiting)

    def expire(self, message_id: int) -> NetmoteError | None:
        """The deadline passed: what unproven messages claimed, or what repeated silence means."""
        waiting = self._waiting.pop(message_id, None)
        if waiting is None:
            return None
        self._is_doubted = True
        if waiting.complaint is not None:
            return waiting.complaint
        if waiting.was_heard and waiting.request_id is not None and self._level & PRIV_FLAG:
            # Agents drop what they cannot decrypt in silence (net-snmp does) but do answer who they are.
            self._silences += 1
            if self._silences >= (_SILENCES_OF_PROVEN if self._is_proven else _SILENCES):
                context = f", or no context {self._user.context_name!r}" if self._user.context_name else ""
                return DecryptionFailed(
                    f"the device answers discovery but no encrypted request: wrong privacy password or protocol{context}"
                )
        return None

    def forget(self, message_id: int) -> None:
        """The exchange was cancelled."""
        self._waiting.pop(message_id, None)

    @property
    def _is_proven(self) -> bool:
        return self._engine is not None

    def _open_authenticated(self, message: V3Message, waiting: _Waiting) -> Opened:
        engine = self._engine_of(message.engine_id)
        if engine is None:
            return self._ignore("another_engine", message.message_id, waiting)
        objection = self._objection(message, waiting, engine)
        if objection:
            return self._ignore(objection, message.message_id, waiting)
        # From here on it is the device that speaks, now or once.
        try:
            scoped = self._scoped(message, engine)
            if scoped.tag == REPORT:
                return self._verified_report(_counter(scoped), message, waiting, engine)
        except (BerError, Undecipherable):
            scoped = None
        if not engine.admit(message.boots, message.time, self._monotonic()):
            return self._ignore("outside_time_window", message.message_id, waiting)
        if scoped is not None:
            return self._response(scoped, message, waiting, engine)
        if message.flags & PRIV_FLAG:
            error: NetmoteError = DecryptionFailed("the device's own answer cannot be decrypted: other privacy keys or protocol")
        else:
            error = UndecodableAnswer("the device's own answer holds no PDU")
        return self._refuse(message.message_id, error)

    def _objection(self, message: V3Message, waiting: _Waiting, engine: AuthoritativeEngine) -> str:
        """Why a message that says it is authenticated is not; "" when it is."""
        if self._auth is None or waiting.request_id is None or (message.flags & PRIV_FLAG and engine.keys.privacy is None):
            return "security_level"
        if message.user_name != self._user_name:
            return "another_user"
        if not self._auth.is_authentic(engine.keys.auth, message.octets, message.digest_start, message.digest_end):
            return "wrong_digest"
        return ""

    def _scoped(self, message: V3Message, engine: AuthoritativeEngine) -> ScopedPdu:
        """The scoped PDU of an authenticated message. Raises BerError, Undecipherable."""
        if not message.flags & PRIV_FLAG:
            return read_scoped_pdu(message.octets, message.data_start, message.data_end)
        assert engine.keys.privacy is not None
        secret = message.octets[message.data_start : message.data_end]
        plain = engine.keys.privacy.decrypt(secret, message.boots, message.time, message.salt)
        start, end = enter(plain, 0, len(plain), SEQUENCE)  # what follows is padding (RFC 3414 section 8.1.1.2)
        return read_scoped_pdu(plain, start, end)

    def _open_unauthenticated(self, message: V3Message, waiting: _Waiting) -> Opened:
        try:
            scoped = read_scoped_pdu(message.octets, message.data_start, message.data_end)
            if scoped.tag == REPORT:
                return self._unproven_report(_counter(scoped), message, waiting)
        except BerError as error:
            return self._unreadable(message.octets, error)
        engine = self._engine_of(message.engine_id)
        if engine is None:
            return self._ignore("another_engine", message.message_id, waiting)
        if message.user_name != self._user_name:
            return self._ignore("another_user", message.message_id, waiting)
        return self._response(scoped, message, waiting, engine)

    def _response(self, scoped: ScopedPdu, message: V3Message, waiting: _Waiting, engine: AuthoritativeEngine) -> Opened:
        """RFC 3412 section 7.2 step 12: all that the request went with must come back."""
        reason = ""
        if scoped.tag != RESPONSE:
            reason = "not_a_response"
        elif message.flags & _LEVEL_FLAGS != self._level:
            reason = "security_level"
        elif (scoped.context_engine_id, scoped.context_name) != (engine.engine_id, self._context_name):
            reason = "another_context"
        elif _request_id(scoped.pdu) != waiting.request_id:
            reason = "another_request"
        if reason or waiting.request_id is None:  # None: nothing but a probe was sent
            return self._ignore(reason or "unasked", message.message_id, waiting)
        del self._waiting[message.message_id]
        self._prove(engine)
        return Opened(Verdict.ANSWER, message.message_id, scoped.pdu)

    def _prove(self, engine: AuthoritativeEngine) -> None:
        """An engine answered: it is the one that is here."""
        self._is_doubted, self._silences = False, 0
        self._candidate = None
        if engine is not self._engine:
            if self._engine is not None:
                self._learn("engine_replaced")
            self._engine = engine
            self._sealer.forget_shapes()

    def _verified_report(self, counter: bytes, message: V3Message, waiting: _Waiting, engine: AuthoritativeEngine) -> Opened:
        now = self._monotonic()
        if counter != NOT_IN_TIME_WINDOWS:
            if not engine.admit(message.boots, message.time, now):
                return self._ignore("outside_time_window", message.message_id, waiting)
            return self._refuse(message.message_id, reported_error(counter, is_authenticated=True))
        waiting.steps += 1
        if waiting.steps > _STEPS:
            return self._refuse(message.message_id, reported_error(counter, is_authenticated=True))
        moved = engine.resynchronise(message.boots, message.time, now)
        if moved is Resync.REFUSED:
            error = NotInTimeWindow(
                "the engine's boots counter is at its maximum: set up its SNMP engine anew (RFC 3414 section 2.2.2)"
            )
            return self._refuse(message.message_id, error)
        self._learn(moved.value)
        self._is_doubted, waiting.was_heard = False, True
        return Opened(Verdict.SEAL_AGAIN, message.message_id, b"")

    def _unproven_report(self, counter: bytes, message: V3Message, waiting: _Waiting) -> Opened:
        if counter == UNKNOWN_ENGINE_IDS:
            return self._discovered(message, waiting)
        if self._engine_of(message.engine_id) is None or waiting.request_id is None:
            return self._ignore("another_engine", message.message_id, waiting)
        error = reported_error(counter, is_authenticated=False)
        if not self._is_proven:
            return self._refuse(message.message_id, error)
        waiting.complaint = error
        return self._ignore("unproven_report", message.message_id)

    def _discovered(self, message: V3Message, waiting: _Waiting) -> Opened:
        """An engine is named. It is tried beside the one that has answered, if there is one."""
        if not is_engine_id(message.engine_id):
            return self._ignore("engine_id", message.message_id, waiting)
        waiting.steps += 1
        if waiting.steps > _STEPS:
            waiting.complaint = reported_error(UNKNOWN_ENGINE_IDS, is_authenticated=False)
            return self._ignore("discovery_loop", message.message_id)
        self._is_doubted, waiting.was_heard = False, True
        now, known = self._monotonic(), self._engine_of(message.engine_id)
        if known is None:
            keys = self._keys.local_keys(self._user, message.engine_id)
            self._candidate = AuthoritativeEngine(message.engine_id, keys, boots=message.boots, time=message.time, now=now)
        else:
            known.hear(message.boots, message.time, now)
            if known is self._engine:
                self._candidate = None
        return Opened(Verdict.SEAL_AGAIN, message.message_id, b"")

    def _engine_of(self, engine_id: bytes) -> AuthoritativeEngine | None:
        for engine in (self._engine, self._candidate):
            if engine is not None and engine.engine_id == engine_id:
                return engine
        return None

    def _wait(self, message_id: int) -> _Waiting:
        waiting = self._waiting.get(message_id)
        if waiting is None:
            if len(self._waiting) >= _MOST_WAITING:
                del self._waiting[next(iter(self._waiting))]
            waiting = self._waiting[message_id] = _Waiting()
        return waiting

    def _refuse(self, message_id: int, error: NetmoteError) -> Opened:
        del self._waiting[message_id]
        return Opened(Verdict.REFUSED, message_id, b"", error)

    def _ignore(self, reason: str, message_id: int = -1, waiting: _Waiting | None = None) -> Opened:
        """Count what is not believed; where an exchange waits for better, note what to say if nothing better comes."""
        self._ignored[reason] += 1
        if waiting is not None and waiting.complaint is None and reason in _COMPLAINTS:
            waiting.complaint = UnreadableAnswer(_COMPLAINTS[reason])
        return Opened(Verdict.IGNORED, message_id, b"")

    def _unreadable(self, datagram: bytes, error: BerError) -> Opened:
        """Not a message; if it names an exchange that waits, the device may write what only another decoder reads."""
        try:
            message_id = message_id_of(datagram)
        except BerError:
            message_id = -1
        waiting = self._waiting.get(message_id)
        if waiting is not None and waiting.complaint is None:
            waiting.complaint = UndecodableAnswer(f"a message came that cannot be decoded: {error}")
        return self._ignore("malformed", message_id)

    def _learn(self, what: str) -> None:
        self._learnt[what] += 1
        if self._learnt[what] == 1 and what in _NOTICES:
            self._notice(_NOTICES[what])


def _request_id(pdu: bytes) -> int:
    """-1 where there is none: ids of requests are natural."""
    try:
        return read_request_id(pdu, 0, len(pdu))
    except BerError:
        return -1


def _counter(scoped: ScopedPdu) -> bytes:
    """The OID of the counter that a report carries. Raises BerError."""
    varbinds = read_response(scoped.pdu, REPORT).varbinds
    if not varbinds:
        raise BerError("a report without a counter")
    return varbinds[0].oid

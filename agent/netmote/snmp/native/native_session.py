"""The native back end: sessions over a channel (what a message is) and a transport (how it travels).

Owns one exchange from its request to its reply: seal, send, open, read, or the named error that ends it. A device whose channel has
to learn first (v3) is asked again within the same timeout, a bounded number of times.
"""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from netmote.clock import Clock
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Community, Credentials
from netmote.snmp.native.addresses import Addresses
from netmote.snmp.native.ber import BerError
from netmote.snmp.native.channel import Channel, EngineClock, Verdict
from netmote.snmp.native.community_channel import CommunityChannel
from netmote.snmp.native.pdu import (
    GET_BULK_REQUEST,
    GET_NEXT_REQUEST,
    GET_REQUEST,
    RequestTemplate,
    build_request,
    read_around_varbinds,
    read_response,
)
from netmote.snmp.native.steady_seats import NativeSeat, SteadyLines
from netmote.snmp.native.train import Outcome, Train
from netmote.snmp.native.transport import Transport
from netmote.snmp.native.udp_socket import Address
from netmote.snmp.native.v1_session import V1Session
from netmote.snmp.session import (
    NetworkUnreachable,
    Question,
    Reply,
    RequestTimedOut,
    SessionClosed,
    SnmpSession,
    UndecodableAnswer,
    UnreadReply,
)

if TYPE_CHECKING:
    from netmote.snmp.native.v3_channels import V3Channels

TEMPLATES: Final = 4_096  # requests kept built, of all devices; a few kB each at most
RESEALS: Final = 4  # engine id, then time window, with room for one reboot

R = TypeVar("R", Reply, UnreadReply)

Templates = Callable[[int, tuple[bytes, ...], int, int], RequestTemplate]


class NativeBackend:
    """Sessions over one socket per address family, opened at first use. Belongs to one loop."""

    name = "native"
    verifies_digests = True  # of v3 answers; tests/snmp/native_usm/test_usm_matrix.py

    def __init__(self, *, clock: Clock, random: Random, addresses: Addresses | None = None) -> None:
        self._clock, self._random = clock, random
        self._addresses = addresses or Addresses()
        self._templates: Templates = lru_cache(TEMPLATES)(build_request)
        self._transports: dict[socket.AddressFamily, Transport] = {}
        self._lines = SteadyLines(random=random, monotonic=clock.monotonic)
        self._sessions: set[NativeSession] = set()
        self._ignored: Counter[str] = Counter()  # of sessions that are closed
        self._learnt: Counter[str] = Counter()  # of the same
        self._v3: V3Channels | None = None
        self._importing = asyncio.Lock()

    async def open(self, target: TargetConfig, credentials: Credentials) -> SnmpSession:
        """A session with `target`; its name is resolved here, off the loop. Raises AddressUnknown, NetworkUnreachable (no socket),
        UnsupportedSecurityLevel.
        """
        channel = await self._channel(target, credentials)
        family, address = await self._addresses.find(target.address, target.port)
        transport = self._transports.get(family)
        if transport is None:
            try:
                transport = Transport(family, clock=self._clock, random=self._random)
            except OSError as error:
                raise NetworkUnreachable(f"no socket for {target.address}: {error}") from error
            self._transports[family] = transport
        session = NativeSession(
            channel,
            transport,
            address,
            timeout=target.timeout,
            clock=self._clock,
            templates=self._templates,
            take_seat=lambda: self._lines.seat(family, address, channel),
            on_close=lambda session: self._forget(session, target),
        )
        self._sessions.add(session)
        return V1Session(session) if target.version == "1" else session

    async def _channel(self, target: TargetConfig, credentials: Credentials) -> Channel:
        if isinstance(credentials, Community):
            return CommunityChannel("1" if target.version == "1" else "2c", credentials.name)
        async with self._importing:
            if self._v3 is None:
                self._v3 = await asyncio.to_thread(_v3_channels, self._random, self._clock)
        return await self._v3.open(credentials, device=target.name)

    def _forget(self, session: "NativeSession", target: TargetConfig) -> None:
        self._sessions.discard(session)
        if session.was_asked and not session.was_heard:
            self._addresses.was_silent(target.address, target.port)
        self._ignored.update(session.channel.ignored)
        self._learnt.update(session.channel.learnt)

    @property
    def ignored(self) -> Mapping[str, int]:
        """Datagrams that were not believed, by reason, since the start."""
        total = Counter(self._ignored)
        for transport in self._transports.values():
            total.update(transport.ignored)
        total.update(self._lines.ignored)
        for session in self._sessions:
            total.update(session.channel.ignored)
        return total

    @property
    def learnt(self) -> Mapping[str, int]:
        """What v3 devices changed in what is known of their engines, by kind, since the start."""
        total = Counter(self._learnt)
        for session in self._sessions:
            total.update(session.channel.learnt)
        return total

    def clocks_of(self, engine_id: bytes) -> Sequence[EngineClock]:
        """What the engine of this id shows, at each address where it answers: cloned machines share an id."""
        clocks = (session.channel.clock_of(engine_id) for session in self._sessions)
        return [clock for clock in clocks if clock is not None]

    async def close(self) -> None:
        """End every session and close the sockets; safe twice."""
        for session in tuple(self._sessions):
            await session.close()
        for transport in self._transports.values():
            transport.close()
            self._ignored.update(transport.ignored)
        self._transports.clear()
        self._lines.close()


class NativeSession:
    """One device. Implements SnmpSession for v2c and v3; `V1Session` stands before it for v1."""

    backend = NativeBackend.name
    fallback_reason = ""

    def __init__(
        self,
        channel: Channel,
        transport: Transport,
        address: Address,
        *,
        timeout: float,
        clock: Clock,
        templates: Templates,
        on_close: Callable[["NativeSession"], None],
        take_seat: Callable[[], NativeSeat | None] = lambda: None,
    ) -> None:
        self.channel, self.transport, self.address = channel, transport, address
        self.timeout = timeout
        """Seconds; of requests sent from now on. Implements WaitsAsTold."""
        self.clock = clock
        self._templates, self._on_close = templates, on_close
        self._take_seat = take_seat
        self._waiting: set[_Exchange[Reply] | _Exchange[UnreadReply]] = set()
        self.was_asked = False  # a request was sent
        self.was_heard = False  # something came from there that names a request of ours
        self._is_closed = False

    def take_seat(self) -> NativeSeat | None:
        """Implements OffersSeat."""
        return None if self._is_closed else self._take_seat()

    async def get(self, oids: Sequence[bytes]) -> Reply:
        return await self._exchange(self._templates(GET_REQUEST, tuple(oids), 0, 0))

    async def get_next(self, oids: Sequence[bytes]) -> Reply:
        """GETNEXT (RFC 3416 section 4.2.2), which v1 has instead of GETBULK. Raises as `get` does."""
        return await self._exchange(self._templates(GET_NEXT_REQUEST, tuple(oids), 0, 0))

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        oids = (*non_repeaters, *columns)
        return await self._exchange(self._templates(GET_BULK_REQUEST, oids, len(non_repeaters), max_repetitions))

    async def bulk_together(
        self, questions: Sequence[Question], monotonic: Callable[[], float]
    ) -> Sequence[UnreadReply | Exception]:
        """Send all of them at once. Implements AsksTogether; raises SessionClosed."""
        if self._is_closed:
            raise SessionClosed("the session is closed")
        self.was_asked = True
        loop = asyncio.get_running_loop()
        train: Train[UnreadReply] = Train(len(questions), loop)
        asked: list[tuple[int, _Exchange[UnreadReply]]] = []
        timer = loop.call_later(self.timeout, _expire, asked)
        try:
            for question, outcome in zip(questions, train.outcomes, strict=True):
                exchange: _Exchange[UnreadReply] = _UnreadExchange(self, outcome, monotonic)
                message_id = self.transport.enter(exchange)
                asked.append((message_id, exchange))
                self._waiting.add(exchange)
                oids = (*question.non_repeaters, *question.columns)
                template = self._templates(GET_BULK_REQUEST, oids, len(question.non_repeaters), question.max_repetitions)
                try:
                    exchange.begin(message_id, template.pdu(message_id))
                except NetworkUnreachable as error:
                    exchange.fail(error)
            return await train.results()
        finally:
            timer.cancel()
            for message_id, exchange in asked:
                self._end(message_id, exchange, is_answered=exchange.is_answered)

    def _end(self, message_id: int, exchange: "_Exchange[R]", *, is_answered: bool) -> None:
        self._waiting.discard(exchange)
        if not is_answered:
            self.channel.forget(message_id)
        self.transport.leave(message_id, is_answered=is_answered)

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            for exchange in tuple(self._waiting):
                exchange.fail(SessionClosed("the session was closed while the request ran"))
            self._on_close(self)

    async def _exchange(self, template: RequestTemplate) -> Reply:
        if self._is_closed:
            raise SessionClosed("the session is closed")
        self.was_asked = True
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        exchange = _ReadExchange(self, answer)
        message_id = self.transport.enter(exchange)
        self._waiting.add(exchange)
        timer = asyncio.get_running_loop().call_later(self.timeout, exchange.expire)
        is_answered = False
        try:
            exchange.begin(message_id, template.pdu(message_id))
            reply = await answer
            is_answered = True
            return reply
        finally:
            timer.cancel()
            if answer.done() and not answer.cancelled():
                answer.exception()  # that nobody saw, because its caller was cancelled meanwhile: no news to the loop
            self._end(message_id, exchange, is_answered=is_answered)


class _Exchange(ABC, Generic[R]):
    """One request on its way, across the re-sends that a channel asks for. Implements transport.Exchange."""

    __slots__ = (
        "_elsewhere",
        "_message_id",
        "_pdu",
        "_reseals",
        "_sent_at",
        "_session",
        "_timeout",
        "_unreadable",
        "address",
        "is_answered",
        "reply",
    )

    def __init__(self, session: NativeSession, reply: "asyncio.Future[R] | Outcome[R]") -> None:
        self._session, self._timeout = session, session.timeout
        self.reply: asyncio.Future[R] | Outcome[R] = reply
        self.address = session.address
        self.is_answered = False
        self._unreadable = session.transport.unreadable_from(session.address)
        self._elsewhere: Address | None = None
        self._reseals = 0
        self._message_id, self._pdu, self._sent_at = 0, b"", 0.0

    @abstractmethod
    def _read(self, pdu: bytes, now: float) -> R | None:
        """The reply; None when it belongs to another question. Raises BerError."""

    def begin(self, message_id: int, pdu: bytes) -> None:
        """Send it for the first time. Raises NetworkUnreachable."""
        self._message_id, self._pdu = message_id, pdu
        self._send()

    def _send(self) -> None:
        channel = self._session.channel
        datagram = channel.seal(self._pdu, self._message_id)
        if datagram is None:
            datagram = channel.probe(self._message_id)
        self._sent_at = self._session.clock.monotonic()
        self._session.transport.send(datagram, self.address)

    def take(self, datagram: bytes) -> bool:
        if self.reply.done():  # a moment ago, in this same turn of the loop
            return False
        self._session.was_heard = True
        opened = self._session.channel.open(datagram)
        if opened.verdict is Verdict.ANSWER:
            self._answered(opened.pdu)
        elif opened.verdict is Verdict.SEAL_AGAIN and self._reseals < RESEALS:
            self._reseals += 1
            self._send()
        elif opened.verdict is Verdict.REFUSED and opened.error is not None:
            self.fail(opened.error)
        return True

    def _answered(self, pdu: bytes) -> None:
        try:
            reply = self._read(pdu, self._session.clock.monotonic())
        except BerError as error:
            self.fail(UndecodableAnswer(f"the device's answer cannot be decoded: {error}"))
            return
        if reply is None:
            self.fail(UndecodableAnswer("the device answered another question"))
            return
        self.is_answered = True
        self.reply.set_result(reply)

    def came_from(self, source: Address) -> None:
        self._elsewhere = source

    def fail(self, error: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)

    def expire(self) -> None:
        """The timeout passed: say what is known of why."""
        if self.reply.done():
            return
        session = self._session
        reason: Exception | None = session.channel.expire(self._message_id)
        if reason is None and session.transport.unreadable_from(self.address) > self._unreadable:
            reason = UndecodableAnswer("the device answered, but no id could be read in what it sent")
        if reason is None:
            answered = f"; one came from {self._elsewhere[0]}, which was not asked" if self._elsewhere else ""
            reason = RequestTimedOut(f"no answer within {self._timeout:.3g} s{answered}")
        self.fail(reason)


class _ReadExchange(_Exchange[Reply]):
    __slots__ = ()

    def _read(self, pdu: bytes, now: float) -> Reply | None:
        request_id, error_status, error_index, varbinds = read_response(pdu)
        if request_id != self._message_id:
            return None
        return Reply(error_status, error_index, varbinds, now - self._sent_at)


class _UnreadExchange(_Exchange[UnreadReply]):
    __slots__ = ("_monotonic",)

    def __init__(self, session: NativeSession, reply: "Outcome[UnreadReply]", monotonic: Callable[[], float]) -> None:
        super().__init__(session, reply)
        self._monotonic = monotonic

    def _read(self, pdu: bytes, now: float) -> UnreadReply | None:
        request_id, error_status, error_index, octets = read_around_varbinds(pdu)
        if request_id != self._message_id:
            return None
        return UnreadReply(error_status, error_index, octets, now - self._sent_at, self._monotonic())


def _expire(asked: Sequence[tuple[int, _Exchange[UnreadReply]]]) -> None:
    for _, exchange in asked:
        exchange.expire()


def _v3_channels(random: Random, clock: Clock) -> "V3Channels":
    from netmote.snmp.native.v3_channels import V3Channels  # noqa: PLC0415 - cryptography, when it is needed

    return V3Channels(random=random, monotonic=clock.monotonic)

"""The pysnmp back end, and the only door to pysnmp. Imported lazily: it costs 15 MB and a fifth of a second.

One file, although long, because it is the whole border to pysnmp: a reader finds every assumption about it here.
Owns engines (one per credential set, so that two passwords of one user never meet), sockets and the translation of pysnmp's
values and error indications into those of `session`. Refuses walking, retries and pacing.

Requests go through the dispatcher's sendPdu primitive (RFC 3412 section 4.1.1) instead of pysnmp's high-level calls, which
resolve every OID in MIBs and keep each peer in MIB tables. What is corrected here, with the evidence in the tests:

- Deadlines are asyncio's and engine ticks the loop's: pysnmp's run on the wall clock and stop when it is set back.
- Its USM cache forgets every peer at each tick after 300 s of polling (lextudio/pysnmp#245), doubling every request.
- It accepts answers from other addresses, and exceptions of its decoder would leave the reader callback.
- A peer whose engine id changed (the device was replaced) is never discovered again: a timeout forgets the peer.
"""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pysnmp.carrier.asyncio.dgram import udp, udp6
from pysnmp.carrier.asyncio.dispatch import AsyncioDispatcher
from pysnmp.entity import config as pysnmp_config
from pysnmp.entity.engine import SnmpEngine
from pysnmp.error import PySnmpError
from pysnmp.proto import errind
from pysnmp.proto.api import v2c
from pysnmp.proto.error import StatusInformation
from pysnmp.proto.secmod.rfc3414 import SnmpUSMSecurityModel

from netmote.clock import Clock
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Community, Credentials, UsmUser
from netmote.snmp.mib import INTEGER, OBJECT_IDENTIFIER
from netmote.snmp.oid import decode_oid, encode_oid
from netmote.snmp.session import (
    AddressUnknown,
    AuthenticationFailed,
    DecryptionFailed,
    NetworkUnreachable,
    NotInTimeWindow,
    Reply,
    RequestTimedOut,
    SessionClosed,
    UnknownContext,
    UnknownUser,
    UnreadableAnswer,
    UnsupportedSecurityLevel,
    Varbind,
)

_TICK_SECONDS = 1.0  # pysnmp's own clean-up; deadlines are ours
_RECEIVE_BUFFER_BYTES = 1 << 20  # the default holds 200 to 250 small answers
_SO_RCVBUFFORCE = 33  # socket(7), asm-generic/socket.h; needs CAP_NET_ADMIN
_DISCOVERIES = 4  # Reports answered by asking again: engine id, then time window, with room for one reboot
_SILENCES = 2
_UNKNOWN_CONTEXTS = "1.3.6.1.6.3.12.1.5"  # snmpUnknownContexts (RFC 3413), which pysnmp has no name for
_MODEL_V2C, _MODEL_V3 = 1, 3  # SnmpMessageProcessingModel (RFC 3411 section 5)
_SECURITY_V2C, _SECURITY_USM = 2, 3  # SnmpSecurityModel
_NO_AUTH_NO_PRIV, _AUTH_NO_PRIV, _AUTH_PRIV = 1, 2, 3  # SnmpSecurityLevel
_SECURITY_NAME = "netmote"  # of the community in this engine's own tables; never sent

_AUTH_PROTOCOLS = {
    "none": pysnmp_config.USM_AUTH_NONE,
    "md5": pysnmp_config.USM_AUTH_HMAC96_MD5,
    "sha": pysnmp_config.USM_AUTH_HMAC96_SHA,
    "sha224": pysnmp_config.USM_AUTH_HMAC128_SHA224,
    "sha256": pysnmp_config.USM_AUTH_HMAC192_SHA256,
    "sha384": pysnmp_config.USM_AUTH_HMAC256_SHA384,
    "sha512": pysnmp_config.USM_AUTH_HMAC384_SHA512,
}
_PRIV_PROTOCOLS = {
    "none": pysnmp_config.USM_PRIV_NONE,
    "des": pysnmp_config.USM_PRIV_CBC56_DES,
    "aes128": pysnmp_config.USM_PRIV_CFB128_AES,
    # The Blumenthal drafts' key extension: what net-snmp speaks.
    "aes192": pysnmp_config.USM_PRIV_CFB192_AES_BLUMENTHAL,
    "aes256": pysnmp_config.USM_PRIV_CFB256_AES_BLUMENTHAL,
    # The Reeder draft's: Cisco's.
    "aes192c": pysnmp_config.USM_PRIV_CFB192_AES,
    "aes256c": pysnmp_config.USM_PRIV_CFB256_AES,
}
_ERRORS: tuple[tuple[tuple[str, ...], type[Exception], str], ...] = (
    (
        ("WrongDigest", "AuthenticationFailure", "AuthenticationError"),
        AuthenticationFailed,
        "wrong authentication password or protocol",
    ),
    (("DecryptionError", "EncryptionError"), DecryptionFailed, "wrong privacy password or protocol"),
    (("UnknownUserName", "UnknownSecurityName"), UnknownUser, "the device does not know this user"),
    (
        ("UnsupportedSecurityLevel", "UnsupportedAuthProtocol", "UnsupportedPrivProtocol", "NoEncryption", "NoAuthentication"),
        UnsupportedSecurityLevel,
        "the device does not allow this user at this security level",
    ),
    (("NotInTimeWindow", "UnknownEngineID"), NotInTimeWindow, "the device's engine could not be brought in step"),
    (("NoSuchContext",), UnknownContext, "the device has no such context"),
    (("RequestTimedOut",), RequestTimedOut, "no answer"),
)


class _MonotonicDispatcher(AsyncioDispatcher):  # type: ignore[misc]  # pysnmp is untyped
    """Ticks by the loop's clock."""

    async def handle_timeout(self) -> None:
        while True:
            await asyncio.sleep(self.get_timer_resolution())
            self.handle_timer_tick(self.loop.time())


class _RememberingUsm(SnmpUSMSecurityModel):  # type: ignore[misc]
    """USM that keeps what it knows of a peer's clock until the peer itself says otherwise (RFC 3414 names no expiry)."""

    def receive_timer_tick(self, snmp_engine: Any, time_now: float) -> None:  # noqa: ARG002 - pysnmp's signature
        self._SnmpUSMSecurityModel__timelineExpQueue.clear()


class _ReaderMixin:
    """What both families' transports share: only known peers are heard, and a decoder's exception is counted, never raised."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: dict[tuple[str, int], _Peer] = {}
        self.foreign_datagrams = 0
        self.decoder_errors = 0
        self.send_error: OSError | None = None
        self.parse_errors: Any = None  # pysnmp's snmpInASNParseErrs

    def datagram_received(self, datagram: bytes, address: tuple[Any, ...]) -> None:
        peer = self.peers.get(address[:2])
        if peer is None:
            self.foreign_datagrams += 1
            return
        before = self.parse_errors.syntax
        try:
            self._callback_function(self, address[:2], datagram)  # type: ignore[attr-defined]
        except Exception:  # noqa: BLE001 - pysnmp raises what its decoder meets; a hostile datagram must not end the reader
            self.decoder_errors += 1
            peer.unreadable += 1
        else:
            peer.unreadable += int(self.parse_errors.syntax - before)

    async def opened(self) -> None:
        """Wait for the socket to be attached to the loop."""
        await self._lport  # type: ignore[attr-defined]

    def error_received(self, error: OSError) -> None:
        self.send_error = error


class _Udp4(_ReaderMixin, udp.UdpAsyncioTransport):  # type: ignore[misc]
    pass


class _Udp6(_ReaderMixin, udp6.Udp6AsyncioTransport):  # type: ignore[misc]
    pass


@dataclass(eq=False)
class _Peer:
    """One device as the engine sees it."""

    domain: tuple[int, ...]
    address: tuple[str, int]
    sessions: int = 0
    unreadable: int = 0  # datagrams from it that could not be decoded
    silences: int = 0  # exchanges in a row where it answered USM discovery and then not the request itself


@dataclass(eq=False)
class _Exchange:
    """One request on its way, across the re-sends that USM discovery asks for."""

    pdu: Any
    answer: asyncio.Future[Any]
    sent_at: float = 0.0
    discoveries: int = 0


@dataclass(eq=False)
class _Engine:
    """One SnmpEngine: one credential set, all devices that share it."""

    credentials: Credentials
    engine: Any
    sessions: int = 0
    transports: dict[tuple[int, ...], Any] = field(default_factory=dict)

    @classmethod
    def build(cls, credentials: Credentials) -> "_Engine":
        """An engine that knows the credentials. Takes 50 ms or more (MIB modules, key derivation): call it in a thread."""
        engine = SnmpEngine()
        engine.security_models[_SECURITY_USM] = _RememberingUsm()
        try:
            if isinstance(credentials, UsmUser):
                pysnmp_config.add_v3_user(
                    engine,
                    credentials.security_name,
                    _AUTH_PROTOCOLS[credentials.auth_protocol],
                    credentials.auth_password,
                    _PRIV_PROTOCOLS[credentials.priv_protocol],
                    credentials.priv_password,
                )
            else:
                pysnmp_config.add_v1_system(engine, _SECURITY_NAME, credentials.name)
        except PySnmpError as error:
            raise UnsupportedSecurityLevel(f"the credentials cannot be used: {error}") from error
        return cls(credentials, engine)

    async def open_transport(self, domain: tuple[int, ...]) -> Any:
        """The socket of an address family, opened at first use."""
        if self.engine.transport_dispatcher is None:
            dispatcher = _MonotonicDispatcher()
            dispatcher.set_timer_resolution(_TICK_SECONDS)
            self.engine.register_transport_dispatcher(dispatcher)
        if domain not in self.transports:
            is_ipv6 = domain == udp6.DOMAIN_NAME
            transport = _Udp6() if is_ipv6 else _Udp4()
            (transport.parse_errors,) = self.engine.get_mib_builder().import_symbols("__SNMPv2-MIB", "snmpInASNParseErrs")
            sock = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
            try:
                sock.setblocking(False)
                try:
                    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
                except PermissionError:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
                sock.bind(("::" if is_ipv6 else "0.0.0.0", 0))  # noqa: S104 - an unconnected client socket, peers are checked
            except OSError:
                sock.close()
                raise
            pysnmp_config.add_transport(self.engine, domain, transport.open_server_mode(sock=sock))
            self.transports[domain] = transport
            await transport.opened()  # before that pysnmp would queue what is sent
        return self.transports[domain]

    def forget_engine_of(self, peer: _Peer) -> None:
        """Discover the peer's engine id again at the next request (RFC 3414 section 4)."""
        model = self.engine.message_processing_subsystems[_MODEL_V3]
        model._SnmpV3MessageProcessingModel__engineIdCache.pop((peer.domain, peer.address), None)  # noqa: SLF001

    def close(self) -> None:
        if self.engine.transport_dispatcher is not None:
            self.engine.close_dispatcher()
        self.transports.clear()


class PysnmpBackend:
    """Sessions over pysnmp. One per collector; its engines belong to the loop that opened them."""

    name = "pysnmp"
    verifies_digests = True  # of v3 answers; tests/snmp/native_usm/test_usm_matrix.py

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._engines: dict[Credentials, _Engine] = {}
        self._building = asyncio.Lock()

    async def open(self, target: TargetConfig, credentials: Credentials) -> "PysnmpSession":
        """A session with `target`. Raises AddressUnknown, NetworkUnreachable (no socket), UnsupportedSecurityLevel."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(target.address, target.port, type=socket.SOCK_DGRAM)
        except OSError as error:
            raise AddressUnknown(f"{target.address} has no address: {error}") from error
        family, _, _, _, sockaddr = found[0]
        domain = udp6.DOMAIN_NAME if family == socket.AF_INET6 else udp.DOMAIN_NAME
        async with self._building:
            engine = self._engines.get(credentials)
            if engine is None:
                engine = await asyncio.to_thread(_Engine.build, credentials)
                self._close_idle()
                self._engines[credentials] = engine
            try:
                peers = (await engine.open_transport(domain)).peers
            except OSError as error:
                raise NetworkUnreachable(f"no socket for {target.address}: {error}") from error
        address = (str(sockaddr[0]), int(sockaddr[1]))
        peer = peers.setdefault(address, _Peer(domain, address))
        peer.sessions += 1
        engine.sessions += 1
        return PysnmpSession(self, engine, peer, timeout=target.timeout, clock=self._clock)

    def release(self, engine: _Engine, peer: _Peer) -> None:
        """Called by a session that closes. The engine stays for the next session with these credentials, since a device on
        probation comes back to them, until other credentials need an engine.
        """
        peer.sessions -= 1
        engine.sessions -= 1
        if not peer.sessions and peer.domain in engine.transports:
            engine.transports[peer.domain].peers.pop(peer.address, None)

    def _close_idle(self) -> None:
        for credentials, engine in tuple(self._engines.items()):
            if not engine.sessions:
                engine.close()
                del self._engines[credentials]

    async def close(self) -> None:
        """Close every engine; safe twice."""
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()


class PysnmpSession:
    """One device over pysnmp."""

    backend = PysnmpBackend.name
    fallback_reason = ""

    def __init__(self, backend: PysnmpBackend, engine: _Engine, peer: _Peer, *, timeout: float, clock: Clock) -> None:
        self._backend, self._engine, self._peer, self.timeout, self._clock = backend, engine, peer, timeout, clock
        self._is_closed = False
        credentials = engine.credentials
        if isinstance(credentials, Community):
            name, context, level = _SECURITY_NAME, "", _NO_AUTH_NO_PRIV
            self._security = (_MODEL_V2C, _SECURITY_V2C, v2c.OctetString(name), level)
        else:
            name, context, level = credentials.security_name, credentials.context_name, _AUTH_PRIV
            if credentials.auth_protocol == "none":
                level = _NO_AUTH_NO_PRIV
            elif credentials.priv_protocol == "none":
                level = _AUTH_NO_PRIV
            self._security = (_MODEL_V3, _SECURITY_USM, v2c.OctetString(name), level)
        self._context_name = v2c.OctetString(context)

    async def get(self, oids: Sequence[bytes]) -> Reply:
        pdu = v2c.GetRequestPDU()
        v2c.apiPDU.set_defaults(pdu)
        v2c.apiPDU.set_varbinds(pdu, [(decode_oid(oid), v2c.null) for oid in oids])
        return await self._exchange(pdu)

    async def get_next(self, oids: Sequence[bytes]) -> Reply:
        pdu = v2c.GetNextRequestPDU()
        v2c.apiPDU.set_defaults(pdu)
        v2c.apiPDU.set_varbinds(pdu, [(decode_oid(oid), v2c.null) for oid in oids])
        return await self._exchange(pdu)

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        pdu = v2c.GetBulkRequestPDU()
        v2c.apiBulkPDU.set_defaults(pdu)
        v2c.apiBulkPDU.set_non_repeaters(pdu, len(non_repeaters))
        v2c.apiBulkPDU.set_max_repetitions(pdu, max_repetitions)
        v2c.apiBulkPDU.set_varbinds(pdu, [(decode_oid(oid), v2c.null) for oid in itertools.chain(non_repeaters, columns)])
        return await self._exchange(pdu)

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._backend.release(self._engine, self._peer)

    async def _exchange(self, pdu: Any) -> Reply:
        if self._is_closed:
            raise SessionClosed("the session is closed")
        exchange = _Exchange(pdu, asyncio.get_running_loop().create_future())
        unreadable = self._peer.unreadable
        self._send(exchange)
        try:
            async with asyncio.timeout(self.timeout):
                answer = await exchange.answer
        except TimeoutError:
            self._engine.forget_engine_of(self._peer)
            raise self._silence(exchange, is_unreadable=self._peer.unreadable > unreadable) from None
        self._peer.silences = 0
        return Reply(
            int(v2c.apiPDU.get_error_status(answer)),
            int(v2c.apiPDU.get_error_index(answer, muteErrors=True)),
            [_varbind(name, value) for name, value in v2c.apiPDU.get_varbinds(answer)],
            self._clock.monotonic() - exchange.sent_at,
        )

    def _silence(self, exchange: _Exchange, *, is_unreadable: bool) -> Exception:
        """What a missing answer means. Agents drop what they cannot decrypt in silence (net-snmp does): told apart from a
        dead device by the Reports that USM discovery did get, twice in a row so that one lost datagram is no accusation.
        """
        if is_unreadable:
            return UnreadableAnswer("the device answered, but pysnmp cannot read the answer")
        self._peer.silences = self._peer.silences + 1 if exchange.discoveries else 0
        if self._peer.silences >= _SILENCES and self._security[3] == _AUTH_PRIV:
            return DecryptionFailed(
                "the device answers discovery but no encrypted request: wrong privacy password or protocol, or unknown context"
            )
        return RequestTimedOut(f"no answer within {self.timeout:g} s")

    def _send(self, exchange: _Exchange) -> None:
        transport = self._engine.transports[self._peer.domain]
        transport.send_error = None
        exchange.sent_at = self._clock.monotonic()
        try:
            self._engine.engine.message_dispatcher.send_pdu(
                self._engine.engine,
                self._peer.domain,
                self._peer.address,
                *self._security,
                None,  # contextEngineId: the peer's own
                self._context_name,
                1,  # pduVersion: SNMPv2 PDUs (RFC 3416)
                exchange.pdu,
                True,  # expectResponse
                (self.timeout + 1.0) / _TICK_SECONDS,  # pysnmp forgets the request a second after our own deadline
                self._answered,
                exchange,
            )
        except PySnmpError as error:
            raise _named(error["errorIndication"] if isinstance(error, StatusInformation) else error) from error
        if transport.send_error is not None:
            raise NetworkUnreachable(f"cannot send: {transport.send_error}") from transport.send_error

    def _answered(  # noqa: PLR0917 - pysnmp's signature
        self,
        _engine: Any,
        _message_processing_model: Any,
        security_model: Any,
        security_name: Any,
        security_level: Any,
        _context_engine_id: Any,
        _context_name: Any,
        _pdu_version: Any,
        pdu: Any,
        status: Any,
        _handle: Any,
        exchange: _Exchange,
    ) -> None:
        """The processResponsePdu primitive (RFC 3413 section 3.1), run in the reader callback."""
        if exchange.answer.done():  # our deadline passed or the caller was cancelled
            return
        if not status:
            is_same_security = (int(security_model), security_name, int(security_level)) == self._security[1:]
            if is_same_security and v2c.apiPDU.get_request_id(pdu) == v2c.apiPDU.get_request_id(exchange.pdu):
                exchange.answer.set_result(pdu)
            else:
                exchange.answer.set_exception(UnreadableAnswer("the device answered another question"))
            return
        indication = status["errorIndication"]
        if isinstance(indication, errind.RequestTimedOut):  # our own deadline decides
            return
        if isinstance(indication, errind.NotInTimeWindow | errind.UnknownEngineID) and exchange.discoveries < _DISCOVERIES:
            exchange.discoveries += 1
            try:
                self._send(exchange)
            except Exception as error:  # noqa: BLE001 - whatever sending raises belongs to the caller, not to the reader callback
                exchange.answer.set_exception(error)
            return
        exchange.answer.set_exception(_named(indication))


def _named(indication: Any) -> Exception:
    kind = type(indication).__name__
    if _UNKNOWN_CONTEXTS in str(indication):
        kind = "NoSuchContext"
    for kinds, error, meaning in _ERRORS:
        if kind in kinds:
            return error(f"{meaning} ({kind})")
    return UnreadableAnswer(f"{kind}: {indication}")


def _varbind(name: Any, value: Any) -> Varbind:
    tag = value.tagSet[-1]
    number = tag.tagClass | tag.tagId
    return Varbind(encode_oid(tuple(name)), number, _content(number, value))


def _content(tag: int, value: Any) -> bytes:
    """The value's content bytes again: two's complement integers (X.690 section 8.3), OIDs, octets."""
    if tag == INTEGER or 0x41 <= tag <= 0x43 or tag == 0x46:
        number = int(value)
        return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
    if tag == OBJECT_IDENTIFIER:
        return encode_oid(tuple(value))
    with contextlib.suppress(TypeError):
        return bytes(value)
    return b""

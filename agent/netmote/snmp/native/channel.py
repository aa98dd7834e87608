"""The seam inside the native back end: message processing of one device, without I/O (RFC 3412 section 7, RFC 1901, RFC 1157).

    request ─► PDU ─► channel.seal ─► datagram ─► socket          socket ─► datagram ─► channel.open ─► Opened ─► reply

What a channel is told never comes from an unverified message: a datagram that is not believed changes nothing but a counter.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple, Protocol

from netmote.errors import NetmoteError


class Verdict(Enum):
    """What a datagram means for the exchange that waits."""

    ANSWER = "answer"
    """`pdu` is a Response-PDU that may be believed as far as the security level allows."""
    SEAL_AGAIN = "seal_again"
    """The channel learnt what it lacked (engine id, boots, time) from a report it may use: seal the same PDU again, under the same
    message id (the channel counts per id how often, and ends it), and send it."""
    REFUSED = "refused"
    """The device refuses this exchange, and is believed: `error` is its named error. It ends the exchange of `message_id`, no other."""
    IGNORED = "ignored"
    """Not believed; counted under a reason. The exchange goes on waiting."""


class Opened(NamedTuple):
    """A datagram after message processing."""

    verdict: Verdict
    message_id: int  # msgID of v3; request-id of v1 and v2c; -1 where neither could be read
    pdu: bytes  # the PDU, tag and length included; empty unless ANSWER
    error: NetmoteError | None = None  # a named error of `snmp.session`; only with REFUSED


class EngineClock(NamedTuple):
    """What the clock of a v3 engine shows now, by its own authenticated word to a question of ours."""

    boots: int
    time: int  # seconds


class Channel(Protocol):
    """Message processing with one device, under one set of credentials and one context."""

    def seal(self, pdu: bytes, message_id: int) -> bytes | None:
        """The datagram that carries `pdu`; None: the engine must be discovered first, send `probe`."""
        ...

    def probe(self, message_id: int) -> bytes:
        """A discovery message (RFC 3414 section 4)."""
        ...

    def open(self, datagram: bytes) -> Opened:
        """Check and unwrap what came; never raises. An unauthenticated report refuses an exchange at once only while nothing better
        was ever heard from the device; later it waits for `expire`.
        """
        ...

    def expire(self, message_id: int) -> NetmoteError | None:
        """The deadline of this exchange passed without an answer: what was heard meanwhile that explains it, as a named error of
        `snmp.session` (a report that proves nothing by itself names the wrong password only now); None: it is a plain timeout.
        Whatever comes for this id later is ignored.
        """
        ...

    def forget(self, message_id: int) -> None:
        """Nobody waits for this exchange any more, and that says nothing of the device: its caller was cancelled. Whatever comes for it
        later is ignored. Harmless after an end of another kind.
        """
        ...

    def clock_of(self, engine_id: bytes) -> EngineClock | None:
        """The clock of this engine, if it answers here and has proven it; never for what proves nothing."""
        ...

    @property
    def ignored(self) -> Mapping[str, int]:
        """Datagrams not believed, by reason."""
        ...

    @property
    def learnt(self) -> Mapping[str, int]:
        """What authenticated messages changed in what is known of the device's engine, by kind; nothing before v3."""
        ...

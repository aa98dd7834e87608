"""One exchange between a channel and an engine as a session would run it, with whatever else arrives in between."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count

from manual_clock import ManualClock
from usm_engine import UP_TIME, UsmEngine

from netmote.errors import NetmoteError
from netmote.snmp.credentials import UsmUser
from netmote.snmp.native.channel import Verdict
from netmote.snmp.native.pdu import FIRST_ID, GET_REQUEST, build_request, read_response
from netmote.snmp.native.usm.keys import KeyRing
from netmote.snmp.native.usm.privacy import SaltCounter
from netmote.snmp.native.v3_channel import V3Channel
from netmote.snmp.oid import encode_oid
from netmote.snmp.session import RequestTimedOut

USER = UsmUser("usersha", "sha", "aes128", "authpass123", "privpass123")
REQUEST = build_request(GET_REQUEST, [encode_oid(UP_TIME)])
KEYS = KeyRing()  # hashing passwords anew for every case would be most of the tests' time
_ids = count(FIRST_ID)

Answer = Callable[[bytes], Iterable[bytes]]
"""What comes back to a datagram, in order."""


def read_id(datagram: bytes) -> int:
    """The msgID of one of our messages."""
    return int.from_bytes(datagram[datagram.index(b"\x02\x01\x03") + 7 :][:4], "big")


@dataclass
class Polled:
    """A device as a poller has it: its channel, and the engine at the other end of the wire."""

    engine: UsmEngine
    channel: V3Channel
    clock: ManualClock
    notices: list[str] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)  # datagrams of the last exchange

    @classmethod
    def of(cls, user: UsmUser = USER, *, at_device: UsmUser | None = None, **engine: object) -> "Polled":
        """Both ends; the device knows `user` unless it knows another."""
        clock, notices = ManualClock(), []
        clock.advance(100.0)
        channel = V3Channel(
            user, keys=KEYS, salts=SaltCounter(random.Random(7)), monotonic=clock.monotonic, notice=notices.append
        )
        return cls(UsmEngine(at_device or user, clock.monotonic, **engine), channel, clock, notices)  # type: ignore[arg-type]

    def answers(self, datagram: bytes) -> list[bytes]:
        """The honest wire."""
        answer = self.engine.answer(datagram)
        return [] if answer is None else [answer]

    def poll(self, wire: Answer | None = None) -> int | NetmoteError:
        """One exchange to its end: the value read, or the error that a session would raise."""
        wire, message_id = wire or self.answers, next(_ids)
        self.sent = []
        inbox = self._send(message_id, wire)
        while inbox:
            opened = self.channel.open(inbox.pop(0))
            if opened.verdict is Verdict.IGNORED or opened.message_id != message_id:
                continue
            if opened.verdict is Verdict.SEAL_AGAIN:
                inbox += self._send(message_id, wire)
            elif opened.verdict is Verdict.REFUSED:
                assert opened.error is not None
                return opened.error
            else:
                return int.from_bytes(read_response(opened.pdu).varbinds[0].value, "big")
        return self.channel.expire(message_id) or RequestTimedOut("no answer")

    def _send(self, message_id: int, wire: Answer) -> list[bytes]:
        datagram = self.channel.seal(REQUEST.pdu(message_id), message_id)
        self.sent.append(datagram if datagram is not None else self.channel.probe(message_id))
        return list(wire(self.sent[-1]))

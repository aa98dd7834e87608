"""Message processing of v1 and v2c: a version, a community, a PDU (RFC 1157 section 4, RFC 1901 section 3).

There is nothing to verify with; what is compared is all there is: version, community, kind of PDU. The request-id is the message
id. An answer under another community than ours is not believed: some agents send it, and so does who guesses.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal

from netmote.errors import NetmoteError
from netmote.snmp.native.ber import (
    OCTET_STRING,
    SEQUENCE,
    BerError,
    element,
    encode_length,
    enter,
    integer,
    read_header,
    read_integer,
)
from netmote.snmp.native.channel import EngineClock, Opened, Verdict
from netmote.snmp.native.pdu import RESPONSE, read_request_id

_VERSION_NUMBERS: Final = {"1": 0, "2c": 1}
_NOTHING = b""


class CommunityChannel:
    """A Channel of v1 or v2c. Holds nothing but counters, so that one may serve many exchanges at once."""

    def __init__(self, version: Literal["1", "2c"], community: str) -> None:
        self._version = _VERSION_NUMBERS[version]
        self._community = community.encode()
        self._head = integer(self._version) + element(OCTET_STRING, self._community)
        self._ignored: Counter[str] = Counter()

    @property
    def ignored(self) -> Mapping[str, int]:
        return self._ignored

    @property
    def learnt(self) -> Mapping[str, int]:
        return {}

    def clock_of(self, engine_id: bytes) -> EngineClock | None:  # noqa: ARG002 - these versions prove nothing
        return None

    @property
    def head(self) -> bytes:
        """What each message begins with, behind its own tag and length: version and community."""
        return self._head

    @staticmethod
    def wrap(head: bytes, pdu: bytes) -> bytes:
        """The message that carries a PDU."""
        return b"".join((b"\x30", encode_length(len(head) + len(pdu)), head, pdu))

    def seal(self, pdu: bytes, message_id: int) -> bytes:  # noqa: ARG002 - the id is in the PDU
        return self.wrap(self._head, pdu)

    def probe(self, message_id: int) -> bytes:
        """Never asked for: there is no engine to discover."""
        raise AssertionError(f"version {self._version} has no discovery (message {message_id})")

    def open(self, datagram: bytes) -> Opened:
        try:
            message_id, pdu, reason = self._unwrap(datagram)
        except BerError:
            message_id, pdu, reason = -1, _NOTHING, "malformed"
        if reason:
            self._ignored[reason] += 1
            return Opened(Verdict.IGNORED, message_id, _NOTHING)
        return Opened(Verdict.ANSWER, message_id, pdu)

    def _unwrap(self, datagram: bytes) -> tuple[int, bytes, str]:
        """The request-id, and either the PDU or why it is ignored. Raises BerError."""
        at, end = enter(datagram, 0, len(datagram), SEQUENCE)
        if datagram.startswith(self._head, at):
            at += len(self._head)
        else:  # others may spend more octets on the same
            version, at = read_integer(datagram, at, end)
            if version != self._version:
                return -1, _NOTHING, "wrong_version"
            start, at = enter(datagram, at, end, OCTET_STRING)
            if datagram[start:at] != self._community:
                return read_request_id(datagram, at, end), _NOTHING, "wrong_community"
        message_id = read_request_id(datagram, at, end)
        tag, _, stop = read_header(datagram, at, end)
        if tag != RESPONSE:
            return message_id, _NOTHING, "not_a_response"
        return message_id, datagram[at:stop], _NOTHING.decode()

    def expire(self, message_id: int) -> NetmoteError | None:  # noqa: ARG002 - silence has no reasons in these versions
        return None

    def forget(self, message_id: int) -> None:
        """Nothing is kept of an exchange."""

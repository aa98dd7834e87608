"""The octets of an SNMPv3 message (RFC 3412 section 6, RFC 3414 section 2.4): read strictly, written around what changes.

    SEQUENCE { version 3, SEQUENCE { msgID, msgMaxSize, msgFlags, msgSecurityModel },
               OCTET STRING { SEQUENCE { engine id, boots, time, user, digest, salt } }, scoped PDU, or it encrypted }

Owns layout alone. Refuses keys, and whether anything may be believed. All that it raises for octets that came is BerError.
"""

from typing import Final, NamedTuple

from netmote.snmp.native.ber import (
    INTEGER,
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

AUTH_FLAG: Final = 0x01
PRIV_FLAG: Final = 0x02
REPORTABLE_FLAG: Final = 0x04

LARGEST_INTEGER: Final = 0x7FFF_FFFF
"""Of msgID, engineBoots and engineTime (RFC 3412 section 6.2, RFC 3414 section 2.2.2)."""
_VERSION = 3
_USM = 3  # SnmpSecurityModel (RFC 3411 section 5)
_SMALLEST_MAX_SIZE = 484
_MAX_SIZE = 65_507  # what one UDP datagram over IPv4 carries
_LONGEST_ENGINE_ID = 32  # SnmpEngineID (RFC 3411 section 5)
_LONGEST_USER_NAME = 32  # SnmpAdminString of msgUserName (RFC 3414 section 2.4)


class V3Message(NamedTuple):
    """A message whose layout is right. Positions count from the first octet of `octets`."""

    octets: bytes  # the message without what followed it in the datagram
    message_id: int
    flags: int
    engine_id: bytes
    boots: int
    time: int
    user_name: bytes
    digest_start: int
    digest_end: int
    salt: bytes
    data_start: int  # of the content of the scoped PDU, or of the encrypted octets
    data_end: int


class ScopedPdu(NamedTuple):
    """A PDU and the context it belongs to (RFC 3412 section 6.8)."""

    context_engine_id: bytes
    context_name: bytes
    tag: int
    pdu: bytes  # tag and length included


def read_message(datagram: bytes) -> V3Message:
    """Take a datagram apart. Raises BerError."""
    at, end = enter(datagram, 0, len(datagram), SEQUENCE)
    version, at = read_integer(datagram, at, end)
    if version != _VERSION:
        raise BerError("not SNMPv3")
    header, header_end = enter(datagram, at, end, SEQUENCE)
    message_id, header = _natural(datagram, header, header_end)
    max_size, header = _natural(datagram, header, header_end)
    flags_start, flags_end = enter(datagram, header, header_end, OCTET_STRING)
    model, header = read_integer(datagram, flags_end, header_end)
    if header != header_end or max_size < _SMALLEST_MAX_SIZE or flags_end - flags_start != 1 or model != _USM:
        raise BerError("msgGlobalData are not those of USM")
    flags = datagram[flags_start]
    if flags & (AUTH_FLAG | PRIV_FLAG) == PRIV_FLAG:
        raise BerError("privacy without authentication (RFC 3412 section 7.2 step 5)")

    security, data = enter(datagram, header_end, end, OCTET_STRING)
    at, security_end = enter(datagram, security, data, SEQUENCE)
    engine_start, engine_end = enter(datagram, at, security_end, OCTET_STRING)
    boots, at = _natural(datagram, engine_end, security_end)
    time, at = _natural(datagram, at, security_end)
    user_start, user_end = enter(datagram, at, security_end, OCTET_STRING)
    digest_start, digest_end = enter(datagram, user_end, security_end, OCTET_STRING)
    salt_start, salt_end = enter(datagram, digest_end, security_end, OCTET_STRING)
    if salt_end != security_end or security_end != data:
        raise BerError("octets left over in msgSecurityParameters")
    if engine_end - engine_start > _LONGEST_ENGINE_ID or user_end - user_start > _LONGEST_USER_NAME:
        raise BerError("engine id or user name too long")

    data_start, data_end = enter(datagram, data, end, OCTET_STRING if flags & PRIV_FLAG else SEQUENCE)
    if data_end != end:
        raise BerError("octets left over behind the data")
    return V3Message(
        datagram if end == len(datagram) else datagram[:end],
        message_id,
        flags,
        datagram[engine_start:engine_end],
        boots,
        time,
        datagram[user_start:user_end],
        digest_start,
        digest_end,
        datagram[salt_start:salt_end],
        data_start,
        data_end,
    )


def read_scoped_pdu(octets: bytes, at: int, end: int) -> ScopedPdu:
    """The content of a ScopedPDU. Raises BerError."""
    engine_start, engine_end = enter(octets, at, end, OCTET_STRING)
    name_start, name_end = enter(octets, engine_end, end, OCTET_STRING)
    tag, _, pdu_end = read_header(octets, name_end, end)
    if pdu_end != end:
        raise BerError("octets left over behind the PDU")
    return ScopedPdu(octets[engine_start:engine_end], octets[name_start:name_end], tag, octets[name_end:pdu_end])


def _natural(octets: bytes, at: int, end: int) -> tuple[int, int]:
    value, stop = read_integer(octets, at, end)
    if not 0 <= value <= LARGEST_INTEGER:
        raise BerError("a number out of its range")
    return value, stop


class MessageTemplate:
    """Messages of one shape: equal but for msgID, time, salt, digest and data, whose sizes are fixed.

    At steady state a request costs joining these pieces, one encryption and one digest.
    """

    __slots__ = (
        "_after_id",
        "_after_salt",
        "_after_time",
        "_before_id",
        "_digest_from_end",
        "_id_octets",
        "_time_octets",
        "digest_length",
    )

    def __init__(
        self,
        *,
        id_octets: int,
        flags: int,
        engine_id: bytes,
        boots: int,
        time_octets: int,
        user_name: bytes,
        digest_length: int,
        salt_length: int,
        data_length: int,
    ) -> None:
        """`data_length` is that of the whole scoped PDU, or of its encrypted octets without the header around them."""
        after_id = integer(_MAX_SIZE) + element(OCTET_STRING, bytes((flags,))) + integer(_USM)
        header_length = 2 + id_octets + len(after_id)
        before_time = element(OCTET_STRING, engine_id) + integer(boots) + bytes((INTEGER, time_octets))
        user = element(OCTET_STRING, user_name) + bytes((OCTET_STRING, digest_length))
        salt_header = bytes((OCTET_STRING, salt_length))
        security_length = len(before_time) + time_octets + len(user) + digest_length + 2 + salt_length
        security = _header(SEQUENCE, security_length)
        wrapped = _header(OCTET_STRING, len(security) + security_length) + security
        data_header = _header(OCTET_STRING, data_length) if flags & PRIV_FLAG else b""
        start = integer(_VERSION) + _header(SEQUENCE, header_length)
        length = len(start) + header_length + len(wrapped) + security_length + len(data_header) + data_length
        self._before_id = _header(SEQUENCE, length) + start + bytes((INTEGER, id_octets))
        self._after_id = after_id + wrapped + before_time
        self._after_time = user + bytes(digest_length) + salt_header
        self._after_salt = data_header
        self._id_octets, self._time_octets, self.digest_length = id_octets, time_octets, digest_length
        self._digest_from_end = digest_length + 2 + salt_length + len(data_header) + data_length

    def fill(self, message_id: int, time: int, salt: bytes, data: bytes) -> tuple[bytes, int]:
        """The message, its digest still zeros, and where the digest begins."""
        octets = b"".join(
            (
                self._before_id,
                message_id.to_bytes(self._id_octets, "big"),
                self._after_id,
                time.to_bytes(self._time_octets, "big"),
                self._after_time,
                salt,
                self._after_salt,
                data,
            )
        )
        return octets, len(octets) - self._digest_from_end


def octets_of(value: int) -> int:
    """How many octets the shortest INTEGER of a natural number has (X.690 section 8.3.2)."""
    return value.bit_length() // 8 + 1


def _header(tag: int, length: int) -> bytes:
    return bytes((tag,)) + encode_length(length)

"""PDUs (RFC 3416 section 3, RFC 1157 section 4.1): requests built once and patched, responses read.

A request whose names do not change differs from poll to poll only in its request-id, so that is written with a fixed number of
octets and the rest is kept as two strings around it.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from netmote.snmp.native.ber import (
    INTEGER,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    BerError,
    element,
    enter,
    integer,
    read_header,
    read_integer,
)
from netmote.snmp.native.varbinds import read_varbinds
from netmote.snmp.session import Varbind

GET_REQUEST: Final = 0xA0
GET_NEXT_REQUEST: Final = 0xA1
RESPONSE: Final = 0xA2
GET_BULK_REQUEST: Final = 0xA5
REPORT: Final = 0xA8

# Ids of four octets whose shortest form has four: what is patched is then also what BER's stricter readers accept.
FIRST_ID: Final = 0x0100_0000
LAST_ID: Final = 0x7FFF_FFFF

_ID_OCTETS = 4
_NULL = b"\x05\x00"


class RequestTemplate(NamedTuple):
    """A request around the place of its request-id."""

    head: bytes
    tail: bytes
    varbinds: int  # how many names are asked

    def pdu(self, request_id: int) -> bytes:
        """The PDU with this request-id, FIRST_ID to LAST_ID."""
        return self.head + request_id.to_bytes(_ID_OCTETS, "big") + self.tail


def build_request(tag: int, oids: Sequence[bytes], non_repeaters: int = 0, max_repetitions: int = 0) -> RequestTemplate:
    """A request for `oids` (content octets); the two numbers stand where others have error-status and error-index."""
    names = element(SEQUENCE, b"".join(map(_asked, oids)))
    tail = integer(non_repeaters) + integer(max_repetitions) + names
    id_header = bytes((INTEGER, _ID_OCTETS))
    placeholder = bytes(_ID_OCTETS)
    whole = element(tag, id_header + placeholder + tail)
    return RequestTemplate(whole[: -len(tail) - _ID_OCTETS], tail, len(oids))


def _asked(oid: bytes) -> bytes:
    """A varbind whose value is asked for: NULL in its place."""
    if len(oid) < 0x7C:
        return bytes((SEQUENCE, len(oid) + 4, OBJECT_IDENTIFIER, len(oid))) + oid + _NULL
    return element(SEQUENCE, element(OBJECT_IDENTIFIER, oid) + _NULL)


class Response(NamedTuple):
    """A Response-PDU, or a Report-PDU, which has its form."""

    request_id: int
    error_status: int
    error_index: int
    varbinds: list[Varbind]


def read_response(pdu: bytes, tag: int = RESPONSE) -> Response:
    """The fields of a PDU given with its tag and length and nothing behind it. Raises BerError."""
    request_id, error_status, error_index, at, end = _read_fields(pdu, tag)
    return Response(request_id, error_status, error_index, read_varbinds(pdu, at, end))


class UnreadResponse(NamedTuple):
    """A Response-PDU whose variables are left as they came."""

    request_id: int
    error_status: int
    error_index: int
    octets: bytes  # content of the VarBindList


def read_around_varbinds(pdu: bytes) -> UnreadResponse:
    """As `read_response`, without a look at the varbinds. Raises BerError."""
    request_id, error_status, error_index, at, end = _read_fields(pdu, RESPONSE)
    return UnreadResponse(request_id, error_status, error_index, pdu[at:end])


def _read_fields(pdu: bytes, tag: int) -> tuple[int, int, int, int, int]:
    """request-id, error-status, error-index, and where the content of the VarBindList begins and ends. Raises BerError."""
    at, end = enter(pdu, 0, len(pdu), tag)
    if end != len(pdu):
        raise BerError("octets left over behind the PDU")
    request_id, at = read_integer(pdu, at, end)
    error_status, at = read_integer(pdu, at, end)
    error_index, at = read_integer(pdu, at, end)
    at, list_end = enter(pdu, at, end, SEQUENCE)
    if list_end != end:
        raise BerError("octets left over in the PDU")
    return request_id, error_status, error_index, at, end


def read_request_id(octets: bytes, at: int, end: int) -> int:
    """The request-id of a PDU of any kind that begins at `at`. Raises BerError."""
    _, start, stop = read_header(octets, at, end)
    return read_integer(octets, start, stop)[0]

"""What tells datagrams apart before anything in them is believed: the number by which an answer names its question.

request-id in v1 and v2c (RFC 1157 section 4, RFC 1901), msgID in v3 (RFC 3412 section 6). Pure.
"""

from netmote.snmp.native.ber import OCTET_STRING, SEQUENCE, enter, read_integer
from netmote.snmp.native.pdu import read_request_id

_SNMP_V3 = 3
_LONGEST_DATAGRAM = 65_535


def message_id_of(datagram: bytes) -> int:
    """The id of a message of any version. Octets behind the message are not looked at. Raises BerError."""
    at, end = enter(datagram, 0, len(datagram), SEQUENCE)
    version, at = read_integer(datagram, at, end)
    if version == _SNMP_V3:
        at, end = enter(datagram, at, end, SEQUENCE)
        return read_integer(datagram, at, end)[0]
    _, at = enter(datagram, at, end, OCTET_STRING)
    return read_request_id(datagram, at, end)


def message_id_of_quote(quote: bytes) -> int:
    """The same of a message of which an ICMP error quotes the beginning. Raises BerError when the quote ends before the id."""
    return message_id_of(quote.ljust(_LONGEST_DATAGRAM, b"\0"))

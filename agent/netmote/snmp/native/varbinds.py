"""The variable bindings of a Response-PDU: octets to `Varbind`s and back. The hot path of polling.

One loop over the short form that nearly every varbind has, about 0.35 us each; whatever does not fit goes, one varbind at a
time, through the strict reader, which accepts what BER allows and raises BerError for the rest.

Integers: devices write them with octets missing or to spare. What has one possible meaning is passed on as it came (readers take
it modulo its width); what has none, or two, is passed on without content, which readers call malformed:

    41 04 FF FF FF FE   4,294,967,294: its full width, the sign octet left out, or -2; the same number modulo 2^32
    41 06 00 00 00 ...  leading zeros
    41 02 FF 38         65,336 or -200? malformed
    41 05 01 00 00 ...  above 2^32: malformed
    02 00               malformed
"""

from typing import Final

from netmote.snmp.native.ber import OBJECT_IDENTIFIER, SEQUENCE, BerError, element, enter, read_header
from netmote.snmp.session import Varbind

_INTEGER = 0x02
# Octets of each type of number (RFC 2578 section 7.1): INTEGER, Counter32, Gauge32, TimeTicks, Counter64, UInteger32 (RFC 1442).
_WIDTHS: Final = {_INTEGER: 4, 0x41: 4, 0x42: 4, 0x43: 4, 0x46: 8, 0x47: 4}


def read_varbinds(octets: bytes, at: int, end: int) -> list[Varbind]:
    """The varbinds of a VarBindList's content. Raises BerError."""
    found: list[Varbind] = []
    add, width_of, new = found.append, _WIDTHS.get, tuple.__new__
    try:
        while at < end:
            after = at + 2 + octets[at + 1]
            oid_at = at + 4
            tag_at = oid_at + octets[at + 3]
            value_at = tag_at + 2
            # Lengths of 128 and more are long forms; none of them can meet the equation of the last line.
            if (
                octets[at] == SEQUENCE
                and octets[at + 2] == OBJECT_IDENTIFIER
                and oid_at < tag_at
                and after <= end
                and value_at + octets[tag_at + 1] == after < at + 130
            ):
                tag = octets[tag_at]
                value = octets[value_at:after]
                width = width_of(tag)
                if width and (not value or value[0] > 0x7F or after - value_at > width):
                    value = _unambiguous(tag, width, value)
                add(new(Varbind, (octets[oid_at:tag_at], tag, value)))
                at = after
            else:
                varbind, at = _read_varbind(octets, at, end)
                add(varbind)
    except IndexError:
        raise BerError("a varbind is cut off") from None
    return found


def _read_varbind(octets: bytes, at: int, end: int) -> tuple[Varbind, int]:
    """One varbind in any form: (itself, its end)."""
    start, stop = enter(octets, at, end, SEQUENCE)
    oid_at, oid_end = enter(octets, start, stop, OBJECT_IDENTIFIER)
    if oid_at == oid_end:
        raise BerError("a varbind without a name")
    tag, value_at, value_end = read_header(octets, oid_end, stop)
    if value_end != stop:
        raise BerError("octets left over in a varbind")
    value = octets[value_at:value_end]
    width = _WIDTHS.get(tag)
    return Varbind(octets[oid_at:oid_end], tag, _unambiguous(tag, width, value) if width else value), stop


def _unambiguous(tag: int, width: int, value: bytes) -> bytes:
    """The content of a number when it can mean only one, else b""."""
    bits = 8 * width
    if not value or len(value) > 2 * width:
        return b""
    if len(value) <= width:
        return value if tag == _INTEGER or len(value) == width or value[0] < 0x80 else b""
    is_unsigned_in_range = int.from_bytes(value, "big") < 1 << bits
    is_negative_in_range = -(1 << (bits - 1)) <= int.from_bytes(value, "big", signed=True) < 0
    return value if is_unsigned_in_range or is_negative_in_range else b""


def encode_varbinds(varbinds: list[Varbind]) -> bytes:
    """A VarBindList, tag and length included."""
    return element(
        SEQUENCE,
        b"".join(
            element(SEQUENCE, element(OBJECT_IDENTIFIER, varbind.oid) + element(varbind.tag, varbind.value))
            for varbind in varbinds
        ),
    )

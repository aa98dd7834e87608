"""The polling subset of BER (X.690, restricted as RFC 3417 section 8 says): lengths, integers, tag-length-value.

Owns reading and writing of single elements. Definite lengths only, one-octet tags, nothing recursive. Every index is checked
against the end of the enclosing element, and whatever is wrong is a BerError: nothing else is ever raised for octets that came.
Refuses meaning (`pdu`, `varbinds`).
"""

from typing import Final

INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30

_LONGEST_LENGTH_OCTETS = 4  # 0x84 is what some agents write always; more could not fit a datagram


class BerError(ValueError):
    """Octets that are no element of the expected kind."""


def read_header(octets: bytes, at: int, end: int) -> tuple[int, int, int]:
    """The element at `at` within an enclosing one that ends at `end`: (tag, start of content, end of content).

    Long forms with more octets than needed are accepted (X.690 section 8.1.3.5). Raises BerError.
    """
    start = at + 2
    if start > end:
        raise BerError("an element is cut off in its header")
    length = octets[at + 1]
    if length > 0x7F:
        count = length & 0x7F
        start += count
        if not 1 <= count <= _LONGEST_LENGTH_OCTETS or start > end:
            raise BerError("a length is indefinite, too long or cut off")
        length = int.from_bytes(octets[at + 2 : start], "big")
    stop = start + length
    if stop > end:
        raise BerError("an element is longer than the one around it")
    return octets[at], start, stop


def enter(octets: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """The bounds of the content of an element whose tag must be `tag`. Raises BerError."""
    found, start, stop = read_header(octets, at, end)
    if found != tag:
        raise BerError(f"tag 0x{found:02x} where 0x{tag:02x} belongs")
    return start, stop


def read_integer(octets: bytes, at: int, end: int) -> tuple[int, int]:
    """An INTEGER of at most 64 bits, leading octets tolerated: (its value, end of the element). Raises BerError."""
    start, stop = enter(octets, at, end, INTEGER)
    if not 1 <= stop - start <= 9:
        raise BerError("an INTEGER without or with too many octets")
    return int.from_bytes(octets[start:stop], "big", signed=True), stop


def encode_length(length: int) -> bytes:
    """A definite length in its shortest form (X.690 section 8.1.3)."""
    if length < 0x80:
        return bytes((length,))
    size = (length.bit_length() + 7) // 8
    return bytes((0x80 | size,)) + length.to_bytes(size, "big")


def element(tag: int, content: bytes) -> bytes:
    """Tag, length, content."""
    return bytes((tag,)) + encode_length(len(content)) + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """An integer in its shortest two's complement form (X.690 section 8.3)."""
    return element(tag, value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, "big", signed=True))

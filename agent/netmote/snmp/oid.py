"""Object identifiers as the content bytes of their BER encoding (X.690 section 8.19), which is how replies carry them.

Bytes are compared and cut without decoding: every arc ends in a byte without the top bit, so a prefix of arcs is a prefix
of bytes. Only order needs the arcs themselves (X.690 arcs of several bytes do not sort as bytes).
"""

from collections.abc import Iterable


def encode_oid(arcs: Iterable[int]) -> bytes:
    """Content bytes of an OID given as numbers. Raises ValueError when it has fewer than two arcs or a negative one."""
    numbers = tuple(arcs)
    if len(numbers) < 2 or min(numbers) < 0:
        raise ValueError(f"{numbers} is no object identifier: at least two arcs, none negative")
    return encode_arcs((numbers[0] * 40 + numbers[1], *numbers[2:]))


def encode_arcs(arcs: Iterable[int]) -> bytes:
    """Base-128 bytes of arcs that follow a prefix, such as a table index."""
    out = bytearray()
    for arc in arcs:
        if arc < 0x80:
            out.append(arc)
            continue
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | (arc & 0x7F))
        out.extend(reversed(groups))
    return bytes(out)


def decode_arcs(content: bytes) -> tuple[int, ...]:
    """The arcs of base-128 bytes (an index, or the tail of an OID). Raises ValueError when the last arc is cut off."""
    arcs: list[int] = []
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(value)
            value = 0
    if content and content[-1] & 0x80:
        raise ValueError(f"{content.hex()} ends within an arc")
    return tuple(arcs)


def decode_oid(content: bytes) -> tuple[int, ...]:
    """All arcs of an OID, comparable in the order of GETNEXT. Raises ValueError when it is empty or cut off."""
    first, *rest = decode_arcs(content) or (None,)
    if first is None:
        raise ValueError("an object identifier has at least one byte")
    top = min(first // 40, 2)
    return (top, first - 40 * top, *rest)


def oid_text(content: bytes) -> str:
    """Dotted decimal, for people."""
    return ".".join(map(str, decode_oid(content)))


def parse_oid(text: str) -> bytes:
    """Content bytes of a dotted OID. Raises ValueError when it is not one."""
    return encode_oid(int(arc) for arc in text.strip(".").split("."))

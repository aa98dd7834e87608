"""The wire format of Protocol Buffers, read only: enough to look into an ONNX file before any runtime sees it.

Bytes in, values out. Never follows a length beyond the bytes given; anything malformed is a ValueError.
Encoding: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
_MOST_VARINT_BYTES = 10


def fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Yield (field number, wire type, value): an unsigned integer for varints, the bytes for all others."""
    position = 0
    while position < len(message):
        key, position = varint(message, position)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ValueError("field number 0")
        if kind == VARINT:
            value, position = varint(message, position)
            yield number, kind, value
            continue
        if kind == LENGTH_DELIMITED:
            size, position = varint(message, position)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind} is not used by ONNX")
        if size > len(message) - position:
            raise ValueError("a field is longer than the message")
        yield number, kind, message[position : position + size]
        position += size


def varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return (unsigned value, position behind it)."""
    value = 0
    for count in range(_MOST_VARINT_BYTES):
        if position >= len(message):
            raise ValueError("a varint runs over the end")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << (7 * count)
        if not byte & 0x80:
            return value, position
    raise ValueError("a varint is longer than ten bytes")


def signed(value: int) -> int:
    """int64 of a varint (two's complement, not zigzag)."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def text(value: int | memoryview) -> str:
    """A string field. Raises ValueError when it is not UTF-8 or not a string."""
    return view(value).tobytes().decode()


def view(value: int | memoryview) -> memoryview:
    """A length-delimited or fixed field. Raises ValueError on a varint."""
    if isinstance(value, int):
        raise ValueError("a varint stands where bytes belong")
    return value


def number(value: int | memoryview) -> int:
    """A varint field as int64. Raises ValueError on anything else."""
    if not isinstance(value, int):
        raise ValueError("bytes stand where a varint belongs")
    return signed(value)


def packed_numbers(value: int | memoryview, kind: int) -> list[int]:
    """One or many int64 of a repeated varint field, packed or not."""
    if kind == VARINT:
        return [number(value)]
    message, position, numbers = view(value), 0, []
    while position < len(message):
        one, position = varint(message, position)
        numbers.append(signed(one))
    return numbers

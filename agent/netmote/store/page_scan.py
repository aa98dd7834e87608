"""Rows out of a damaged SQLite file, page by page, needing neither header, schema nor tree.

Every page that looks like a leaf of a table, or like a page of an index (as which a table WITHOUT ROWID is kept), is taken apart
(https://www.sqlite.org/fileformat2.html sections 1.6, 2.1 and 2.4); what cannot be decoded is skipped. Nothing here knows which rows are right: the caller checks each by its own CRC.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = int | float | str | bytes | None

_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR = 0x0D, 0x0A, 0x02
_HEADER_OCTETS = 100  # before the first page's own header
_INTEGER_WIDTHS = (0, 1, 2, 3, 4, 6, 8)  # by serial type 0..6
_LOG_HEADER = 32
_FRAME_HEADER = 24
_DAMAGE = (ValueError, IndexError, struct.error, UnicodeDecodeError)


class Pages:
    """The pages of a file, overlaid by those of its log. Both may be cut anywhere."""

    def __init__(self, file: bytes, log_frames: Sequence[tuple[int, bytes]], page_size: int) -> None:
        self._file, self._size = file, page_size
        self._frames = log_frames
        self._newest = dict(log_frames)  # page number -> image

    @property
    def page_size(self) -> int:
        return self._size

    def images(self) -> Iterator[tuple[bytes, int]]:
        """Every page image there is with the offset of its own header, those of the file first, then the log's in its order."""
        for start in range(0, len(self._file), self._size):
            yield self._file[start : start + self._size].ljust(self._size, b"\0"), _HEADER_OCTETS if start == 0 else 0
        for number, image in self._frames:
            yield image, _HEADER_OCTETS if number == 1 else 0

    def page(self, number: int) -> bytes:
        """The newest image of a page, from 1. Raises IndexError when there is none."""
        newest = self._newest.get(number)
        if newest is not None:
            return newest
        start = (number - 1) * self._size
        if number < 1 or start >= len(self._file):
            raise IndexError(f"no page {number}")
        return self._file[start : start + self._size].ljust(self._size, b"\0")


def committed_frames(log: bytes, page_size: int) -> list[tuple[int, bytes]]:
    """Page number and image of each frame of a log up to its last commit, past frames whose checksum SQLite would stop at.

    Frames of an earlier round of the log carry other salts and are left out; so is a transaction that never committed.
    """
    frames: list[tuple[int, bytes]] = []
    committed, salts = 0, _salts(log, page_size)
    for start in range(_LOG_HEADER, len(log) - _FRAME_HEADER - page_size + 1, _FRAME_HEADER + page_size):
        number, size_after_commit = struct.unpack_from(">II", log, start)
        if log[start + 8 : start + 16] != salts:
            continue
        frames.append((number, log[start + _FRAME_HEADER : start + _FRAME_HEADER + page_size]))
        if size_after_commit:
            committed = len(frames)
    return frames[:committed]


def _salts(log: bytes, page_size: int) -> bytes:
    """Of the log's present round, by the most of three witnesses: its header, and the first two frames, which that round wrote first."""
    frames = [_LOG_HEADER + number * (_FRAME_HEADER + page_size) for number in range(2)]
    witnesses = [log[16:24], *(log[start + 8 : start + 16] for start in frames if len(log) >= start + _FRAME_HEADER)]
    return Counter(witnesses).most_common(1)[0][0]


def table_rows(pages: Pages) -> Iterator[tuple[int, list[Value]]]:
    """Row id and values of everything that decodes as a row of a table, copies and remains of deleted rows included."""
    for image, offset in _cells(pages, {_TABLE_LEAF: 8}):
        try:
            length, start = _varint(image, offset)
            row_id, start = _varint(image, start)
            yield row_id, _record(_payload(pages, image, start, length, pages.page_size - 35))
        except _DAMAGE:
            continue


def index_rows(pages: Pages) -> Iterator[list[Value]]:
    """Values of everything that decodes as an entry of an index or a row of a table WITHOUT ROWID, key first; copies included."""
    most = (pages.page_size - 12) * 64 // 255 - 23
    for kind, skipped in ((_INDEX_LEAF, 0), (_INDEX_INTERIOR, 4)):  # an interior cell begins with the number of a page
        for image, offset in _cells(pages, {kind: 8 if kind == _INDEX_LEAF else 12}):
            try:
                length, start = _varint(image, offset + skipped)
                yield _record(_payload(pages, image, start, length, most))
            except _DAMAGE:
                continue


def _cells(pages: Pages, header_sizes: Mapping[int, int]) -> Iterator[tuple[bytes, int]]:
    """Page image and offset of each cell on pages of these kinds."""
    for image, header in pages.images():
        size = header_sizes.get(image[header])
        if size is None:
            continue
        (cells,) = struct.unpack_from(">H", image, header + 3)
        if header + size + 2 * cells > pages.page_size:
            continue
        for offset in struct.unpack_from(f">{cells}H", image, header + size):
            yield image, offset


def _payload(pages: Pages, image: bytes, offset: int, length: int, most: int) -> bytes:
    """The payload of a cell, of which a page holds at most `most` octets."""
    if length <= most:
        payload = image[offset : offset + length]
    else:
        usable = pages.page_size
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        payload = _overflowing(pages, image, offset, local if local <= most else least, length)
    if len(payload) != length:
        raise ValueError("payload is cut")
    return payload


def _overflowing(pages: Pages, image: bytes, offset: int, local: int, length: int) -> bytes:
    parts, remaining = [image[offset : offset + local]], length - local
    (following,) = struct.unpack_from(">I", image, offset + local)
    while following and remaining > 0:  # each step takes something, so a loop in the chain ends
        page = pages.page(following)
        parts.append(page[4 : 4 + remaining])
        remaining -= len(parts[-1])
        (following,) = struct.unpack_from(">I", page, 0)
    return b"".join(parts)


def _varint(octets: bytes, offset: int) -> tuple[int, int]:
    value = 0
    for _ in range(8):
        octet = octets[offset]
        offset += 1
        value = value << 7 | octet & 0x7F
        if octet < 0x80:
            return value, offset
    value = value << 8 | octets[offset]
    return value - (1 << 64) if value >> 63 else value, offset + 1


def _record(payload: bytes) -> list[Value]:
    header_length, offset = _varint(payload, 0)
    if not 1 <= header_length <= len(payload):
        raise ValueError("no record header")
    types = []
    while offset < header_length:
        serial_type, offset = _varint(payload, offset)
        types.append(serial_type)
    values: list[Value] = []
    offset = header_length
    for serial_type in types:
        value, offset = _value(payload, serial_type, offset)
        values.append(value)
    return values


def _value(payload: bytes, serial_type: int, offset: int) -> tuple[Value, int]:
    if serial_type == 0:
        return None, offset
    if serial_type in (8, 9):
        return serial_type - 8, offset
    width = (serial_type - 12) // 2 if serial_type >= 12 else 8 if serial_type == 7 else _INTEGER_WIDTHS[serial_type]
    octets = payload[offset : offset + width]
    if len(octets) != width or width < 0:
        raise ValueError("value is cut")
    if serial_type >= 12:
        return octets if serial_type % 2 == 0 else octets.decode(), offset + width
    if serial_type == 7:
        return struct.unpack(">d", octets)[0], offset + width
    return int.from_bytes(octets, signed=True), offset + width

"""Where frames lie in memory: the seam between what reads frames (a ring, a file) and what decodes them."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

# LINKTYPE_ values of https://www.tcpdump.org/linktypes.html
LINKTYPE_NULL = 0
LINKTYPE_ETHERNET = 1
LINKTYPE_PPP = 9
LINKTYPE_PPP_HDLC = 50
LINKTYPE_PPP_ETHER = 51  # begins with the PPPoE header
LINKTYPE_RAW = 101
LINKTYPE_C_HDLC = 104
LINKTYPE_LOOP = 108
LINKTYPE_LINUX_SLL = 113
LINKTYPE_IPV4 = 228
LINKTYPE_IPV6 = 229
LINKTYPE_LINUX_SLL2 = 276
_COPIED = 8192  # rows at once: the copy stays in the second-level cache, and below what `daemon.memory` has mapped anew each time
_EVEN = 2048  # rows that lie evenly and are worth a look of their own


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames of one interface, in order, each a run of bytes in `buffer`. Only valid until the owner of the buffer reuses it."""

    buffer: NDArray[np.uint8]
    offset: NDArray[np.int64]  # (n,) first byte of the frame's link header
    captured: NDArray[np.int64]  # (n,) bytes that are there
    wire_length: NDArray[np.uint32]  # (n,) bytes that were on the wire
    timestamp_ns: NDArray[np.int64]  # (n,) UTC
    link_type: int
    # A tag the kernel took out of the frame: `wire_length` counts its four bytes, `captured` does not.
    is_tagged: NDArray[np.bool_] | None = None  # (n,) the kernel took an outer VLAN tag out of the frame
    tag_control: NDArray[np.uint16] | None = None  # (n,) that tag's TCI (IEEE 802.1Q section 9.6)
    tag_protocol: NDArray[np.uint16] | None = None  # (n,) its TPID
    # A frame that stands for several on the wire (GRO, GSO): `wire_length` counts the headers once. Both or none.
    segment_size: NDArray[np.uint16] | None = None  # (n,) payload octets of each, the last may have fewer; 0: one packet
    # (n,) whose payload is cut: 6 TCP, 17 UDP. 0 beside a size: a guess, TCP's, and the size is that of a whole IP packet.
    segment_protocol: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.offset)

    def at(self, rows: NDArray[np.integer]) -> "Frames":
        """Those at these positions, in the same buffer."""
        columns: dict[str, Any] = {
            each.name: None if (column := getattr(self, each.name)) is None else column[rows]
            for each in fields(self)
            if each.name not in ("buffer", "link_type")
        }
        return replace(self, **columns)


def rows_at(buffer: NDArray[np.uint8], offset: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Copy `width` bytes at each offset, (n, width); bytes beyond the buffer's end read as zero.

    An overlapping view of opaque items moves a row with one memcpy: 4 ns for 64 bytes, against 62 for an index matrix.
    """
    last = len(buffer) - width
    if last < 0:
        buffer = np.concatenate((buffer, np.zeros(width, "u1")))
        last = len(buffer) - width
    overlapping = np.ndarray((last + 1,), f"V{width}", buffer, strides=(1,))
    if len(offset) and int(offset.max()) > last:
        rows = overlapping[np.minimum(offset, last)].view("u1").reshape(-1, width)
        for position in np.flatnonzero(offset > last).tolist():
            tail = buffer[int(offset[position]) :]
            rows[position] = 0
            rows[position, : len(tail)] = tail
        return rows
    return overlapping[offset].view("u1").reshape(-1, width)


def even_parts(buffer: NDArray[np.uint8], offset: NDArray[np.int64], width: int) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """The rows of `rows_at`, a part at a time: which they are, and (n, width). Where offsets lie evenly that is a view, without a copy.

    A view holds what the buffer does when it is read, and must not be written to.
    """
    done = 0
    for start, stop in _even_runs(offset):
        begin, step = int(offset[start]), int(offset[start + 1] - offset[start])
        if step > 0 and begin >= 0 and begin + (stop - start - 1) * step + width <= len(buffer):
            yield from _copied_parts(buffer, offset, done, start, width)
            yield slice(start, stop), np.ndarray((stop - start, width), "u1", buffer, begin, (step, 1))
            done = stop
    yield from _copied_parts(buffer, offset, done, len(offset), width)


def _copied_parts(
    buffer: NDArray[np.uint8], offset: NDArray[np.int64], start: int, stop: int, width: int
) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    for first in range(start, stop, _COPIED):
        part = slice(first, min(first + _COPIED, stop))
        yield part, rows_at(buffer, offset[part], width)


def _even_runs(offset: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Where many offsets follow one another at one distance: (start, stop)."""
    count = len(offset)
    if count < _EVEN:
        return
    step = offset[1:] - offset[:-1]
    bends = (step[1:] != step[:-1]).nonzero()[0]
    if len(bends) > 2 * (count // _EVEN + 1):
        return
    start = 0
    for bend in [*bends.tolist(), count - 2]:
        stop = bend + 2  # the last of these equal steps leads to the row before
        if stop - start >= _EVEN:
            yield start, stop
            start = stop
        else:
            start = max(start, stop - 1)  # where another run may begin

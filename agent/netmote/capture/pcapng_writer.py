"""The tee: frames as captured into a pcapng file, so that a replay of it decodes the very bytes the live run decoded.

Blocks are built for all frames of one captured length at once. A tag the kernel took out is put back where it stood. A frame that
stands for several on the wire says how they were cut in an option of local use, `SEGMENTS`; other readers step over it.
"""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import Frames, rows_at
from netmote.capture.pcapng_reader import (
    BYTE_ORDER_MAGIC,
    ENHANCED_PACKET,
    INTERFACE_DESCRIPTION,
    INTERFACE_STATISTICS,
    SECTION_HEADER,
    SEGMENTS,
    SEGMENTS_SIGNATURE,
)

_FIXED = 32  # an Enhanced Packet Block without its packet
_SEGMENTS_BYTES = 16  # the option and the end of options
_COMMENT, _IF_NAME, _IF_TSRESOL, _ISB_IFDROP = 1, 2, 9, 5
_NANOSECONDS = 9  # if_tsresol


class PcapngWriter:
    """One file of one interface, at most `limit_bytes` long. What no longer fits, or cannot be written, is counted in `left_out`.

    A full disk must not stop the capture, so `write` does not raise: `failure` says what happened, and nothing more is written.
    With `interface_number` above 0 the file is there, and describes that many interfaces: one more is added behind what it holds.
    `comment` goes with the interface, for people.
    """

    def __init__(
        self, path: Path, *, interface: str, link_type: int, limit_bytes: int, interface_number: int = 0, comment: str = ""
    ) -> None:
        self.path = path
        self.left_out = 0
        self.failure = ""
        self._limit = limit_bytes
        self._written = 0
        self._dropped = 0
        self._number = interface_number
        self._file = path.open("ab" if interface_number else "wb")
        name = interface.encode()
        said = _option(_COMMENT, comment.encode()) if comment else b""
        options = said + _option(_IF_NAME, name) + _option(_IF_TSRESOL, bytes([_NANOSECONDS])) + _option(0, b"")
        if not interface_number:
            self._put(_block(SECTION_HEADER, struct.pack("<IHHq", BYTE_ORDER_MAGIC, 1, 0, -1)))
        self._put(_block(INTERFACE_DESCRIPTION, struct.pack("<HHI", link_type, 0, 0) + options))

    def write(self, frames: Frames) -> None:
        """Append frames in their order."""
        if not len(frames):
            return
        size = block_sizes(frames)
        end = np.cumsum(size)
        fit = int(np.searchsorted(end, self._limit - self._written, side="right"))
        if self.failure or fit == 0:
            self.left_out += len(frames)
            return
        out = np.zeros(int(end[fit - 1]), "u1")
        kind = _kinds(frames)[:fit]
        for each in np.unique(kind).tolist():
            chosen = np.flatnonzero(kind == each)
            blocks = _packet_blocks(frames, chosen, each >> 2, is_tagged=bool(each & 2), is_segmented=bool(each & 1))
            blocks.view("<u4")[:, 2] = self._number
            width = blocks.shape[1]
            target = np.ndarray((len(out) - width + 1,), f"V{width}", out, strides=(1,))
            target[end[chosen] - width] = blocks.view(f"V{width}").reshape(-1)
        if self._put(out.tobytes()):
            self.left_out += len(frames) - fit
        else:
            self.left_out += len(frames)

    def write_dropped(self, timestamp_ns: int, dropped: int) -> None:
        """Note that the kernel dropped this many packets before `timestamp_ns`; a reader counts them behind the packets before."""
        if not dropped:
            return
        self._dropped += dropped
        fixed = struct.pack("<III", self._number, timestamp_ns >> 32, timestamp_ns & 0xFFFF_FFFF)
        self._put(_block(INTERFACE_STATISTICS, fixed + _option(_ISB_IFDROP, struct.pack("<Q", self._dropped)) + _option(0, b"")))

    def close(self) -> None:
        """Safe twice."""
        try:
            self._file.close()
        except OSError as error:
            self.failure = self.failure or str(error)

    def _put(self, data: bytes) -> bool:
        if self.failure:
            return False
        try:
            self._file.write(data)
        except OSError as error:
            self.failure = str(error)
            return False
        self._written += len(data)
        return True


def block_sizes(frames: Frames) -> NDArray[np.int64]:
    """(n,) bytes of the block of each frame."""
    kind = _kinds(frames)
    sizes: NDArray[np.int64] = _FIXED + ((kind >> 2) + 3) // 4 * 4 + _SEGMENTS_BYTES * (kind & 1)
    return sizes


def _kinds(frames: Frames) -> NDArray[np.int64]:
    """(n,) what a block's layout depends on: bytes of the packet << 2 | has a tag put back << 1 | stands for several."""
    captured = frames.captured << 2
    if frames.is_tagged is not None:
        captured = captured + 18 * frames.is_tagged  # four bytes more, and the mark
    return captured if frames.segment_size is None else captured + (frames.segment_size != 0)


def _packet_blocks(
    frames: Frames, chosen: NDArray[np.int64], length: int, *, is_tagged: bool, is_segmented: bool
) -> NDArray[np.uint8]:
    """Enhanced Packet Blocks (section 4.3) of frames that are `length` long with their tag, (n, size)."""
    size = _FIXED + (length + 3) // 4 * 4 + _SEGMENTS_BYTES * is_segmented
    blocks = np.zeros((len(chosen), size), "u1")
    words = blocks.view("<u4")
    timestamp = frames.timestamp_ns[chosen]
    words[:, 0], words[:, 1], words[:, -1] = ENHANCED_PACKET, size, size
    words[:, 3], words[:, 4] = timestamp >> 32, timestamp & 0xFFFF_FFFF
    words[:, 5], words[:, 6] = length, frames.wire_length[chosen]
    if is_segmented:
        assert frames.segment_size is not None
        assert frames.segment_protocol is not None
        option = blocks[:, -4 - _SEGMENTS_BYTES : -8]
        option[:] = np.frombuffer(_option(SEGMENTS, SEGMENTS_SIGNATURE + bytes(4)), "u1")
        option[:, 8] = frames.segment_protocol[chosen]
        option[:, 10:12] = frames.segment_size[chosen].astype("<u2").view("u1").reshape(-1, 2)
    if not is_tagged:
        if length:
            blocks[:, 28 : 28 + length] = rows_at(frames.buffer, frames.offset[chosen], length)
        return blocks
    assert frames.tag_control is not None
    assert frames.tag_protocol is not None
    bare = rows_at(frames.buffer, frames.offset[chosen], length - 4)
    blocks[:, 28:40] = bare[:, :12]
    blocks[:, 40:42] = frames.tag_protocol[chosen].astype(">u2").view("u1").reshape(-1, 2)
    blocks[:, 42:44] = frames.tag_control[chosen].astype(">u2").view("u1").reshape(-1, 2)
    blocks[:, 44 : 28 + length] = bare[:, 12:]
    return blocks


def _block(kind: int, body: bytes) -> bytes:
    length = 12 + len(body)
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + b"\0" * (-len(value) % 4)

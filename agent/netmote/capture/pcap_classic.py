"""The classic pcap format (draft-ietf-opsawg-pcap): both byte orders, micro- and nanoseconds, and Kuznetsov's longer records."""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import Frames, rows_at
from netmote.capture.headers import decode
from netmote.capture.packets import PacketColumns, Undecodable
from netmote.capture.read_ahead import ReadAhead

# Magic number -> (nanoseconds per tick, bytes of a record header). 0xA1B2CD34 is the format of old patched Linux libpcap.
_MAGIC = {0xA1B2C3D4: (1_000, 16), 0xA1B23C4D: (1, 16), 0xA1B2CD34: (1_000, 24)}
FILE_HEADER = 24
LONGEST_PACKET = 262_144  # MAXIMUM_SNAPLEN of libpcap: a longer record is damage
BLOCK_PACKETS = 65_536  # a block's packets are numbered with 16 bits while they are grouped


def byte_order(magic: bytes) -> str | None:
    """Either "<" or ">" when these first four bytes begin a classic pcap file, else None."""
    for order in "<>":
        if struct.unpack(f"{order}I", magic)[0] in _MAGIC:
            return order
    return None


def read_pcap(ahead: ReadAhead, order: str) -> Iterator[PacketColumns]:
    """Blocks of at most 65,536 packets. A damaged or cut record ends the file and is counted under its reason."""
    if ahead.end < FILE_HEADER:
        ahead.fill(at_least=FILE_HEADER)
    if ahead.end < FILE_HEADER:
        yield PacketColumns.undecoded("", 0, Undecodable.CUT_OFF)
        return
    magic, network = struct.unpack(f"{order}I16xI", ahead.buffer[:FILE_HEADER].tobytes())
    tick_ns, header = _MAGIC[magic]
    link_type = network & 0x03FF_FFFF  # the upper bits tell of a frame check sequence
    ahead.consume(FILE_HEADER)
    unpack = struct.Struct(f"{order}I").unpack_from
    latest = 0
    while True:
        offsets, stop, is_damaged = _walk(ahead, unpack, header)
        for first in range(0, len(offsets), BLOCK_PACKETS):
            frames = _frames(ahead.buffer, offsets[first : first + BLOCK_PACKETS], order, tick_ns, header, link_type)
            latest = int(frames.timestamp_ns[-1])
            yield decode(frames, "")
        if is_damaged:
            yield PacketColumns.undecoded("", latest, Undecodable.BAD_RECORD)
            return
        ahead.consume(stop)
        if not ahead.fill():
            break
    if ahead.end or ahead.is_broken:
        yield PacketColumns.undecoded("", latest, Undecodable.CUT_OFF)


def _walk(ahead: ReadAhead, unpack: "struct.Struct.unpack_from", header: int) -> tuple[NDArray[np.int64], int, bool]:  # type: ignore[name-defined]
    """Offsets of the whole records held, where the first incomplete one begins, and whether that one is damaged."""
    buffer, end = ahead.buffer, ahead.end
    offset = 0
    found: list[int] = []
    append = found.append
    last = end - header
    while offset <= last:
        captured = unpack(buffer, offset + 8)[0]
        following = offset + header + captured
        if following > end:
            if captured > LONGEST_PACKET:
                return np.array(found, "i8"), offset, True
            break
        if captured > LONGEST_PACKET:
            return np.array(found, "i8"), offset, True
        append(offset)
        offset = following
    return np.array(found, "i8"), offset, False


def _frames(
    buffer: NDArray[np.uint8], offsets: NDArray[np.int64], order: str, tick_ns: int, header: int, link_type: int
) -> Frames:
    record = rows_at(buffer, offsets, 16).view(f"{order}u4")
    timestamp = record[:, 0].astype("i8")
    timestamp *= 1_000_000_000 // tick_ns
    timestamp += record[:, 1]
    timestamp *= tick_ns
    return Frames(
        buffer,
        offsets + header,
        captured=record[:, 2].astype("i8"),
        wire_length=record[:, 3].astype("u4"),
        timestamp_ns=timestamp,
        link_type=link_type,
    )

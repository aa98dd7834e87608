"""The classic pcap format (draft-ietf-opsawg-pcap): both byte orders, micro- and nanoseconds, and Kuznetsov's longer records."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import Frames, rows_at
from netmote.capture.headers import decode
from netmote.capture.packet_filter import PacketFilter
from netmote.capture.packets import PacketColumns, Undecodable
from netmote.capture.read_ahead import ReadAhead
from netmote.capture.tunnels import Tunnel

# Magic number -> (nanoseconds per tick, bytes of a record header). 0xA1B2CD34 is the format of old patched Linux libpcap.
_MAGIC = {0xA1B2C3D4: (1_000, 16), 0xA1B23C4D: (1, 16), 0xA1B2CD34: (1_000, 24)}
FILE_HEADER = 24
LONGEST_PACKET = 262_144  # MAXIMUM_SNAPLEN of libpcap: a longer record is damage
BLOCK_PACKETS = 65_536  # a block's packets are numbered with 16 bits while they are grouped
_SHORT_RUN = 16  # equal records fewer than this do not pay for the guess
_WALKED, _LONGEST_WALK = 128, 65_536


def byte_order(magic: bytes) -> str | None:
    """Either "<" or ">" when these first four bytes begin a classic pcap file, else None."""
    for order in "<>":
        if struct.unpack(f"{order}I", magic)[0] in _MAGIC:
            return order
    return None


def read_pcap(
    ahead: ReadAhead, order: str, packet_filter: PacketFilter | None = None, *, tunnels: tuple[Tunnel, ...] = ()
) -> Iterator[PacketColumns]:
    """Blocks of at most 65,536 packets, with a filter of those it wants. A damaged or cut record ends the file and is counted under its reason."""
    if ahead.end < FILE_HEADER:
        ahead.fill(at_least=FILE_HEADER)
    if ahead.end < FILE_HEADER:
        yield PacketColumns.undecoded("", 0, Undecodable.CUT_OFF)
        return
    magic, network = struct.unpack(f"{order}I16xI", ahead.buffer[:FILE_HEADER].tobytes())
    tick_ns, header = _MAGIC[magic]
    layout = _Layout(order, tick_ns, header, network & 0x03FF_FFFF)  # the upper bits tell of a frame check sequence
    ahead.consume(FILE_HEADER)
    latest = 0
    while True:
        offsets, stop, is_damaged = _walk(ahead, order, header)
        for part in np.array_split(offsets, -(-len(offsets) // BLOCK_PACKETS) or 1):  # evenly: small blocks cost more
            if not len(part):
                break
            frames = layout.frames(ahead.buffer, part)
            latest = int(frames.timestamp_ns[-1])
            yield decode(frames if packet_filter is None else packet_filter.wanted(frames), "", tunnels=tunnels)
        if is_damaged:
            yield PacketColumns.undecoded("", latest, Undecodable.BAD_RECORD)
            return
        ahead.consume(stop)
        if not ahead.fill():
            break
    if ahead.end or ahead.is_broken:
        yield PacketColumns.undecoded("", latest, Undecodable.CUT_OFF)


def _walk(ahead: ReadAhead, order: str, header: int) -> tuple[NDArray[np.int64], int, bool]:
    """Offsets of the whole records held, where the first incomplete one begins, and whether that one is damaged.

    Records of one length, as a short snap length makes them, are found a run at a time: the guess that the next records are as long
    as this one is checked for all of them at once. Where runs are short the chain is followed, for longer each time in a row.
    """
    end, last, offset = ahead.end, ahead.end - header, 0
    parts: list[NDArray[np.int64]] = []
    patience = _WALKED
    while offset <= last:
        run, following = _equal_records(ahead.memory, offset, last, order, header)
        parts.append(run)
        offset = following
        if len(run) < _SHORT_RUN:
            walked, offset = _follow(ahead.memory, offset, last, order, header, most=patience)
            parts.append(walked)
            patience = min(2 * patience, _LONGEST_WALK)
        else:
            patience = _WALKED
    parts.append(np.array([offset], "i8"))
    bounds = np.concatenate(parts)
    wrong = np.flatnonzero(np.diff(bounds) > header + LONGEST_PACKET)
    if len(wrong):
        return bounds[: wrong[0]], int(bounds[wrong[0]]), True
    whole = len(bounds) - 1 if offset <= end else len(bounds) - 2  # the last one may go on behind what was read
    return bounds[:whole], int(bounds[whole]), False


def _equal_records(memory: memoryview, offset: int, last: int, order: str, header: int) -> tuple[NDArray[np.int64], int]:
    """Records from `offset` on that are as long as the first, beginning at `last` at most; also where the next one begins."""
    captured = struct.unpack_from(f"{order}I", memory, offset + 8)[0]
    stride = header + captured
    run, window = 0, _SHORT_RUN
    most = (last - offset) // stride + 1
    while run < most:
        window = min(8 * window, most - run)
        lengths = np.ndarray((window,), f"{order}u4", memory, offset + run * stride + 8, (stride,))
        differs = lengths != captured
        if differs.any():
            run += int(differs.argmax())
            break
        run += window
    return offset + np.arange(run) * stride, offset + run * stride


def _follow(memory: memoryview, offset: int, last: int, order: str, header: int, *, most: int) -> tuple[NDArray[np.int64], int]:
    """At most so many records by their own lengths; also where the next one begins."""
    unpack = struct.Struct(f"{order}8xI").unpack_from
    found: list[int] = []
    append = found.append
    for _ in repeat(None, most):  # the one loop over packets in Python: nothing else belongs in it
        if offset > last:
            break
        append(offset)
        offset += header + unpack(memory, offset)[0]
    return np.array(found, "i8"), offset


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the file header says of every record."""

    order: str
    tick_ns: int
    header: int  # bytes before the packet
    link_type: int

    def frames(self, buffer: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Frames:
        record = rows_at(buffer, offsets, 16).view(f"{self.order}u4")
        timestamp = record[:, 0].astype("i8")
        timestamp *= 1_000_000_000 // self.tick_ns
        timestamp += record[:, 1]
        timestamp *= self.tick_ns
        return Frames(
            buffer,
            offsets + self.header,
            captured=record[:, 2].astype("i8"),
            wire_length=record[:, 3].astype("u4"),
            timestamp_ns=timestamp,
            link_type=self.link_type,
        )

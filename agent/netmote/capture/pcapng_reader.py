"""The pcapng format (draft-ietf-opsawg-pcapng): several sections and interfaces, any time resolution, interface statistics.

Packets are handed on per interface, because an interface is an observation point of its own; within one the order is kept.
Several interfaces are handed on second by second of event time, so that none runs ahead of the others by more.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import Frames, rows_at
from netmote.capture.headers import decode
from netmote.capture.packet_filter import PacketFilter
from netmote.capture.packets import PacketColumns, Undecodable
from netmote.capture.pcap_classic import BLOCK_PACKETS
from netmote.capture.read_ahead import ReadAhead
from netmote.capture.tunnels import Tunnel

SECTION_HEADER, INTERFACE_DESCRIPTION, PACKET, SIMPLE_PACKET, INTERFACE_STATISTICS, ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 5, 6
BYTE_ORDER_MAGIC = 0x1A2B3C4D
LONGEST_BLOCK = 4 << 20
SEGMENTS, SEGMENTS_SIGNATURE = 0xA5E6, b"nmsg"
"""Our option of an Enhanced Packet Block, its first: signature, protocol (u1), zero (u1), `segment_size` (u2, the section's order); see
`frames`. Codes with the highest bit set are for local use (section 3.5), hence the signature."""
_OPTION_END, _IF_NAME, _IF_TSRESOL, _IF_TSOFFSET, _ISB_IFDROP = 0, 2, 9, 14, 5
_SEGMENTS_OPTION = np.dtype(
    [("code", "u2"), ("length", "u2"), ("signature", "S4"), ("protocol", "u1"), ("zero", "u1"), ("size", "u2")]
)
_MOST_INTERFACES = 65_536
_SHORT_RUN, _WALKED = 16, 512  # runs shorter than this make blocks be followed one by one for so many


@dataclass(slots=True, eq=False)
class _Interface:
    """One interface of the section being read."""

    name: str
    link_type: int
    snap_length: int
    resolution: int  # if_tsresol: power of ten, or of two with the high bit set
    offset_s: int  # if_tsoffset
    dropped: int = 0  # isb_ifdrop as last told
    latest_ns: int = 0


class PcapngReader:
    """Walks the blocks of one stream. Use once, by iterating; with a filter, packets it does not want are left out."""

    def __init__(self, ahead: ReadAhead, packet_filter: PacketFilter | None = None, *, tunnels: tuple[Tunnel, ...] = ()) -> None:
        self._ahead = ahead
        self._filter, self._tunnels = packet_filter, tunnels
        self._order = "<"
        self._interfaces: list[_Interface] = []
        self._pending: list[NDArray[np.int64]] = []  # offsets of packet blocks not yet handed on
        self._numbers: list[NDArray[np.int64]] = []  # their interfaces
        self._held = 0  # how many those are

    def __iter__(self) -> Iterator[PacketColumns]:
        ahead = self._ahead
        while True:
            offset = 0
            damage = None
            while ahead.end - offset >= 12:
                kind, length = self._block(offset)
                if length < 12 or length % 4 or length > ahead.longest:
                    damage = Undecodable.BAD_RECORD
                    break
                if offset + length > ahead.end:
                    break
                following = self._note_enhanced(offset) if kind == ENHANCED_PACKET else offset
                if following > offset:
                    offset = following
                    if self._held >= BLOCK_PACKETS:
                        yield from self._hand_on()
                    continue
                yield from self._visit(kind, offset, length)
                offset += length
            yield from self._hand_on()
            if damage is not None:
                yield self._ending(damage)
                return
            ahead.consume(offset)
            if not ahead.fill():
                break
        if ahead.end or ahead.is_broken:
            yield self._ending(Undecodable.CUT_OFF)

    def _ending(self, reason: Undecodable) -> PacketColumns:
        """The damage at the end of what could be read, told of the first interface, so that replay need not know another."""
        first = self._interfaces[0] if self._interfaces else None
        return PacketColumns.undecoded(first.name if first else "", first.latest_ns if first else 0, reason)

    def _block(self, offset: int) -> tuple[int, int]:
        """Type and total length of a block; a section header changes the byte order (section 4.1)."""
        buffer = self._ahead.buffer
        if buffer[offset : offset + 4].tobytes() == b"\x0a\x0d\x0d\x0a":
            order = _section_order(buffer[offset + 8 : offset + 12].tobytes())
            if order is None:
                return SECTION_HEADER, 0
            return SECTION_HEADER, int(struct.unpack_from(f"{order}I", self._ahead.memory, offset + 4)[0])
        kind, length = struct.unpack_from(f"{self._order}II", self._ahead.memory, offset)
        return kind, length

    def _visit(self, kind: int, offset: int, length: int) -> Iterator[PacketColumns]:
        if kind in (ENHANCED_PACKET, PACKET, SIMPLE_PACKET):
            yield from self._packet(kind, offset, length)
        elif kind == SECTION_HEADER:
            yield from self._hand_on()
            self._interfaces = []
            self._order = _section_order(self._ahead.buffer[offset + 8 : offset + 12].tobytes()) or "<"
        elif kind == INTERFACE_DESCRIPTION and length >= 20 and len(self._interfaces) < _MOST_INTERFACES:
            self._interfaces.append(self._described(offset, length))
        elif kind == INTERFACE_STATISTICS and length >= 24:
            yield from self._statistics(offset, length)

    def _packet(self, kind: int, offset: int, length: int) -> Iterator[PacketColumns]:
        """Note a packet block; hand its interface's packets on when there are enough."""
        number = 0
        fixed = 16 if kind == SIMPLE_PACKET else 32
        if kind != SIMPLE_PACKET:
            form = "H" if kind == PACKET else "I"
            number = struct.unpack_from(f"{self._order}{form}", self._ahead.memory, offset + 8)[0] if length >= fixed else 0
        if length < fixed or number >= len(self._interfaces):
            yield self._ending(Undecodable.BAD_RECORD)
            return
        self._note(np.array([offset], "i8"), np.array([number], "i8"))
        if self._held >= BLOCK_PACKETS:
            yield from self._hand_on()

    def _note(self, offset: NDArray[np.int64], number: NDArray[np.int64]) -> None:
        self._pending.append(offset)
        self._numbers.append(number)
        self._held += len(offset)

    def _note_enhanced(self, offset: int) -> int:
        """Note whole and sound Enhanced Packet Blocks from `offset` on, until there are enough; returns where that ended.

        Blocks of one length and interface are found a run at a time, as records are in `pcap_classic`; others one by one.
        """
        while self._held < BLOCK_PACKETS:
            numbers, following = self._follow(offset, 1)
            if not len(numbers):
                break
            stride = following - offset
            run = self._equal_blocks(offset, stride, BLOCK_PACKETS - self._held)
            self._note(offset + np.arange(run) * stride, np.repeat(numbers, run))
            offset += run * stride
            if run < _SHORT_RUN and self._held < BLOCK_PACKETS:
                _, offset = self._follow(offset, min(_WALKED, BLOCK_PACKETS - self._held), is_noted=True)
        return offset

    def _equal_blocks(self, offset: int, stride: int, most: int) -> int:
        """How many blocks, `most` at most, are of the type, length and interface of the one at `offset`."""
        memory = self._ahead.memory
        most = min(most, (self._ahead.end - offset) // stride)
        run, window = 0, _SHORT_RUN
        while run < most:
            window = min(8 * window, most - run)
            heads = np.ndarray((window, 3), f"{self._order}u4", memory, offset + run * stride, (stride, 4))
            differs = np.flatnonzero((heads != np.ndarray((3,), f"{self._order}u4", memory, offset)).any(axis=1))
            if len(differs):
                return run + int(differs[0])
            run += window
        return run

    def _follow(self, offset: int, most: int, *, is_noted: bool = False) -> tuple[NDArray[np.int64], int]:
        """Interfaces of at most so many whole and sound Enhanced Packet Blocks, and where the next block begins."""
        memory, last, longest, known = self._ahead.memory, self._ahead.end, self._ahead.longest, len(self._interfaces)
        unpack = struct.Struct(f"{self._order}III").unpack_from
        offsets: list[int] = []
        numbers: list[int] = []
        while offset + 12 <= last and len(offsets) < most:
            kind, length, number = unpack(memory, offset)
            if kind != ENHANCED_PACKET or number >= known or length < 32 or length % 4 or length > min(longest, last - offset):
                break
            offsets.append(offset)
            numbers.append(number)
            offset += length
        found = np.array(numbers, "i8")
        if is_noted and offsets:
            self._note(np.array(offsets, "i8"), found)
        return found, offset

    def _described(self, offset: int, length: int) -> _Interface:
        """An Interface Description Block (section 4.2)."""
        link_type, snap_length = struct.unpack_from(f"{self._order}H2xI", self._ahead.memory, offset + 8)
        options = self._options(offset + 16, offset + length - 4)
        number = len(self._interfaces)
        name = options.get(_IF_NAME, b"").split(b"\0")[0].decode("utf-8", "replace")
        resolution = options.get(_IF_TSRESOL, b"\x06")[:1]
        shift = options.get(_IF_TSOFFSET, b"")[:8]
        return _Interface(
            name=name or (f"interface-{number}" if number else ""),
            link_type=link_type,
            snap_length=snap_length or LONGEST_BLOCK,
            resolution=resolution[0] if resolution else 6,
            offset_s=struct.unpack(f"{self._order}q", shift)[0] if len(shift) == 8 else 0,
        )

    def _statistics(self, offset: int, length: int) -> Iterator[PacketColumns]:
        """An Interface Statistics Block (section 4.6): drops belong behind the packets before it."""
        number = struct.unpack_from(f"{self._order}I", self._ahead.memory, offset + 8)[0]
        told = self._options(offset + 20, offset + length - 4).get(_ISB_IFDROP, b"")
        if number >= len(self._interfaces) or len(told) < 8:
            return
        interface = self._interfaces[number]
        dropped = struct.unpack(f"{self._order}Q", told[:8])[0]
        new, interface.dropped = dropped - interface.dropped, dropped
        if 0 < new < 2**62:
            yield from self._hand_on()
            yield PacketColumns.empty(interface.name, dropped=new)

    def _options(self, start: int, end: int) -> dict[int, bytes]:
        """Options by code, the first of each (section 3.5)."""
        found: dict[int, bytes] = {}
        while start + 4 <= end:
            code, length = struct.unpack_from(f"{self._order}HH", self._ahead.memory, start)
            if code == _OPTION_END or start + 4 + length > end:
                break
            found.setdefault(code, self._ahead.buffer[start + 4 : start + 4 + length].tobytes())
            start += 4 + (length + 3) // 4 * 4
        return found

    def _hand_on(self) -> Iterator[PacketColumns]:
        """Decode what is pending: a block for each interface, cut at the seconds of event time where there are several."""
        if not self._held:
            return
        offset, number = np.concatenate(self._pending), np.concatenate(self._numbers)
        self._pending, self._numbers, self._held = [], [], 0
        frames = self._frames(offset, number)
        present = _distinct(number)
        if len(present) == 1:
            yield self._decoded(frames, self._interfaces[present[0]].name)
            return
        second = np.maximum.accumulate(frames.timestamp_ns // 1_000_000_000)
        for part in np.split(np.arange(len(offset)), np.flatnonzero(second[1:] != second[:-1]) + 1):
            for which in np.unique(number[part]).tolist():
                interface = self._interfaces[which]
                chosen = part[number[part] == which]
                yield self._decoded(replace(frames.at(chosen), link_type=interface.link_type), interface.name)

    def _decoded(self, frames: Frames, name: str) -> PacketColumns:
        return decode(frames if self._filter is None else self._filter.wanted(frames), name, tunnels=self._tunnels)

    def _frames(self, offset: NDArray[np.int64], number: NDArray[np.int64]) -> Frames:
        """Where the packets of these blocks lie, with the link type of the first."""
        row = rows_at(self._ahead.buffer, offset, 28).view(f"{self._order}u4")
        length = row[:, 1].astype("i8")
        is_simple = row[:, 0] == SIMPLE_PACKET
        wire = np.where(is_simple, row[:, 2], row[:, 6]).astype("u4")
        captured = np.where(is_simple, wire, row[:, 5]).astype("i8")
        ticks = (row[:, 3].astype("u8") << np.uint64(32)) | row[:, 4]
        timestamp = np.zeros(len(offset), "i8")
        for which in _distinct(number):
            interface = self._interfaces[which]
            own = number == which
            captured[own & is_simple] = np.minimum(captured[own & is_simple], interface.snap_length)
            time = _nanoseconds(ticks[own], interface)
            timed = np.maximum.accumulate(np.where(is_simple[own], -1, np.arange(len(time))))
            time = np.where(timed < 0, interface.latest_ns, time[timed])  # a Simple Packet Block has no time: that before it
            timestamp[own] = time
            interface.latest_ns = max(interface.latest_ns, int(time.max()))
        captured = np.minimum(captured, length - np.where(is_simple, 16, 32))  # never beyond the block
        data = offset + np.where(is_simple, 12, 28)
        frames = Frames(self._ahead.buffer, data, captured, wire, timestamp, self._interfaces[int(number[0])].link_type)
        behind = (captured + 35) & ~3  # as long as a block without options
        has_options = np.flatnonzero((length >= behind + _SEGMENTS_OPTION.itemsize) & (row[:, 0] == ENHANCED_PACKET))
        return self._with_segments(frames, has_options, offset + behind - 4) if len(has_options) else frames

    def _with_segments(self, frames: Frames, rows: NDArray[np.int64], options: NDArray[np.int64]) -> Frames:
        """The frames with what our option says of those at `rows`; `options` (n,) is where the options begin."""
        layout = _SEGMENTS_OPTION.newbyteorder("<" if self._order == "<" else ">")
        option = rows_at(self._ahead.buffer, options[rows], layout.itemsize).view(layout).reshape(-1)
        is_ours = (option["code"] == SEGMENTS) & (option["length"] == 8) & (option["signature"] == SEGMENTS_SIGNATURE)
        if not is_ours.any():
            return frames
        size, protocol = np.zeros(len(frames), "u2"), np.zeros(len(frames), "u1")
        size[rows[is_ours]] = option["size"][is_ours]
        protocol[rows[is_ours]] = option["protocol"][is_ours]
        return replace(frames, segment_size=size, segment_protocol=protocol)


def _distinct(number: NDArray[np.int64]) -> list[int]:
    """The interfaces among them; nearly always there is one."""
    first = int(number[0])
    return [first] if (number == first).all() else np.unique(number).tolist()


def _section_order(magic: bytes) -> str | None:
    for order in "<>":
        if len(magic) == 4 and struct.unpack(f"{order}I", magic)[0] == BYTE_ORDER_MAGIC:
            return order
    return None


def _nanoseconds(ticks: NDArray[np.uint64], interface: _Interface) -> NDArray[np.int64]:
    """Ticks of the interface's resolution as nanoseconds UTC; -1 where they do not fit (decoded as a bad timestamp)."""
    power = interface.resolution & 0x7F
    if interface.resolution & 0x80:
        whole, rest = (ticks >> np.uint64(min(power, 63))), ticks & np.uint64((1 << min(power, 63)) - 1)
        kept = min(power, 32)  # 32 bits of fraction are finer than a nanosecond
        fraction = ((rest >> np.uint64(min(power, 63) - kept)) * np.uint64(1_000_000_000)) >> np.uint64(kept)
    elif power <= 19:
        second = np.uint64(10**power)
        whole, rest = ticks // second, ticks % second
        fraction = rest * np.uint64(10 ** (9 - power)) if power <= 9 else rest // np.uint64(10 ** (power - 9))
    else:
        return np.full(len(ticks), -1, "i8")
    seconds = np.minimum(whole, np.uint64(2**33)).astype("i8") + max(-(2**33), min(interface.offset_s, 2**33))
    fits = (whole < 2**33) & (seconds >= 0) & (seconds < 2**33)
    return np.where(fits, np.where(fits, seconds, 0) * 1_000_000_000 + fraction.astype("i8"), -1)

"""Which flow a packet belongs to: the bidirectional Flow Key, its hash, and packets grouped by it.

The key is unordered endpoints (address and port), protocol, IP version, outer and inner VLAN. A packet's direction is reversed
when its source is the higher endpoint. Grouping sorts one 64-bit word per packet (version, 46 hash bits, direction, position), which also
yields time order inside a flow. Groups are then checked against the exact keys; when two flows share the 46 bits, an exact sort
takes the hash's place, so a collision costs time and never merges flows.
"""

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import PacketColumns

MOST_PACKETS = 65_536  # a position has 16 bits
_SIX_BIT = np.uint64(1 << 63)
_HASH_BITS = np.uint64(0xFFFF_FFFF_FFFE_0000)
_POSITION = np.uint64(0xFFFF)
IS_SIX = np.uint64(0x200)  # of `flow_class`: version 6
NO_SIX = np.zeros((3, 0), "u8")
NO_SIX.flags.writeable = False
_NUMBERS = np.arange(MOST_PACKETS, dtype="u8")


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """The flow key of each packet, exact. An IPv4 endpoint is one word; of IPv6, `low` and `high` are the lower endpoint's address."""

    hash: NDArray[np.uint64]  # (n,)
    low: NDArray[np.uint64]  # (n,) word of the lower endpoint; IPv6: the upper half of its address
    high: NDArray[np.uint64]  # (n,) word of the higher endpoint; IPv6: the lower half of the lower endpoint's address
    flow_class: NDArray[np.uint64]  # (n,) as in PacketColumns
    is_reversed: NDArray[np.bool_]  # (n,) the source is the higher endpoint
    six_position: NDArray[np.int64]  # (m,) packets that are IPv6
    six_far: NDArray[np.uint64]  # (3, m) the higher endpoint's address, and the ports: lower endpoint's | higher's << 16
    six_row: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, "i8"))  # (n,) which of the m; of IPv4 packets nothing

    def at(self, position: NDArray[np.int64]) -> "Keys":
        """The keys of some packets."""
        flow_class = self.flow_class.take(position)
        six = ((flow_class & IS_SIX) != 0).nonzero()[0] if len(self.six_position) else self.six_position
        row = np.empty(len(position) if len(six) else 0, "i8")
        row[six] = np.arange(len(six))
        return Keys(
            self.hash.take(position),
            self.low.take(position),
            self.high.take(position),
            flow_class,
            self.is_reversed.take(position),
            six,
            self.six_far.take(self.six_row[position[six]], axis=1) if len(six) else NO_SIX,
            row,
        )


class FlowHash:
    """Seeded multiply and xor-shift: who does not know the seed cannot make flows collide."""

    def __init__(self, seed: int | None) -> None:
        # Not numpy's generators: importing them costs a small box 7 MB for seven numbers.
        secret = os.urandom(16) if seed is None else seed.to_bytes(16)
        self._odd = tuple(np.frombuffer(hashlib.blake2b(secret, digest_size=7 * 8).digest(), "<u8") | np.uint64(1))

    def of(
        self,
        low: NDArray[np.uint64],
        high: NDArray[np.uint64],
        flow_class: NDArray[np.uint64],
        six: NDArray[np.int64],
        far: NDArray[np.uint64],
    ) -> NDArray[np.uint64]:
        """64 well-mixed bits of each key; `six` are the positions that are IPv6, `far` as `Keys.six_far`."""
        mixed = self.mix(low, high, flow_class)
        if len(six):
            near = self._fold(low.take(six), high.take(six), far[2] & np.uint64(0xFFFF))
            mixed[six] = self.mix(near, self._fold(far[0], far[1], far[2] >> np.uint64(16)), flow_class.take(six))
        return mixed

    def mix(self, low: NDArray[np.uint64], high: NDArray[np.uint64], flow_class: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """64 well-mixed bits of three words."""
        first, second, third, fourth = self._odd[:4]
        mixed: NDArray[np.uint64] = low * first
        mixed ^= mixed >> np.uint64(32)
        mixed += high
        mixed *= second
        mixed ^= mixed >> np.uint64(29)
        mixed += flow_class * third
        mixed *= fourth
        mixed ^= mixed >> np.uint64(32)
        return mixed

    def _fold(self, upper: NDArray[np.uint64], lower: NDArray[np.uint64], port: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """64 bits of an IPv6 endpoint."""
        folded: NDArray[np.uint64] = upper * self._odd[4]
        folded ^= folded >> np.uint64(31)
        folded += lower
        folded *= self._odd[5]
        folded ^= folded >> np.uint64(32)
        folded += port * self._odd[6]
        return folded

    def keys(self, packets: PacketColumns) -> Keys:
        """The key of every packet of a block."""
        source, destination, flow_class = packets.source_word, packets.destination_word, packets.flow_class
        is_reversed = source > destination
        low, high = np.minimum(source, destination), np.maximum(source, destination)
        six, far = packets.six_position, NO_SIX
        row = np.empty(len(low) if len(six) else 0, "i8")
        if len(six):
            near, far, is_reversed[six] = _six(packets.six_address, source.take(six), destination.take(six))
            low[six], high[six] = near
            row[six] = np.arange(len(six))
        return Keys(self.of(low, high, flow_class, six, far), low, high, flow_class, is_reversed, six, far, row)


def _six(
    address: NDArray[np.uint64], source_port: NDArray[np.uint64], destination_port: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.bool_]]:
    """The lower endpoint's address, the far words and the direction of IPv6 packets: endpoints in the order of address, then port."""
    from_upper, from_lower, to_upper, to_lower = address.T.copy()
    is_reversed = from_lower > to_lower
    tied = from_lower == to_lower
    if tied.any():
        is_reversed |= tied & (source_port > destination_port)
    is_reversed = (from_upper > to_upper) | ((from_upper == to_upper) & is_reversed)
    swapped = np.zeros(len(address), "u8")
    swapped -= is_reversed  # all bits, where the source is the higher endpoint
    near, far = np.empty((2, len(address)), "u8"), np.empty((3, len(address)), "u8")
    for number, (source, destination) in enumerate(((from_upper, to_upper), (from_lower, to_lower))):
        change = (source ^ destination) & swapped
        np.bitwise_xor(source, change, out=near[number])
        np.bitwise_xor(destination, change, out=far[number])
    change = (source_port ^ destination_port) & swapped
    np.bitwise_or(source_port ^ change, (destination_port ^ change) << np.uint64(16), out=far[2])
    return near, far, is_reversed


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Packets of a block, all or some, by flow and direction. A half is those of one flow in one direction, in capture order."""

    order: NDArray[np.int64]  # (n,) packet positions, half by half
    half_start: NDArray[np.int64]  # (halves,) where each half begins in `order`
    half_end: NDArray[np.int64]  # (halves,) its last place in `order`
    half_reversed: NDArray[np.int64]  # (halves,) 0 or 1
    half_of: NDArray[np.int64]  # (n,) half of each place in `order`
    flow_half: NDArray[np.int64]  # (flows,) first half of each flow
    flow_last: NDArray[np.int64]  # (flows,) its last half: the same one or the next
    flow_of: NDArray[np.int64]  # (halves,) flow of each half

    @property
    def first_packet(self) -> NDArray[np.int64]:
        """(flows,) position of each flow's first packet in the block."""
        return self.over_halves(np.minimum, self.order.take(self.half_start))

    def over_halves(self, extreme: np.ufunc, of_half: NDArray[Any]) -> NDArray[Any]:
        """(flows,) `extreme` of what each flow's one or two halves have."""
        found: NDArray[Any] = extreme(of_half.take(self.flow_half), of_half.take(self.flow_last))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class GroupedPackets:
    """Packets, and the grouping of all or some of them: the others are no part of this."""

    packets: PacketColumns
    grouping: Grouping
    tcp_control_bits: NDArray[np.uint8]  # (n,) in the order of the grouping

    @classmethod
    def of(cls, packets: PacketColumns, grouping: Grouping) -> "GroupedPackets":
        return cls(packets, grouping, packets.tcp_control_bits.take(grouping.order, mode="wrap"))

    def part(self, place: NDArray[np.int64], flow: NDArray[np.int64]) -> "Part":
        """Only the packets at `place` (k,) in the grouping's order, which also is the order of `flow` (k,), direction and capture."""
        is_reversed = self.grouping.half_reversed.take(self.grouping.half_of.take(place))
        grouping = regroup(self.grouping.order.take(place), flow, is_reversed)
        block = GroupedPackets(self.packets, grouping, self.tcp_control_bits.take(place))
        return Part(block, flow.take(grouping.half_start.take(grouping.flow_half)))

    def half_of_packets(self) -> NDArray[np.int64]:
        """(packets,) half of each packet, in capture order; -1: none."""
        half = np.full(len(self.packets), -1, "i8")
        half[self.grouping.order] = self.grouping.half_of
        return half


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some packets of a block, grouped, and the flows of the whole that they belong to."""

    block: GroupedPackets
    flow: NDArray[np.int64]  # (flows,)


def group(keys: Keys) -> tuple[Grouping, bool]:
    """Group at least one and at most MOST_PACKETS packets by key; also whether the exact path was needed."""
    count = len(keys.hash)
    word = keys.hash >> np.uint64(1)
    if len(keys.six_position):
        word[keys.six_position] |= _SIX_BIT  # a hash shared across versions is no collision, and IPv6 comes last
    word &= _HASH_BITS
    word |= _NUMBERS[:count]
    direction = word.view("u1")[2::8]  # of every word the octet above the position: a third faster than to widen and shift
    direction |= keys.is_reversed.view("u1")
    word.sort()
    order = (word & _POSITION).view("i8")
    word >>= np.uint64(16)
    begins_half = np.empty(count, "?")
    begins_half[0] = True
    np.not_equal(word[1:], word[:-1], out=begins_half[1:])
    begins_flow = begins_half.copy()
    halves = begins_half.nonzero()[0]
    upper = word.take(halves)
    half_reversed = (upper & np.uint64(1)).view("i8")
    upper >>= np.uint64(1)
    begins_flow[halves[1:]] = upper[1:] != upper[:-1]
    if _is_exact(keys, order, begins_flow):
        return _bounds(half_reversed, order, begins_half, halves, begins_flow), False
    return _group_exactly(keys), True


def _bounds(
    half_reversed: NDArray[np.int64],
    order: NDArray[np.int64],
    begins_half: NDArray[np.bool_],
    halves: NDArray[np.int64],
    begins_flow: NDArray[np.bool_],
) -> Grouping:
    ends = np.empty_like(halves)
    ends[:-1] = halves[1:] - 1
    ends[-1] = len(order) - 1
    half_of = np.cumsum(begins_half, dtype="i8")
    half_of -= 1
    is_flow = begins_flow[halves]
    flow_of = np.cumsum(is_flow, dtype="i8")
    flow_of -= 1
    flow_half = is_flow.nonzero()[0]
    flow_last = np.empty_like(flow_half)
    flow_last[:-1] = flow_half[1:]
    flow_last[-1] = len(halves)
    flow_last -= 1
    return Grouping(order, halves, ends, half_reversed, half_of, flow_half, flow_last, flow_of)


def _is_exact(keys: Keys, order: NDArray[np.int64], begins_flow: NDArray[np.bool_]) -> bool:
    """Whether neighbours that share a flow's hash bits really share its key."""
    flow_class = keys.flow_class.take(order, mode="wrap")
    differs = flow_class[1:] != flow_class[:-1]
    for column in (keys.low, keys.high):
        ordered = column.take(order, mode="wrap")
        differs |= ordered[1:] != ordered[:-1]
    if (differs > begins_flow[1:]).any():
        return False
    if not len(keys.six_position):
        return True
    first = len(order) - len(keys.six_position)
    row = keys.six_row.take(order[first:])
    differs = np.zeros(len(row) - 1, "?")
    for column in keys.six_far:
        ordered = column.take(row)
        differs |= ordered[1:] != ordered[:-1]
    return not (differs > begins_flow[first + 1 :]).any()


def _group_exactly(keys: Keys) -> Grouping:
    """The same grouping by the keys themselves: slower, and right whatever the hash does."""
    far = np.zeros((3, len(keys.low)), "u8")
    far[:, keys.six_position] = keys.six_far
    columns = [*far, keys.low, keys.high, keys.flow_class]
    order = np.lexsort((keys.is_reversed, *columns))  # stable: capture order inside a half
    begins_flow = np.ones(len(order), "?")
    begins_flow[1:] = False
    for column in columns:
        ordered = column[order]
        begins_flow[1:] |= ordered[1:] != ordered[:-1]
    direction = keys.is_reversed[order]
    begins_half = begins_flow.copy()
    begins_half[1:] |= direction[1:] != direction[:-1]
    halves = np.flatnonzero(begins_half)
    return _bounds(direction[halves].astype("i8"), order.astype("i8"), begins_half, halves, begins_flow)


def regroup(order: NDArray[np.int64], flow: NDArray[np.int64], is_reversed: NDArray[np.int64]) -> Grouping:
    """The grouping of packets (n,) that stand in the order of `flow`, direction and capture already."""
    begins_flow = np.append(True, flow[1:] != flow[:-1])
    begins_half = begins_flow | np.append(True, is_reversed[1:] != is_reversed[:-1])
    halves = np.flatnonzero(begins_half)
    return _bounds(is_reversed[halves], order, begins_half, halves, begins_flow)

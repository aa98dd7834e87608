"""Which flow a packet belongs to: the bidirectional Flow Key, its hash, and packets grouped by it.

The key is unordered endpoints (address and port), protocol, IP version, outer and inner VLAN. A packet's direction is reversed
when its source is the higher endpoint. Grouping sorts one 64-bit word per packet (47 hash bits, direction, position), which also
yields time order inside a flow. Groups are then checked against the exact keys; when two flows share the 47 bits, an exact sort
takes the hash's place, so a collision costs time and never merges flows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import PacketColumns

MOST_PACKETS = 65_536  # a position has 16 bits
_HASH_BITS = np.uint64(0xFFFF_FFFF_FFFE_0000)
_POSITION = np.uint64(0xFFFF)
_NUMBERS = np.arange(MOST_PACKETS, dtype="u8")


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """The flow key of each packet. IPv4 is exact in `low` and `high`; IPv6 in `six_exact`, for which `low` and `high` are hashes."""

    hash: NDArray[np.uint64]  # (n,)
    low: NDArray[np.uint64]  # (n,) word of the lower endpoint
    high: NDArray[np.uint64]  # (n,)
    flow_class: NDArray[np.uint64]  # (n,) as in PacketColumns
    is_reversed: NDArray[np.bool_]  # (n,) the source is the higher endpoint
    six_position: NDArray[np.int64]  # (m,) packets that are IPv6
    six_exact: NDArray[np.uint64]  # (m, 5) lower address, higher address, ports

    def at(self, position: NDArray[np.int64]) -> "Keys":
        """The keys of some packets."""
        six = np.flatnonzero((self.flow_class[position] & np.uint64(0x200)) != 0)
        where = np.searchsorted(self.six_position, position[six])
        return Keys(
            self.hash[position],
            self.low[position],
            self.high[position],
            self.flow_class[position],
            self.is_reversed[position],
            six,
            self.six_exact[where],
        )


class FlowHash:
    """Seeded multiply and xor-shift: who does not know the seed cannot make flows collide."""

    def __init__(self, seed: int | None) -> None:
        odd = np.random.default_rng(seed).integers(0, 2**63, 7, "u8") * np.uint64(2) + np.uint64(1)
        self._odd = tuple(odd)

    def mix(self, low: NDArray[np.uint64], high: NDArray[np.uint64], flow_class: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """64 well-mixed bits of a key."""
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
        source, destination = packets.source_word, packets.destination_word
        is_reversed = source > destination
        low, high = np.minimum(source, destination), np.maximum(source, destination)
        six = packets.six_position
        exact = np.zeros((len(six), 5), "u8")
        if len(six):
            exact, low[six], high[six], is_reversed[six] = self._six(packets.six_address, source[six], destination[six])
        return Keys(self.mix(low, high, packets.flow_class), low, high, packets.flow_class, is_reversed, six, exact)

    def _six(
        self, address: NDArray[np.uint64], source_port: NDArray[np.uint64], destination_port: NDArray[np.uint64]
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.bool_]]:
        """Exact keys, folded words and directions of IPv6 packets: endpoints in the order of address, then port."""
        from_upper, from_lower, to_upper, to_lower = address.T
        is_reversed = (from_upper > to_upper) | (
            (from_upper == to_upper) & ((from_lower > to_lower) | ((from_lower == to_lower) & (source_port > destination_port)))
        )
        exact = np.empty((len(address), 5), "u8")
        exact[:, :4] = np.where(is_reversed[:, None], address[:, [2, 3, 0, 1]], address)
        low_port = np.where(is_reversed, destination_port, source_port)
        high_port = np.where(is_reversed, source_port, destination_port)
        exact[:, 4] = low_port | (high_port << np.uint64(16))
        low = self._fold(exact[:, 0], exact[:, 1], low_port)
        high = self._fold(exact[:, 2], exact[:, 3], high_port)
        return exact, low, high, is_reversed


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Packets of a block by flow and direction. A half is the packets of one flow in one direction, in capture order."""

    order: NDArray[np.int64]  # (n,) packet positions, half by half
    half_start: NDArray[np.int64]  # (halves,) where each half begins in `order`
    half_end: NDArray[np.int64]  # (halves,) its last place in `order`
    half_reversed: NDArray[np.int64]  # (halves,) 0 or 1
    half_of: NDArray[np.int64]  # (n,) half of each place in `order`
    flow_half: NDArray[np.int64]  # (flows,) first half of each flow
    flow_of: NDArray[np.int64]  # (halves,) flow of each half

    @property
    def first_packet(self) -> NDArray[np.int64]:
        """(flows,) position of each flow's first packet in the block."""
        first: NDArray[np.int64] = np.minimum.reduceat(self.order[self.half_start], self.flow_half)
        return first


def group(keys: Keys) -> tuple[Grouping, bool]:
    """Group at least one and at most MOST_PACKETS packets by key; also whether the exact path was needed."""
    count = len(keys.hash)
    word = keys.hash & _HASH_BITS
    word |= _NUMBERS[:count]
    word |= keys.is_reversed.astype("u8") << np.uint64(16)
    word.sort()
    order = (word & _POSITION).astype("i8")
    word >>= np.uint64(16)
    begins_half = np.empty(count, "?")
    begins_half[0] = True
    np.not_equal(word[1:], word[:-1], out=begins_half[1:])
    begins_flow = begins_half.copy()
    halves = np.flatnonzero(begins_half)
    upper = word[halves] >> np.uint64(1)
    begins_flow[halves[1:]] = upper[1:] != upper[:-1]
    if _is_exact(keys, order, begins_flow):
        return _bounds(keys, order, begins_half, halves, begins_flow), False
    return _group_exactly(keys), True


def _bounds(
    keys: Keys,
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
    reversed_half = keys.is_reversed[order[halves]].astype("i8")
    return Grouping(order, halves, ends, reversed_half, half_of, np.flatnonzero(is_flow), flow_of)


def _is_exact(keys: Keys, order: NDArray[np.int64], begins_flow: NDArray[np.bool_]) -> bool:
    """Whether neighbours that share a flow's hash bits really share its key."""
    differs = np.zeros(len(order) - 1, "?")
    for column in (keys.low, keys.high, keys.flow_class):
        ordered = column[order]
        differs |= ordered[1:] != ordered[:-1]
    if (differs & ~begins_flow[1:]).any():
        return False
    if not len(keys.six_position):
        return True
    row = np.full(len(order), -1, "i8")
    row[keys.six_position] = np.arange(len(keys.six_position))
    row = row[order]
    place = np.flatnonzero(row >= 0)  # neighbours of one flow are neighbours among these too
    exact = keys.six_exact[row[place]]
    return not ((exact[1:] != exact[:-1]).any(axis=1) & ~begins_flow[place[1:]]).any()


def _group_exactly(keys: Keys) -> Grouping:
    """The same grouping by the keys themselves: slower, and right whatever the hash does."""
    exact = np.zeros((len(keys.low), 5), "u8")
    exact[keys.six_position] = keys.six_exact
    columns = [*exact.T, keys.low, keys.high, keys.flow_class]
    order = np.lexsort((keys.is_reversed, *columns))  # stable: capture order inside a half
    begins_flow = np.ones(len(order), "?")
    begins_flow[1:] = False
    for column in columns:
        ordered = column[order]
        begins_flow[1:] |= ordered[1:] != ordered[:-1]
    direction = keys.is_reversed[order]
    begins_half = begins_flow.copy()
    begins_half[1:] |= direction[1:] != direction[:-1]
    return _bounds(keys, order.astype("i8"), begins_half, np.flatnonzero(begins_half), begins_flow)

"""Where a connection begins on the ports of one that has closed: a SYN without ACK after FIN from both sides or RST from one.

Decided packet by packet, also inside one block: what a packet does to a connection is a map of its four states, maps compose, and a
running composition gives the state before every packet at once. So a sender who opens and resets all day costs no more than others.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netmote.metering.flow_key import GroupedPackets, Part
from netmote.metering.flow_rows import FlowRows
from netmote.records.flow import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN

# States: FIN of the lower endpoint | FIN of the higher one << 1; closed is both, or a RST.
_CLOSED = 3
_STATES = np.arange(4, dtype="u1")
_CONSTANT = np.uint8(0b01_01_01_01)  # times a state: the map that always leads there


@dataclass(frozen=True, slots=True, eq=False)
class Reopenings:
    """The `k` packets of a block that begin a connection anew, in the order of flow and capture."""

    flow: NDArray[np.int64]  # (k,) of the block's grouping
    position: NDArray[np.int64]  # (k,) in the block

    def __len__(self) -> int:
        return len(self.flow)

    @property
    def is_last(self) -> NDArray[np.bool_]:
        """(k,) no other follows in its flow."""
        return np.append(self.flow[1:] != self.flow[:-1], True)


def reopenings(table: FlowRows, block: GroupedPackets, row: NDArray[np.int64], *, most: int) -> Reopenings | None:
    """The first `most` packets of a block that begin a connection anew; None where there are none.

    `row` (flows,) are the table's rows.
    """
    grouping, bits = block.grouping, block.tcp_control_bits
    syn = ((bits & (TCP_SYN | TCP_ACK)) == TCP_SYN).nonzero()[0]
    if not len(syn) or most <= 0:
        return None
    flow_of = grouping.flow_of
    may_close = np.zeros(len(row), "?")
    may_close[flow_of[grouping.half_of[np.flatnonzero((bits & (TCP_FIN | TCP_RST)) != 0)]]] = True
    opened = flow_of.take(grouping.half_of.take(syn))
    state = np.zeros(len(row), "u1")  # before the block, of the flows opened in it
    lives = table.control_bits[2 * row[opened, None] + (0, 1), 1]
    state[opened] = _state_of(lives[:, 0], _STATES[0]) | _state_of(lives[:, 1], _STATES[1])
    concerned = np.zeros(len(row), "?")
    concerned[opened] = may_close[opened] | (state[opened] == _CLOSED)
    place = np.flatnonzero((bits & (TCP_SYN | TCP_FIN | TCP_RST)) != 0)
    half = grouping.half_of[place]
    place, half = (column[concerned[flow_of[half]]] for column in (place, half))
    if not len(place):
        return None
    order = np.argsort(_key(flow_of[half], grouping.order[place]))
    place, half = place[order], half[order]
    flow, flags = flow_of[half], bits[place]
    is_syn = (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN
    before = _states_before(flow, is_syn, _state_of(flags, grouping.half_reversed[half].astype("u1")), state[flow])
    again = np.flatnonzero(is_syn & (before == _CLOSED))
    if not len(again):
        return None
    position = grouping.order[place[again]]
    if len(again) > most:
        first = np.sort(np.argsort(position)[:most])
        again, position = again[first], position[first]
    return Reopenings(flow[again], position)


def _state_of(flags: NDArray[np.uint8], side: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What these flags of one side make of an open connection."""
    state: NDArray[np.uint8] = np.where((flags & TCP_RST) != 0, np.uint8(_CLOSED), np.uint8(0))
    state |= (flags & TCP_FIN) << side
    return state


def _key(flow: NDArray[np.int64], position: NDArray[np.int64]) -> NDArray[np.int64]:
    key: NDArray[np.int64] = (flow << 16) | position
    return key


def _states_before(
    flow: NDArray[np.int64], is_syn: NDArray[np.bool_], adds: NDArray[np.uint8], state: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """(n,) the state of the connection before each packet; `state` is the one before the block."""
    maps = np.zeros(len(flow), "u1")  # two bits for what becomes of each state
    for number in _STATES:
        begun = np.where(is_syn & (number == _CLOSED), 0, number).astype("u1")
        maps |= (begun | adds) << np.uint8(2 * number)
    begins = np.append(True, flow[1:] != flow[:-1])
    first = np.flatnonzero(begins)
    maps[first] = ((maps[first] >> (2 * state[first])) & np.uint8(3)) * _CONSTANT
    longest, step = int(np.diff(first, append=len(flow)).max()), 1
    while step < longest:
        maps[step:] = _composed(maps[:-step], maps[step:])
        step *= 2
    before = np.empty_like(state)
    before[1:] = maps[:-1] & np.uint8(3)
    before[first] = state[first]
    return before


def _composed(one: NDArray[np.uint8], then: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The map that does `one`, then `then`."""
    both = np.zeros_like(one)
    for number in _STATES:
        between = (one >> np.uint8(2 * number)) & np.uint8(3)
        both |= ((then >> (2 * between)) & np.uint8(3)) << np.uint8(2 * number)
    return both


def split(block: GroupedPackets, found: Reopenings) -> tuple[Part | None, GroupedPackets]:
    """The packets before any reopening of their flow, None if there are none, and the rest: there, flow `k` is what `k` began."""
    grouping = block.grouping
    is_reversed = grouping.half_reversed[grouping.half_of]
    flow = grouping.flow_of[grouping.half_of]
    count = np.zeros(len(grouping.flow_half), "i8")
    np.add.at(count, found.flow, 1)
    before = np.cumsum(count) - count  # reopenings of the flows in front
    number = np.searchsorted(_key(found.flow, found.position), _key(flow, grouping.order), side="right")
    is_later = number > before[flow]
    later = np.flatnonzero(is_later)
    later = later[np.lexsort((grouping.order[later], is_reversed[later], number[later]))]
    earlier = np.flatnonzero(~is_later)
    rest = block.part(later, number[later] - 1).block
    return (block.part(earlier, flow[earlier]) if len(earlier) else None), rest

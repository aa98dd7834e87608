"""Retransmission hints of a grouped block: TCP payload that begins before what its direction had already brought.

Each half keeps the highest next expected sequence number, in the serial arithmetic of RFC 9293 section 3.4 (a number lies before
another when their difference, modulo 2^32, is 2^31 or more). Of a stream in order every packet begins where the one before it ended,
which costs a comparison. Where one does not, it and the few behind it are unwrapped and followed by a running maximum; where order is
not back by then, all the rest of the half is. Where that is not surely what packet by packet would find (numbers that jump about by
2^31, which no stream does), one number is followed packet by packet, through all such halves at once. So who chooses the numbers
chooses between four costs a packet, each of them a constant: none grows with how many halves there are, or with how long they are.
"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import CoalescedColumns, PacketColumns
from netmote.metering.flow_key import Grouping
from netmote.metering.flow_rows import RETRANSMISSIONS, FlowRows

_HALF_CIRCLE = 1 << 31
_WRAP = 0xFFFF_FFFF
_BEGIN = 1 << 32
_SETTLED = 4  # packets from an odd one on in which most streams are in order again
_FURTHEST, _APART = 1 << 40, np.int64(43)  # beyond any stream; streams are told apart above it


def count_retransmissions(table: FlowRows, packets: PacketColumns, grouping: Grouping, half_row: NDArray[np.int64]) -> None:
    """Count the hints of a block in `table`, and keep there what is expected next. `half_row` (halves,) is each half's row in the table."""
    length = packets.tcp_payload_octets.take(grouping.order, mode="wrap")
    place = (length != 0).nonzero()[0]
    if not len(place):
        return
    position = grouping.order.take(place)
    wide, weight = length.take(place).astype("u4"), None
    if len(packets.coalesced):
        extra, weights = _coalesced(packets, packets.coalesced)
        wide += extra.take(position)
        weight = weights.take(position)
    streams = _Streams(packets.tcp_sequence.take(position), wide, grouping.half_of.take(place))
    row = half_row.take(streams.half.take(streams.first))
    again, newest = streams.follow(table.expected.take(row))
    table.expected[row] = newest
    if len(again):
        row = half_row.take(streams.half.take(again))
        counters = table.counters.reshape(-1)  # one index a packet: numpy adds by two with five times the work
        column = (row >> 1) * table.counters.shape[1] + (row & 1) + RETRANSMISSIONS
        np.add.at(counters, column, np.ones(len(again), "u4") if weight is None else weight.take(again))


def _coalesced(packets: PacketColumns, coalesced: CoalescedColumns) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """(n,) payload octets beyond the row's own, and (n,) how many packets each is."""
    extra, weight = np.zeros(len(packets), "u4"), np.ones(len(packets), "u4")
    at = coalesced.position
    header = packets.ip_total_length[at].astype("i8") - packets.tcp_payload_octets[at]
    extra[at] = np.maximum(coalesced.extra_octets - header * coalesced.extra_packets, 0)
    weight[at] += coalesced.extra_packets
    return extra, weight


class _Streams:
    """The packets with payload of each half, in capture order."""

    def __init__(self, sequence: NDArray[np.uint32], length: NDArray[np.uint32], half: NDArray[np.int64]) -> None:
        self.sequence, self.length, self.half = sequence, length, half
        begins = np.empty(len(half), "?")
        begins[0] = True
        np.not_equal(half[1:], half[:-1], out=begins[1:])
        self.first = begins.nonzero()[0]
        self.stop = np.append(self.first[1:], len(half))

    def stream_of(self, place: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which stream each of these packets belongs to."""
        if len(place) * 16 < len(self.half):
            return np.searchsorted(self.first, place, side="right") - 1
        number = np.zeros(len(self.half), "i8")
        number[self.first[1:]] = 1
        return np.cumsum(number, out=number).take(place)

    def follow(self, expected: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """The packets that come again, and what each stream expects next; `expected` (streams,) before, 0: unknown."""
        end = self.sequence + self.length
        ahead = np.empty(len(end), "u4")  # of where the packet before ended
        np.subtract(self.sequence[1:], end[:-1], out=ahead[1:])
        ahead[self.first] = np.where(expected == 0, 0, self.sequence.take(self.first) - expected)
        newest = end.take(self.stop - 1)
        ahead += self.length  # no carry where it matters: a length is small against the circle
        odd = ((ahead >= _HALF_CIRCLE) | (ahead < self.length)).nonzero()[0]
        if not len(odd):
            return odd, newest
        pieces = _pieces(odd, self.stream_of(odd), self.stop)
        before = self._before(pieces, end, expected)
        again, ends, is_sure = _unwrapped(self, pieces, before)
        # Behind a piece its stream is in order again where its last packet is the furthest, or nothing is behind it.
        is_last = pieces.stop == self.stop.take(pieces.stream)
        is_settled = is_last | (ends == end.take(pieces.stop - 1))
        if is_sure is not None:
            is_settled &= is_sure
        newest[pieces.stream[is_last]] = ends[is_last]
        if is_settled.all():
            return pieces.places()[again], newest
        unsettled = np.zeros(len(newest), "?")
        unsettled[pieces.stream[~is_settled]] = True
        again &= ~np.repeat(unsettled.take(pieces.stream), pieces.counts)
        found = [pieces.places()[again], self._follow_to_the_end(pieces.whole(unsettled, self.stop), end, expected, newest)]
        return np.concatenate(found), newest

    def _before(self, pieces: "_Pieces", end: NDArray[np.uint32], expected: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """(pieces,) what was expected before the first packet of each; those before it in its stream were in order."""
        is_first = pieces.begin == self.first.take(pieces.stream)
        return np.where(is_first, expected.take(pieces.stream), end.take(pieces.begin - 1))

    def _follow_to_the_end(
        self, pieces: "_Pieces", end: NDArray[np.uint32], expected: NDArray[np.uint32], newest: NDArray[np.uint32]
    ) -> NDArray[np.int64]:
        """The packets that come again in pieces that each are the rest of a stream; what is expected then goes into `newest`."""
        before, place = self._before(pieces, end, expected), pieces.places()
        again, ends, is_sure = _unwrapped(self, pieces, before)
        newest[pieces.stream] = ends
        if is_sure is not None:
            unsure = np.flatnonzero(~is_sure)
            chosen = np.flatnonzero(np.repeat(~is_sure, pieces.counts))
            at, counts = place.take(chosen), pieces.counts.take(unsure)
            again[chosen], ends = _one_by_one(self.sequence.take(at), self.length.take(at), counts, before.take(unsure))
            newest[pieces.stream.take(unsure)] = ends
        return place[again]


@dataclass(frozen=True, slots=True, eq=False)
class _Pieces:
    """Packets of streams that are followed: places `begin` to `stop` of each of these streams, in order, none in two pieces."""

    stream: NDArray[np.int64]
    begin: NDArray[np.int64]
    stop: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        return self.stop - self.begin

    @property
    def first(self) -> NDArray[np.int64]:
        """Where each begins among all their packets."""
        return np.cumsum(self.counts) - self.counts

    def places(self) -> NDArray[np.int64]:
        """Every packet of them."""
        place: NDArray[np.int64] = np.repeat(self.begin - self.first, self.counts)
        place += np.arange(len(place))
        return place

    def whole(self, wanted: NDArray[np.bool_], stop: NDArray[np.int64]) -> "_Pieces":
        """Of each stream that is `wanted` (streams,), one piece from its first one on to its `stop` (streams,)."""
        is_first = np.append(True, self.stream[1:] != self.stream[:-1]) & wanted.take(self.stream)
        stream = self.stream[is_first]
        return _Pieces(stream, self.begin[is_first], stop.take(stream))


def _pieces(odd: NDArray[np.int64], stream: NDArray[np.int64], stop: NDArray[np.int64]) -> _Pieces:
    """From each odd packet on as far as order is likely to be back, and no further than its stream (`stream` of each, and its `stop`)."""
    begins = np.empty(len(odd), "?")
    begins[0] = True
    begins[1:] = (odd[1:] - odd[:-1] >= _SETTLED) | (stream[1:] != stream[:-1])
    first = begins.nonzero()[0]
    last = np.append(first[1:], len(odd)) - 1
    stream = stream.take(first)
    return _Pieces(stream, odd.take(first), np.minimum(odd.take(last) + _SETTLED, stop.take(stream)))


def _unwrapped(
    streams: _Streams, pieces: _Pieces, expected: NDArray[np.uint32]
) -> tuple[NDArray[np.bool_], NDArray[np.uint32], NDArray[np.bool_] | None]:
    """(n,) whether each packet comes again, (pieces,) what is expected next, (pieces,) whether that is sure, None: of all."""
    place, first, counts = pieces.places(), pieces.first, pieces.counts
    sequence, length = streams.sequence.take(place), streams.length.take(place)
    base = np.where(expected == 0, sequence.take(first), expected)
    step = np.empty(len(sequence), "u4")
    np.subtract(sequence[1:], sequence[:-1], out=step[1:])
    step[first] = sequence.take(first) - base
    moved = np.cumsum(step.view("i4"), dtype="i8")
    stream = np.repeat(np.arange(len(first)), counts)
    begin = moved - (moved.take(first) - step.view("i4").take(first)).take(stream)  # octets after `base`
    is_near = True
    if max(int(begin.max()), -int(begin.min())) > _FURTHEST:
        is_near = np.abs(begin) <= _FURTHEST
        np.clip(begin, -_FURTHEST, _FURTHEST, out=begin)
    apart = stream << _APART
    stop = begin + length
    seen = np.empty_like(begin)  # the end of the packet before; at first, `base`
    np.add(stop[:-1], apart[:-1], out=seen[1:])
    seen[first] = apart.take(first)
    highest = np.maximum.accumulate(seen)
    highest -= apart
    ahead = begin - highest
    is_sure = (ahead >= -_HALF_CIRCLE) & (stop - highest < _HALF_CIRCLE) & is_near
    is_sure &= (base.take(stream) + highest.astype("u4")) != 0
    again = (ahead < 0) & ~((length == 1) & (ahead == -1))
    last = first + counts - 1
    newest = base + np.maximum(highest.take(last), stop.take(last)).astype("u4")
    return again, newest, None if is_sure.all() else np.logical_and.reduceat(is_sure, first)


def _one_by_one(
    sequence: NDArray[np.uint32], length: NDArray[np.uint32], counts: NDArray[np.int64], expected: NDArray[np.uint32]
) -> tuple[NDArray[np.bool_], NDArray[np.uint32]]:
    """The same of streams of `counts` packets, as it is defined; what is expected is a number a packet, the rest is columns."""
    last = np.cumsum(counts + 1) - 1  # of each stream, in front of which stands what was expected before
    steps = np.zeros(len(sequence) + len(counts), "i8")
    begin = last - counts
    steps[begin] = expected | np.int64(_BEGIN)
    is_packet = np.ones(len(steps), "?")
    is_packet[begin] = False
    own = np.flatnonzero(is_packet)
    steps[own] = sequence + length
    known = np.array(list(accumulate(steps.tolist(), _next)), "i8").astype("u4")
    before = known.take(own - 1)
    ahead = sequence - before
    again: NDArray[np.bool_] = (before != 0) & (ahead >= _HALF_CIRCLE)
    again &= (length != 1) | (ahead != _WRAP)
    return again, known.take(last)


def _next(expected: int, end: int) -> int:
    """What is expected after a packet that ends at `end`; a number of _BEGIN or more begins a stream."""
    return end if (end - expected) & _WRAP < _HALF_CIRCLE or end > _WRAP or not expected & _WRAP else expected

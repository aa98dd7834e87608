"""Retransmission hints of a grouped block: TCP payload that begins before what its direction had already brought.

Each half keeps the highest next expected sequence number, in the serial arithmetic of RFC 9293 section 3.4 (a number lies before
another when their difference, modulo 2^32, is 2^31 or more). Of a stream in order every packet begins where the one before it ended,
which costs a comparison. Where one does not, the half's numbers are unwrapped and followed by a running maximum; where that is not
surely what packet by packet would find (numbers that jump about by 2^31, which no stream does), its packets are followed one by one.
"""

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import CoalescedColumns, PacketColumns
from netmote.metering.flow_key import Grouping
from netmote.metering.flow_rows import RETRANSMISSIONS, FlowRows

_HALF_CIRCLE = 1 << 31
_WRAP = 0xFFFF_FFFF
_FURTHEST, _APART = 1 << 40, np.int64(43)  # beyond any stream; streams are told apart above it


def count_retransmissions(
    table: FlowRows, flows: NDArray[np.void], packets: PacketColumns, grouping: Grouping, half_row: NDArray[np.int64]
) -> None:
    """Count the hints of a block in `table`, and keep what is expected next in `flows` (flows,) FLOW_ROW.

    `half_row` (halves,) is each half's row in the table, negative where its flow is refused.
    """
    length = packets.tcp_payload_octets.take(grouping.order, mode="wrap")
    place = np.flatnonzero(length != 0)
    if not len(place):
        return
    position = grouping.order.take(place)
    wide, weight = length.take(place).astype("u4"), None
    if len(packets.coalesced):
        extra, weights = _coalesced(packets, packets.coalesced)
        wide += extra.take(position)
        weight = weights.take(position)
    streams = _Streams(packets.tcp_sequence.take(position), wide, grouping.half_of.take(place))
    half = streams.half.take(streams.first)
    flow, side = grouping.flow_of.take(half), grouping.half_reversed.take(half)
    expected = flows["expected"]
    again, newest = streams.follow(expected[flow, side])
    expected[flow, side] = newest
    if len(again):
        row = half_row.take(streams.half.take(again))
        again, row = again[row >= 0], row[row >= 0]
        amount = 1 if weight is None else weight.take(again)
        np.add.at(table.counters, (row >> 1, RETRANSMISSIONS + (row & 1)), np.uint32(amount))


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
        self.first = np.flatnonzero(begins)

    def stream_of(self, place: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which stream each of these packets belongs to."""
        return np.searchsorted(self.first, place, side="right") - 1

    def follow(self, expected: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """The packets that come again, and what each stream expects next; `expected` (streams,) before, 0: unknown."""
        end = self.sequence + self.length
        ahead = np.empty(len(end), "u4")  # of where the packet before ended
        np.subtract(self.sequence[1:], end[:-1], out=ahead[1:])
        ahead[self.first] = np.where(expected == 0, 0, self.sequence.take(self.first) - expected)
        newest = end.take(np.append(self.first[1:], len(end)) - 1)
        ahead += self.length  # no carry where it matters: a length is small against the circle
        odd = np.flatnonzero((ahead >= _HALF_CIRCLE) | (ahead < self.length))
        if not len(odd):
            return odd, newest
        stream = self.stream_of(odd)
        stream = stream[np.append(True, stream[1:] != stream[:-1])]
        places = [np.zeros(0, "i8")]
        bounds = np.append(self.first, len(end))
        counts = bounds[stream + 1] - bounds[stream]
        first = np.cumsum(counts) - counts
        place = np.arange(int(counts.sum())) + np.repeat(bounds[stream] - first, counts)
        again, ends, is_sure = _unwrapped(
            self.sequence.take(place), self.length.take(place), first, counts, expected.take(stream)
        )
        newest[stream] = ends
        places.append(place[again & np.repeat(is_sure, counts)])
        for number in stream[~is_sure].tolist():
            part = slice(int(bounds[number]), int(bounds[number + 1]))
            more, newest[number] = _one_by_one(self.sequence[part].tolist(), self.length[part].tolist(), int(expected[number]))
            places.append(np.array(more, "i8") + part.start)
        return np.concatenate(places), newest


def _unwrapped(
    sequence: NDArray[np.uint32],
    length: NDArray[np.uint32],
    first: NDArray[np.int64],
    counts: NDArray[np.int64],
    expected: NDArray[np.uint32],
) -> tuple[NDArray[np.bool_], NDArray[np.uint32], NDArray[np.bool_]]:
    """(n,) whether each packet comes again, (streams,) what is expected next, (streams,) whether that is sure."""
    base = np.where(expected == 0, sequence.take(first), expected)
    step = np.empty(len(sequence), "u4")
    np.subtract(sequence[1:], sequence[:-1], out=step[1:])
    step[first] = sequence.take(first) - base
    moved = np.cumsum(step.view("i4"), dtype="i8")
    begin = moved - np.repeat(moved.take(first) - step.view("i4").take(first), counts)  # octets after `base`
    is_sure = np.abs(begin) <= _FURTHEST
    begin = np.clip(begin, -_FURTHEST, _FURTHEST)
    apart = np.repeat(np.arange(len(first)) << _APART, counts)
    seen = np.empty_like(begin)  # the end of the packet before; at first, `base`
    seen[1:] = (begin + length + apart)[:-1]
    seen[first] = apart.take(first)
    highest = np.maximum.accumulate(seen) - apart
    ahead = begin - highest
    is_sure &= (ahead >= -_HALF_CIRCLE) & (ahead + length < _HALF_CIRCLE)
    is_sure &= ((np.repeat(base, counts) + highest) & _WRAP) != 0
    again = (ahead < 0) & ~((length == 1) & (ahead == -1))
    last = first + counts - 1
    newest = base + np.maximum(highest.take(last), begin.take(last) + length.take(last))
    return again, (newest & _WRAP).astype("u4"), np.logical_and.reduceat(is_sure, first)


def _one_by_one(sequences: list[int], lengths: list[int], expected: int) -> tuple[list[int], int]:
    """The same of one stream, as it is defined."""
    again = []
    for number, (sequence, length) in enumerate(zip(sequences, lengths, strict=True)):
        ahead, end = (sequence - expected) & _WRAP, (sequence + length) & _WRAP
        if expected and ahead >= _HALF_CIRCLE and not (length == 1 and ahead == _WRAP):
            again.append(number)
        if not expected or (end - expected) & _WRAP < _HALF_CIRCLE:
            expected = end
    return again, expected

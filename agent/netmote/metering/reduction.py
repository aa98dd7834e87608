"""A block of packets added into the flow table's rows: sums by cumulative differences, extremes by scatter, no packet on its own.

All sums are unsigned 64-bit integers and wrap together, so they are exact and do not depend on how packets were cut into blocks.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.metering.flow_key import GroupedPackets, Grouping
from netmote.metering.flow_rows import MOST_LENGTH, NEVER, NO_GAP, FlowRows

_MICROSECOND = np.uint64(1000)
_LARGEST = np.uint64(0xFFFF_FFFF)
_LARGEST_SHORTEST_GAP = np.uint32(NO_GAP - 1)
_BESIDE_LENGTH = np.uint32(8)  # bits below a length in the extremes of a flow


def add_packets(
    table: FlowRows,
    flows: NDArray[np.void],
    block: GroupedPackets,
    half_row: NDArray[np.int64],
) -> None:
    """Add a grouped block: to `flows` (flows,) FLOW_ROW, and to the table's halves, whose rows are `half_row` (halves,)."""
    packets, grouping = block.packets, block.grouping
    order, start, end = grouping.order, grouping.half_start, grouping.half_end
    rows, counts = table.take_halves(half_row), table.take_counts(half_row)
    length = packets.ip_total_length.take(order, mode="wrap")
    _add_lengths(flows, length, grouping)
    _add_ttl(flows, packets.time_to_live.take(order, mode="wrap"), grouping)
    wide = length.astype("u8")
    _add(rows["octets"], _half_sums(wide, end))
    wide *= wide
    _add(rows["squares"], _half_sums(wide, end))
    _add(counts["packets"], (end - start + 1).astype("u4"))
    if len(packets.coalesced):
        _add_coalesced(flows, rows, counts, block)
    earliest = _add_times(rows, counts, packets.timestamp_ns, grouping)
    np.minimum(flows["first"], grouping.over_halves(np.minimum, earliest), out=flows["first"])
    of_half = _or_bits(block.tcp_control_bits, grouping)
    table.put_halves(half_row, rows)
    table.put_counts(half_row, counts)
    both = of_half.astype("u2")
    both *= np.uint16(0x0101)  # of the open pane, and since the flow began
    pairs = table.control_bits.view("u2").reshape(-1)
    held = pairs.take(half_row)
    both |= held
    more = (both != held).nonzero()[0]  # few: most packets bring no flag their flow has not had
    if len(more):
        pairs[half_row.take(more)] = both.take(more)


def _add_coalesced(flows: NDArray[np.void], rows: NDArray[np.void], counts: NDArray[np.void], block: GroupedPackets) -> None:
    """What packets that stand for several are beyond the segment their columns say."""
    coalesced = block.packets.coalesced
    half = block.half_of_packets().take(coalesced.position)
    is_here = half >= 0
    half = half[is_here]
    for column, extra in (
        (counts["packets"], coalesced.extra_packets),
        (rows["octets"], coalesced.extra_octets),
        (rows["squares"], coalesced.extra_squares),
    ):
        np.add.at(column, half, extra[is_here])
    counts["gap_minimum"][half] = 0  # segments of one time
    flow, length = block.grouping.flow_of.take(half), np.minimum(coalesced.smallest[is_here], MOST_LENGTH)
    ttl = flows["minimum_ttl"].copy()
    np.minimum.at(flows["minimum"], flow, (length << _BESIDE_LENGTH) | np.uint32(0xFF))
    flows["minimum_ttl"] = ttl


def _add_lengths(flows: NDArray[np.void], length: NDArray[np.uint32], grouping: Grouping) -> None:
    """Smallest and largest total length; the octet below them, the time to live, stays."""
    if int(length.max()) > MOST_LENGTH:
        length = np.minimum(length, MOST_LENGTH)
    first, last = length.take(grouping.half_start), length.take(grouping.half_end)
    smallest, largest = flows["minimum"] >> _BESIDE_LENGTH, flows["maximum"] >> _BESIDE_LENGTH
    np.minimum(smallest, grouping.over_halves(np.minimum, np.minimum(first, last)), out=smallest)
    np.maximum(largest, grouping.over_halves(np.maximum, np.maximum(first, last)), out=largest)
    place = _outside(length, smallest.take(grouping.flow_of), largest.take(grouping.flow_of), grouping)
    if len(place):
        flow, value = grouping.flow_of.take(grouping.half_of.take(place)), length.take(place)
        np.minimum.at(smallest, flow, value)
        np.maximum.at(largest, flow, value)
    for name, extreme in (("minimum", smallest), ("maximum", largest)):
        np.bitwise_or(extreme << _BESIDE_LENGTH, flows[f"{name}_ttl"], out=flows[name])


def _outside(
    values: NDArray[np.uint32], smallest: NDArray[np.uint32], largest: NDArray[np.uint32], grouping: Grouping
) -> NDArray[np.int64]:
    """Places of the `values` (n,) beyond what their halves (halves,) have had: few, but where a flow begins."""
    above = values - smallest.take(grouping.half_of)  # what is less wraps, and is far above
    return (above > (largest - smallest).take(grouping.half_of)).nonzero()[0]


def _add_ttl(flows: NDArray[np.void], ttl: NDArray[np.uint8], grouping: Grouping) -> None:
    """Extremes of the time to live: of each half's first packet, and then only the packets unlike the one before them."""
    start = grouping.half_start
    lowest = ttl.take(start)
    differs = np.not_equal(ttl[1:], ttl[:-1])
    differs[start[1:] - 1] = False
    place = differs.nonzero()[0] + 1
    highest = lowest
    if len(place):
        highest, half = lowest.copy(), grouping.half_of.take(place)
        np.minimum.at(lowest, half, ttl.take(place))
        np.maximum.at(highest, half, ttl.take(place))
    np.minimum(flows["minimum_ttl"], grouping.over_halves(np.minimum, lowest), out=flows["minimum_ttl"])
    np.maximum(flows["maximum_ttl"], grouping.over_halves(np.maximum, highest), out=flows["maximum_ttl"])


def _add(column: NDArray[Any], values: NDArray[Any]) -> None:
    """In place, without the second assignment of `rows[name] += values`."""
    np.add(column, values, out=column)


def _half_sums(values: NDArray[np.uint64], end: NDArray[np.int64]) -> NDArray[np.uint64]:
    total = np.cumsum(values).take(end)
    sums = np.empty_like(total)
    sums[0] = total[0]
    np.subtract(total[1:], total[:-1], out=sums[1:])
    return sums


def _or_bits(bits: NDArray[np.uint8], grouping: Grouping) -> NDArray[np.uint8]:
    """OR per half: that of the first and the last packet, and then only the packets that add to it."""
    joined: NDArray[np.uint8] = bits.take(grouping.half_start) | bits.take(grouping.half_end)
    more = ((bits & ~joined.take(grouping.half_of)) != 0).nonzero()[0]
    if len(more):
        np.bitwise_or.at(joined, grouping.half_of[more], bits[more])
    return joined


def _add_times(
    rows: NDArray[np.void], counts: NDArray[np.void], timestamp: NDArray[np.int64], grouping: Grouping
) -> NDArray[np.int64]:
    """Last packet, and the gaps between packets of one direction, each measured from the latest one before it.

    Returns the earliest time of each half in this block.
    """
    start, end = grouping.half_start, grouping.half_end
    time = timestamp.take(grouping.order, mode="wrap")
    gap = np.empty(len(time), "i8")
    np.subtract(time[1:], time[:-1], out=gap[1:])
    earliest, latest = time.take(start), time.take(end)
    last = rows["last"]
    is_new = last == NEVER
    gap[start] = np.where(is_new, 0, earliest - last)
    if gap.min() < 0:
        gap, earliest, latest = _unordered(time, last, grouping)
    wide = gap.view("u8")
    wide //= _MICROSECOND
    sums = _half_sums(wide, end)
    sums += counts["gap_sum"]
    counts["gap_sum"] = np.minimum(sums, _LARGEST, out=sums)
    short = wide.astype("u4") if int(wide.max()) <= _LARGEST else np.minimum(wide, _LARGEST).astype("u4")
    _add_gap_extremes(counts, short, is_new, grouping)
    wide *= wide
    _add(rows["gap_squares"], _half_sums(wide, end))
    rows["last"] = latest
    return earliest


def _add_gap_extremes(counts: NDArray[np.void], gap: NDArray[np.uint32], is_new: NDArray[np.bool_], grouping: Grouping) -> None:
    """Shortest and longest gap; the first packet of a half that `is_new` has none, and 0 in `gap`, which is used up."""
    start, end = grouping.half_start, grouping.half_end
    first, last = gap.take(start), gap.take(end)
    longest = np.maximum(first, last)
    np.maximum(longest, counts["gap_maximum"], out=longest)
    first[is_new] = _LARGEST
    shortest = np.minimum(first, last)
    np.minimum(shortest, _LARGEST_SHORTEST_GAP, out=shortest)
    shortest[is_new & (start == end)] = NO_GAP
    np.minimum(shortest, counts["gap_minimum"], out=shortest)
    gap[start] = last  # the first ones are told; where there is none, NO_GAP to 0, it is not outside either
    place = _outside(gap, shortest, longest, grouping)
    if len(place):
        half, value = grouping.half_of.take(place), gap.take(place)
        np.minimum.at(shortest, half, value)
        np.maximum.at(longest, half, value)
    counts["gap_minimum"], counts["gap_maximum"] = shortest, longest


def _unordered(
    time: NDArray[np.int64], last: NDArray[np.int64], grouping: Grouping
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Gaps, earliest and latest times where time goes back: a running maximum inside each half, over ranks of time."""
    start, end, half_of = grouping.half_start, grouping.half_end, grouping.half_of
    ordered, rank = np.unique(np.concatenate((time, last)), return_inverse=True)
    rank = rank.astype("i8")
    own, before = rank[: len(time)], rank[len(time) :]
    segment = half_of << 32
    seen = segment | own
    seen[start] = np.maximum(seen[start], (np.arange(len(start)) << 32) | before)
    latest_rank = np.maximum.accumulate(seen) & 0xFFFF_FFFF
    previous = np.empty_like(latest_rank)
    previous[1:] = latest_rank[:-1]
    previous[start] = before
    since = ordered[previous]
    gap = np.where(since == NEVER, 0, np.maximum(time - np.where(since == NEVER, 0, since), 0))
    earliest: NDArray[np.int64] = np.minimum.reduceat(time, start)
    return gap, earliest, ordered[latest_rank[end]]

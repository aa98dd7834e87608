"""A block of packets added into the flow table's rows: sums by cumulative differences, extremes by scatter, no packet on its own.

All sums are unsigned 64-bit integers and wrap together, so they are exact and do not depend on how packets were cut into blocks.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PacketColumns
from netmote.metering.flow_key import Grouping
from netmote.metering.flow_table import COUNTERS, HALF_ROW, NEVER, FlowTable
from netmote.records.flow import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN

_MICROSECOND = np.uint64(1000)
_LARGEST_GAP = np.uint64(0xFFFF_FFFF)
_COUNTED_BITS = np.uint8(TCP_SYN | TCP_FIN | TCP_RST)


def add_packets(
    table: FlowTable,
    flows: NDArray[np.void],
    packets: PacketColumns,
    grouping: Grouping,
    *,
    half_row: NDArray[np.int64],
    accepted: NDArray[np.bool_] | None,
) -> None:
    """Add a grouped block: to `flows` (flows,) FLOW_ROW, and to the table's halves.

    `half_row` (halves,) is each half's row in `table.halves`; it counts where `accepted`, None: everywhere.
    """
    order, start, end, flow_half = grouping.order, grouping.half_start, grouping.half_end, grouping.flow_half
    rows = table.halves.view("V48").take(half_row).view(HALF_ROW)
    length = packets.ip_total_length.take(order)
    for name, extreme, outermost in (("minimum", np.minimum, np.iinfo("u4").max), ("maximum", np.maximum, 0)):
        of_half = np.full(len(start), outermost, "u4")
        extreme.at(of_half, grouping.half_of, length)
        extreme(flows[name], extreme.reduceat(of_half, flow_half), out=flows[name])
    wide = length.astype("u8")
    _add(rows["octets"], _half_sums(wide, end))
    wide *= wide
    _add(rows["squares"], _half_sums(wide, end))
    _add(rows["packets"], (end - start + 1).astype("u4"))
    earliest = _add_times(rows, packets.timestamp_ns, grouping)
    np.minimum(flows["first"], np.minimum.reduceat(earliest, flow_half), out=flows["first"])
    bits = _or_bits(packets.tcp_control_bits.take(order), grouping)
    if accepted is not None:
        half_row, rows, bits = half_row[accepted], rows[accepted], bits[accepted]
    table.halves.view("V48")[half_row] = rows.view("V48")
    both = bits.astype("u2")
    both *= np.uint16(0x0101)  # of the open pane, and since the flow began
    pairs = table.control_bits.view("u2").reshape(-1)
    both |= pairs.take(half_row)
    pairs[half_row] = both


def _add(column: NDArray[Any], values: NDArray[Any]) -> None:
    """In place, without the second assignment of `rows[name] += values`."""
    np.add(column, values, out=column)


def _half_sums(values: NDArray[np.uint64], end: NDArray[np.int64]) -> NDArray[np.uint64]:
    total = np.cumsum(values).take(end)
    sums = total.copy()
    sums[1:] -= total[:-1]
    return sums


def _or_bits(bits: NDArray[np.uint8], grouping: Grouping) -> NDArray[np.uint8]:
    """OR per half: that of the first and the last packet, and then only the packets that add to it."""
    joined: NDArray[np.uint8] = bits.take(grouping.half_start) | bits.take(grouping.half_end)
    more = np.flatnonzero(bits & ~joined.take(grouping.half_of))
    np.bitwise_or.at(joined, grouping.half_of[more], bits[more])
    return joined


def _add_times(rows: NDArray[np.void], timestamp: NDArray[np.int64], grouping: Grouping) -> NDArray[np.int64]:
    """Last packet, and the gaps between packets of one direction, each measured from the latest one before it.

    Returns the earliest time of each half in this block.
    """
    start, end, half_of = grouping.half_start, grouping.half_end, grouping.half_of
    time = timestamp.take(grouping.order)
    gap = np.empty(len(time), "i8")
    np.subtract(time[1:], time[:-1], out=gap[1:])
    gap[start] = 0
    earliest, latest = time.take(start), time.take(end)
    last = rows["last"]
    is_new = last == NEVER
    if gap.min() < 0 or (earliest < last).any():
        gap, earliest, latest = _unordered(time, last, grouping)
    else:
        gap[start] = np.where(is_new, 0, earliest - last)
    wide = gap.view("u8")
    wide //= _MICROSECOND
    _add(rows["gap_sum"], _half_sums(wide, end))
    longest = np.zeros(len(start), "u8")
    np.maximum.at(longest, half_of, wide)
    np.minimum(longest, _LARGEST_GAP, out=longest)
    np.maximum(rows["gap_maximum"], longest.astype("u4"), out=rows["gap_maximum"])
    wide *= wide
    _add(rows["gap_squares"], _half_sums(wide, end))
    rows["last"] = latest
    return earliest


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


def count_events(table: FlowTable, packets: PacketColumns, grouping: Grouping, half_flow_row: NDArray[np.int64]) -> None:
    """Count what few packets are: openings, closings, resets, unreachables, fragments, DNS messages.

    `half_flow_row` (halves,) is the row of each half's flow, -1: refused.
    """
    flagged = np.flatnonzero(packets.tcp_control_bits & _COUNTED_BITS)
    typed = np.flatnonzero(packets.icmp_type)
    fragments = np.flatnonzero(packets.is_fragment)
    dns = packets.dns
    if not (len(flagged) or len(typed) or len(fragments) or len(dns.position)):
        return
    row_of = np.empty(len(packets), "i8")
    row_of[grouping.order] = half_flow_row.take(grouping.half_of)
    flags = packets.tcp_control_bits[flagged]
    _count(table, "tcp_syn_count", row_of[flagged[(flags & (TCP_SYN | TCP_ACK)) == TCP_SYN]])
    _count(table, "tcp_fin_count", row_of[flagged[(flags & TCP_FIN) != 0]])
    _count(table, "tcp_rst_count", row_of[flagged[(flags & TCP_RST) != 0]])
    protocol, kind = packets.protocol_identifier[typed], packets.icmp_type[typed]
    is_unreachable = ((protocol == PROTOCOL_ICMP) & (kind == 3)) | ((protocol == PROTOCOL_ICMPV6) & (kind == 1))
    _count(table, "icmp_unreachable_count", row_of[typed[is_unreachable]])
    _count(table, "fragment_count", row_of[fragments])
    if len(dns.position):
        rows = row_of[dns.position]
        _count(table, "dns_query_count", rows[~dns.is_response])
        _count(table, "dns_response_count", rows[dns.is_response])
        _count(table, "dns_failure_count", rows[dns.is_response & (dns.response_code != 0)])
        _count(table, "dns_question_octets", rows, dns.question_octets)
        _count(table, "dns_question_entropy_millibits", rows, dns.question_entropy_millibits)


def _count(table: FlowTable, name: str, rows: NDArray[np.int64], amount: NDArray[np.uint32] | None = None) -> None:
    if not len(rows):
        return
    held = rows >= 0
    amounts = np.ones(len(rows), "u4") if amount is None else amount
    np.add.at(table.counters[:, COUNTERS[name][0]], rows[held], amounts[held])

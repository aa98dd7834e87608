"""A block of packets added into the flow table's rows: sums by cumulative differences, extremes by scatter, no packet on its own.

All sums are unsigned 64-bit integers and wrap together, so they are exact and do not depend on how packets were cut into blocks.
"""

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PacketColumns
from netmote.metering.flow_key import Grouping
from netmote.metering.flow_table import COUNTERS, HALF_ROW, NEVER, FlowTable
from netmote.records.flow import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN

_LARGEST_GAP = np.uint64(0xFFFF_FFFF)
_COLUMN = {name: column for column, name in enumerate(COUNTERS)}


def add_packets(table: FlowTable, packets: PacketColumns, grouping: Grouping, half_row: NDArray[np.int64]) -> None:
    """Add a grouped block; `half_row` (halves,) is each half's row in `table.halves`, -1 for refused flows."""
    order, half_of, start, end = grouping.order, grouping.half_of, grouping.half_start, grouping.half_end
    accepted = half_row >= 0
    is_all = bool(accepted.all())
    rows = table.halves.view("V64")[half_row].view(HALF_ROW)
    length = packets.ip_total_length[order]
    extreme = np.full(len(start), np.iinfo("u4").max, "u4")
    np.minimum.at(extreme, half_of, length)
    np.minimum(rows["minimum"], extreme, out=rows["minimum"])
    extreme = np.zeros(len(start), "u4")
    np.maximum.at(extreme, half_of, length)
    np.maximum(rows["maximum"], extreme, out=rows["maximum"])
    wide = length.astype("u8")
    rows["octets"] += _half_sums(wide, start, end)
    wide *= wide
    rows["squares"] += _half_sums(wide, start, end)
    rows["packets"] += (end - start + 1).astype("u4")
    _add_times(rows, packets.timestamp_ns, grouping)
    bits = _or_bits(packets.tcp_control_bits[order], grouping)
    if is_all:
        table.halves.view("V64")[half_row] = rows.view("V64")
    else:
        half_row, rows, bits = half_row[accepted], rows[accepted], bits[accepted]
        table.halves.view("V64")[half_row] = rows.view("V64")
    table.control_bits[half_row] |= bits[:, None]


def _half_sums(values: NDArray[np.uint64], start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.uint64]:
    total = np.cumsum(values)
    sums: NDArray[np.uint64] = total[end]
    sums[1:] -= total[start[1:] - 1]
    return sums


def _or_bits(bits: NDArray[np.uint8], grouping: Grouping) -> NDArray[np.uint8]:
    """OR per half: that of the first and the last packet, and then only the packets that add to it."""
    joined: NDArray[np.uint8] = bits[grouping.half_start] | bits[grouping.half_end]
    more = np.flatnonzero(bits & ~joined[grouping.half_of])
    np.bitwise_or.at(joined, grouping.half_of[more], bits[more])
    return joined


def _add_times(rows: NDArray[np.void], timestamp: NDArray[np.int64], grouping: Grouping) -> None:
    """First and last packet, and the gaps between packets of one direction, each measured from the latest one before it."""
    start, end, half_of = grouping.half_start, grouping.half_end, grouping.half_of
    time = timestamp[grouping.order]
    gap = np.empty(len(time), "i8")
    np.subtract(time[1:], time[:-1], out=gap[1:])
    gap[start] = 0
    earliest, latest = time[start], time[end]
    last = rows["last"]
    is_new = last == NEVER
    if (gap < 0).any() or (~is_new & (earliest < last)).any():
        gap, earliest, latest = _unordered(time, last, grouping)
    else:
        gap[start] = np.where(is_new, 0, earliest - last)
    gap //= 1000
    wide = gap.view("u8")
    rows["gap_sum"] += _half_sums(wide, start, end)
    longest = np.zeros(len(start), "u4")
    np.maximum.at(longest, half_of, np.minimum(wide, _LARGEST_GAP).astype("u4"))
    np.maximum(rows["gap_maximum"], longest, out=rows["gap_maximum"])
    rows["gap_squares"] += _half_sums(wide * wide, start, end)
    np.minimum(rows["first"], earliest, out=rows["first"])
    rows["last"] = latest


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


def count_events(table: FlowTable, packets: PacketColumns, row_of: NDArray[np.int64]) -> None:
    """Count what few packets are: openings, closings, resets, unreachables, fragments, DNS messages. `row_of` (n,) -1: refused."""
    bits = packets.tcp_control_bits
    flagged = np.flatnonzero(bits & (TCP_SYN | TCP_FIN | TCP_RST))
    flags = bits[flagged]
    _add(table, "tcp_syn_count", row_of[flagged[(flags & (TCP_SYN | TCP_ACK)) == TCP_SYN]])
    _add(table, "tcp_fin_count", row_of[flagged[(flags & TCP_FIN) != 0]])
    _add(table, "tcp_rst_count", row_of[flagged[(flags & TCP_RST) != 0]])
    typed = np.flatnonzero(packets.icmp_type)
    protocol, kind = packets.protocol_identifier[typed], packets.icmp_type[typed]
    is_unreachable = ((protocol == PROTOCOL_ICMP) & (kind == 3)) | ((protocol == PROTOCOL_ICMPV6) & (kind == 1))
    _add(table, "icmp_unreachable_count", row_of[typed[is_unreachable]])
    _add(table, "fragment_count", row_of[np.flatnonzero(packets.is_fragment)])
    dns = packets.dns
    if len(dns.position):
        rows = row_of[dns.position]
        _add(table, "dns_query_count", rows[~dns.is_response])
        _add(table, "dns_response_count", rows[dns.is_response])
        _add(table, "dns_failure_count", rows[dns.is_response & (dns.response_code != 0)])
        _add(table, "dns_question_octets", rows, dns.question_octets)
        _add(table, "dns_question_entropy_millibits", rows, dns.question_entropy_millibits)


def _add(table: FlowTable, name: str, rows: NDArray[np.int64], amount: NDArray[np.uint32] | None = None) -> None:
    if not len(rows):
        return
    held = rows >= 0
    amounts = np.ones(len(rows), "u4") if amount is None else amount
    np.add.at(table.counters[:, _COLUMN[name]], rows[held], amounts[held])

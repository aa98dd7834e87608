"""What few packets of a block are: openings, closings, resets, unreachables, fragments, DNS messages. Counted a packet at a time."""

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import PROTOCOL_ICMP, PROTOCOL_ICMPV6
from netmote.metering.flow_key import GroupedPackets
from netmote.metering.flow_rows import COUNTERS, FlowRows
from netmote.records.flow import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN

_COUNTED_BITS = np.uint8(TCP_SYN | TCP_FIN | TCP_RST)


def count_events(table: FlowRows, block: GroupedPackets, half_flow_row: NDArray[np.int64]) -> None:
    """Count them in the rows of their flows; `half_flow_row` (halves,) is the row of each half's flow."""
    packets, grouping, bits = block.packets, block.grouping, block.tcp_control_bits
    flagged = ((bits & _COUNTED_BITS) != 0).nonzero()[0]
    if len(flagged):
        rows, flags = half_flow_row.take(grouping.half_of.take(flagged)), bits.take(flagged)
        _count(table, "tcp_syn_count", rows[(flags & (TCP_SYN | TCP_ACK)) == TCP_SYN])
        _count(table, "tcp_fin_count", rows[(flags & TCP_FIN) != 0])
        _count(table, "tcp_rst_count", rows[(flags & TCP_RST) != 0])
    typed = (packets.icmp_type != 0).nonzero()[0]
    fragments = packets.is_fragment.nonzero()[0]
    dns = packets.dns
    if not (len(typed) or len(fragments) or len(dns)):
        return
    half = block.half_of_packets()
    row_of = np.where(half >= 0, half_flow_row.take(half), -1)
    protocol, kind = packets.protocol_identifier[typed], packets.icmp_type[typed]
    is_unreachable = ((protocol == PROTOCOL_ICMP) & (kind == 3)) | ((protocol == PROTOCOL_ICMPV6) & (kind == 1))
    _count(table, "icmp_unreachable_count", row_of[typed[is_unreachable]])
    _count(table, "fragment_count", row_of[fragments])
    if len(dns):
        rows = row_of[dns.position]
        _count(table, "dns_query_count", rows[~dns.is_response])
        _count(table, "dns_response_count", rows[dns.is_response])
        _count(table, "dns_failure_count", rows[dns.is_response & (dns.response_code != 0)])
        _count(table, "dns_question_octets", rows, dns.question_octets)
        _count(table, "dns_question_entropy_millibits", rows, dns.question_entropy_millibits)


def _count(table: FlowRows, name: str, rows: NDArray[np.int64], amount: NDArray[np.uint32] | None = None) -> None:
    if not len(rows):
        return
    held = rows >= 0
    amounts = np.ones(len(rows), "u4") if amount is None else amount
    np.add.at(table.counters[:, COUNTERS[name][0]], rows[held], amounts[held])

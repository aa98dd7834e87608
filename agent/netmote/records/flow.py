"""Flow slices: what one bidirectional flow did within one pane, columnar, with the names of IPFIX.

The Metering Process (RFC 7011 section 2) cuts every flow at each pane border, so that windows are sums of slices.
A slice has a `flow_id`; the slices of one flow add up to its Flow Record. `flow_end_reason` is 0 while the flow goes on.
A slice with no packets carries only the end of a flow (idle timeout after its last slice had left).

Counts are of packets on the wire: one captured packet that stands for several (GRO, GSO) weighs as its segments, whose time is
one: the gaps between them are zero. Gaps are those inside one flow and direction, also across panes: a whole flow has one fewer than packets.
"""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address

import numpy as np
from numpy.typing import NDArray

PANE_NS = 5_000_000_000


class FlowEndReason(IntEnum):
    """flowEndReason (IANA 136); 0 is ours: the flow goes on."""

    CONTINUES = 0
    IDLE_TIMEOUT = 1
    ACTIVE_TIMEOUT = 2
    END_OF_FLOW = 3
    FORCED_END = 4
    LACK_OF_RESOURCES = 5


FLOW_DTYPE = np.dtype(
    [
        ("flow_id", "<u8"),  # flowId (148): unique within one metering process
        ("flow_start_ns", "<i8"),  # flowStartNanoseconds (156): first packet of the flow within this slice, UTC
        ("flow_end_ns", "<i8"),  # flowEndNanoseconds (157): last packet within this slice, UTC
        # Addresses are 16 bytes; IPv4 as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2), `ip_version` tells.
        ("source_address", "V16"),  # sourceIPv4Address (8) / sourceIPv6Address (27): the initiator
        ("destination_address", "V16"),  # destinationIPv4Address (12) / destinationIPv6Address (28): the responder
        ("source_transport_port", "<u2"),  # (7)
        ("destination_transport_port", "<u2"),  # (11)
        ("vlan_id", "<u2"),  # vlanId (58), dot1qVlanId (243): outermost tag, 0 = untagged
        ("dot1q_customer_vlan_id", "<u2"),  # dot1qCustomerVlanId (245): the tag behind it, 0 = none
        ("protocol_identifier", "u1"),  # (4)
        ("ip_version", "u1"),  # (60): 4 or 6
        ("ip_class_of_service", "u1"),  # (5): of the first packet
        ("icmp_type", "u1"),  # icmpTypeIPv4 (176) / icmpTypeIPv6 (178): of the first packet
        ("icmp_code", "u1"),  # icmpCodeIPv4 (177) / icmpCodeIPv6 (179)
        ("flow_end_reason", "u1"),  # flowEndReason (136)
        ("initiator_tcp_control_bits", "u1"),  # tcpControlBits (6) of the initiator's packets, OR
        ("responder_tcp_control_bits", "u1"),
        ("initiator_octets", "<u8"),  # initiatorOctets (231): IP total length, headers included
        ("responder_octets", "<u8"),  # responderOctets (232)
        ("initiator_packets", "<u8"),  # initiatorPackets (298)
        ("responder_packets", "<u8"),  # responderPackets (299)
        ("initiator_octet_sum_of_squares", "<u8"),  # octetDeltaSumOfSquares (198), per direction
        ("responder_octet_sum_of_squares", "<u8"),
        ("minimum_ip_total_length", "<u4"),  # (25), both directions
        ("maximum_ip_total_length", "<u4"),  # (26)
        ("minimum_ttl", "u1"),  # minimumTTL (52): time to live or hop limit, both directions
        ("maximum_ttl", "u1"),  # maximumTTL (53)
        ("initiator_interarrival_sum_us", "<u8"),  # gaps between packets of one direction, microseconds, floored
        ("responder_interarrival_sum_us", "<u8"),
        ("initiator_interarrival_sum_of_squares", "<u8"),  # microseconds squared
        ("responder_interarrival_sum_of_squares", "<u8"),
        ("initiator_interarrival_min_us", "<u4"),  # 0 too where there is no gap: fewer than two packets
        ("responder_interarrival_min_us", "<u4"),
        ("initiator_interarrival_max_us", "<u4"),
        ("responder_interarrival_max_us", "<u4"),
        ("tcp_syn_count", "<u4"),  # packets with SYN and without ACK, both directions (cf. tcpSynTotalCount, 218)
        ("tcp_fin_count", "<u4"),  # cf. tcpFinTotalCount (219)
        ("tcp_rst_count", "<u4"),  # cf. tcpRstTotalCount (220)
        # TCP packets with payload that begins before the highest sequence number expected next of their direction. A hint: packets that
        # only overtook each other look the same. Keep-alives (one octet just before it, RFC 9293 section 3.8.4) are not counted.
        ("initiator_retransmission_count", "<u4"),
        ("responder_retransmission_count", "<u4"),
        ("icmp_unreachable_count", "<u4"),  # ICMPv4 type 3, ICMPv6 type 1
        ("fragment_count", "<u4"),  # packets that are IP fragments
        ("dns_query_count", "<u4"),  # UDP port 53, QR = 0 (RFC 1035 section 4.1.1)
        ("dns_response_count", "<u4"),  # QR = 1
        ("dns_failure_count", "<u4"),  # responses with RCODE other than 0
        ("dns_question_octets", "<u4"),  # characters of the question names of the queries, dots included
        ("dns_question_entropy_millibits", "<u4"),  # sum over queries of round(1000 * Shannon entropy of the name's characters)
    ]
)

TCP_FIN, TCP_SYN, TCP_RST, TCP_ACK = 0x01, 0x02, 0x04, 0x10


@dataclass(frozen=True, slots=True)
class CaptureLoss:
    """What became of every packet of one pane. `received = metered + refused + sum(undecodable)`; `dropped` never reached us.

    These are packets as captured: one that stands for several on the wire is one here.
    """

    received: int = 0
    metered: int = 0
    refused: int = 0  # the flow table was full (droppedPacketDeltaCount of the metering process)
    undecodable: tuple[tuple[str, int], ...] = ()  # (reason, packets), sorted by reason
    dropped: int = 0  # all that never reached us: the sum of `dropped_by`, where that is known
    dropped_by: tuple[tuple[str, int], ...] = ()  # (where, packets), sorted: interface, ring, softnet
    coalesced: int = 0  # packets among `received` that stood for several on the wire (GRO, GSO)

    @property
    def loss_ratio(self) -> float:
        """Share of the packets offered that were dropped or refused, 0..1."""
        offered = self.received + self.dropped
        return (self.dropped + self.refused) / offered if offered else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class FlowBatch:
    """All slices of one pane of one observation point, in the order of `flow_id`. Emitted for empty panes too: that is the watermark."""

    source: str  # "capture:<interface>" live; replay uses the same name for the same interface
    start_ns: int  # the pane, UTC
    end_ns: int
    interface: str  # interface name at the Observation Point
    slices: NDArray[np.void]  # FLOW_DTYPE
    loss: CaptureLoss = CaptureLoss()


def address_text(address: bytes) -> str:
    """Presentation form of a 16-byte address; IPv4-mapped addresses print as IPv4."""
    ip = IPv6Address(address)
    return str(ip.ipv4_mapped or ip)

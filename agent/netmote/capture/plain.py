"""The fast path: plain packets, of which a few wide reads give everything. Most packets of most networks are.

A packet is plain when it is IPv4 without options and fragmentation and its ports are there. The others are left as they are, for
`internet`. Numbers are calculated from whole words that lie side by side: numpy does that many times faster than it picks octets.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from netmote.capture.encapsulation import ETHERTYPE_IPV4
from netmote.capture.internet import Columns
from netmote.capture.packets import PROTOCOL_ICMP, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP

PLAIN_ROW = 40  # octets that are looked at: the header and the first 20 behind it
ETHERNET_HEADER = 14
_ETHER_TYPE = 12
_PORTS_END, _CONTROL_BITS_END = 24, 34
_MAPPED = np.uint64(0xFFFF_0000)  # ::ffff:0:0/96 in an endpoint word
# Version 4, IHL 5, no More Fragments, offset 0: bytes 0, 6 and 7 of the header as one 64-bit compare.
_PLAIN_MASK = np.uint64(0xFF3F_0000_0000_00FF)
_PLAIN = np.uint64(0x45)
_CLASS_IPV4 = np.uint64(4 << 8)
_UPPER, _PORT = np.uint64(0xFFFF_FFFF_0000_0000), np.uint64(0xFFFF)
_8, _16, _32 = np.uint64(8), np.uint64(16), np.uint64(32)


def decode_plain(
    rows: NDArray[np.uint8],
    ether_type: NDArray[np.uint16] | None,
    captured: NDArray[np.integer[Any]],
    columns: Columns,
    part: slice,
    *,
    link_header: int,
) -> None:
    """Fill `columns` at `part` from `rows` (n, 40 or more): what begins where the IP header does, `link_header` octets into a frame.

    `captured` (n,) octets of the frames are there. Rows may be a view with any stride between them. Packets that are not plain
    keep `flow_class` 0, and what else their rows hold means nothing. An `ether_type` of None says that all are IP.
    """
    first, second, third = (column_at(rows, at, "u8") for at in (0, 8, 16))
    total = (first >> _16).astype("u2").byteswap()
    protocol = (second >> _8).astype("u1")
    plain = (first & _PLAIN_MASK) == _PLAIN
    if ether_type is not None:
        plain &= ether_type == ETHERTYPE_IPV4
    plain &= total >= _PORTS_END  # the ports belong to the packet
    is_tcp = protocol == PROTOCOL_TCP
    has_bits = is_tcp & (total >= _CONTROL_BITS_END)
    if int(captured.min()) < link_header + _CONTROL_BITS_END:
        plain &= captured >= link_header + _PORTS_END  # and are captured
        has_bits &= captured >= link_header + _CONTROL_BITS_END
    has_ports = is_tcp | (protocol == PROTOCOL_UDP)
    has_ports |= protocol == PROTOCOL_SCTP
    ports = third >> _32
    if not has_ports.all():
        ports *= has_ports
    source, destination, flow_class = columns.source_word[part], columns.destination_word[part], columns.flow_class[part]
    np.bitwise_and(second, _UPPER, out=source)
    source |= _MAPPED
    source |= ports & _PORT
    np.left_shift(third, _32, out=destination)
    destination |= _MAPPED
    ports >>= _16
    destination |= ports
    flow_class[:] = protocol
    flow_class |= _CLASS_IPV4
    if not plain.all():
        flow_class *= plain
    columns.ip_total_length[part] = total
    first >>= _8
    columns.ip_class_of_service[part] = first
    columns.time_to_live[part] = second
    offset_and_bits = column_at(rows, 32, "u2")
    np.multiply((offset_and_bits >> np.uint16(8)).astype("u1"), has_bits, out=columns.tcp_control_bits[part])
    sequence = columns.tcp_sequence[part]
    sequence[:] = seen_at(rows, 24, ">u4")
    sequence *= has_bits
    # The IP header of 20 octets, and the data offset in words of four.
    headers = (offset_and_bits >> np.uint16(2)) & np.uint16(0x3C)
    headers += np.uint16(20)
    np.minimum(headers, total, out=headers)
    total -= headers
    np.multiply(total, has_bits, out=columns.tcp_payload_octets[part])
    icmp = (plain & (protocol == PROTOCOL_ICMP)).nonzero()[0]  # of the others, types and codes stay 0
    if len(icmp):
        columns.icmp_type[part][icmp] = rows[icmp, 20]
        columns.icmp_code[part][icmp] = rows[icmp, 21]


def ether_types(rows: NDArray[np.uint8], begin: int) -> NDArray[np.uint16]:
    """(n,) what stands behind the addresses of the Ethernet frames that begin at this place of each row."""
    return column_at(rows, begin + _ETHER_TYPE, "u2").byteswap()


def seen_at(rows: NDArray[np.uint8], place: int, kind: DTypeLike) -> NDArray[Any]:
    """(n,) the values of this type that stand at this place of each row, as they lie."""
    return rows[:, place : place + np.dtype(kind).itemsize].view(kind).reshape(-1)


def column_at(rows: NDArray[np.uint8], place: int, kind: DTypeLike) -> NDArray[Any]:
    """(n,) the same, side by side."""
    return seen_at(rows, place, kind).copy()

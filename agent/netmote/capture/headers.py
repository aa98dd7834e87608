"""Frames to packet columns, vectorised: the fast path for plain IPv4, and what it hands the odd packets to.

A packet is plain when it is IPv4 without options and fragmentation and its ports are there: three 64-bit reads per packet give
everything. The rest (IPv6, options, fragments, short packets) is decoded field by field in `internet`, a subset at a time.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netmote.capture.claims import claim_columns
from netmote.capture.coalesced import take_apart
from netmote.capture.dns import DNS_PORT, dns_columns
from netmote.capture.encapsulation import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6
from netmote.capture.frames import Frames, rows_at
from netmote.capture.internet import Columns, Datagrams, decode_ipv4, decode_ipv6
from netmote.capture.link_layer import SUPPORTED, network_layer
from netmote.capture.packets import (
    PROTOCOL_ICMP,
    PROTOCOL_SCTP,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    ClaimColumns,
    CoalescedColumns,
    DnsColumns,
    PacketColumns,
    Undecodable,
)
from netmote.capture.tunnels import Tunnel, look_inside

LATEST_NS = 7_258_118_400_000_000_000  # 2200-01-01: later timestamps are damage, not time
_ROW = 40  # plain IPv4: header and the first 20 bytes behind it, five 64-bit words
_CACHED = 8192  # packets decoded at once: their rows stay in the second-level cache
_MAPPED = np.uint64(0xFFFF_0000)  # ::ffff:0:0/96 in an endpoint word
# Version 4, IHL 5, no More Fragments, offset 0: bytes 0, 6 and 7 of the header as one 64-bit compare.
_PLAIN_MASK = np.uint64(0xFF3F_0000_0000_00FF)
_PLAIN = np.uint64(0x45)
_CLASS_IPV4 = np.uint64(4 << 8)


def decode(
    frames: Frames,
    interface: str,
    *,
    dropped: int = 0,
    tunnels: tuple[Tunnel, ...] = (),
    ether_type: NDArray[np.uint16] | None = None,
) -> PacketColumns:
    """Decode frames of one interface. Every frame becomes a row or an undecodable entry; nothing raises on bad bytes.

    Of `tunnels` the inner packet is the row (see `tunnels`). `ether_type` (n,) is what stands behind the addresses of Ethernet frames,
    where it was read already; it is written to.
    """
    count = len(frames)
    reason = np.zeros(count, "u1")
    columns = Columns.allocate(count)
    dns, coalesced, claims = DnsColumns(), CoalescedColumns(), ClaimColumns()
    if frames.link_type in SUPPORTED:
        network = network_layer(frames, ether_type)
        before = network.offset - frames.offset
        wire = frames.wire_length.astype("i8") - before
        if frames.is_tagged is not None:
            wire -= 4 * frames.is_tagged
        datagrams = Datagrams(frames.buffer, network.ether_type, network.offset, frames.captured - before, wire)
        for first in range(0, count, _CACHED):
            _decode_plain(datagrams, columns, slice(first, min(first + _CACHED, count)))
        odd = np.flatnonzero(columns.flow_class == 0)
        if len(odd):
            _decode_odd(datagrams, odd, columns, reason)
        claims = claim_columns(frames, network, datagrams, columns)
        if tunnels:
            datagrams = look_inside(datagrams, columns, np.flatnonzero(reason == 0), tunnels)
        if network.vlan is not None:
            columns.flow_class |= network.vlan
        dns = _decode_dns(datagrams, columns, reason)
        coalesced = take_apart(frames, datagrams.offset, columns)
    else:
        reason[:] = Undecodable.UNKNOWN_LINK_TYPE
    reason[(frames.timestamp_ns < 0) | (frames.timestamp_ns >= LATEST_NS)] = Undecodable.BAD_TIMESTAMP
    decoded = PacketColumns(
        interface,
        frames.timestamp_ns,
        frames.wire_length,
        columns.ip_total_length,
        columns.source_word,
        columns.destination_word,
        columns.flow_class,
        columns.ip_class_of_service,
        columns.tcp_control_bits,
        columns.icmp_type,
        columns.icmp_code,
        columns.is_fragment,
        columns.time_to_live,
        columns.tcp_sequence,
        columns.tcp_payload_octets,
        *columns.six(),
        dns=dns,
        coalesced=coalesced,
        claims=claims,
        dropped=dropped,
    )
    return without_undecodable(decoded, reason) if reason.any() else decoded


def _decode_plain(datagrams: Datagrams, columns: Columns, part: slice) -> None:
    """Fill the rows of plain packets; the others keep `flow_class` 0."""
    rows = rows_at(datagrams.buffer, datagrams.offset[part], _ROW)
    words: NDArray[np.uint64] = rows.view("u8")
    head, addresses, behind = words[:, 0], words[:, 1], words[:, 2]
    total = rows.view(">u2")[:, 1].astype("u4")
    there = np.minimum(datagrams.available[part], total)
    plain = (head & _PLAIN_MASK) == _PLAIN
    plain &= datagrams.ether_type[part] == ETHERTYPE_IPV4
    plain &= there >= 24  # the ports are captured and belong to the packet
    protocol = rows[:, 9].copy()
    is_tcp = protocol == PROTOCOL_TCP
    has_ports = is_tcp | (protocol == PROTOCOL_UDP)
    has_ports |= protocol == PROTOCOL_SCTP
    source = addresses & np.uint64(0xFFFF_FFFF_0000_0000)
    source |= _MAPPED
    destination = behind << np.uint64(32)
    destination |= _MAPPED
    ports = behind >> np.uint64(32)
    ports *= has_ports
    source |= ports & np.uint64(0xFFFF)
    destination |= ports >> np.uint64(16)
    flow_class = protocol.astype("u8")
    flow_class |= _CLASS_IPV4
    flow_class *= plain
    columns.source_word[part] = source
    columns.destination_word[part] = destination
    columns.flow_class[part] = flow_class
    columns.ip_total_length[part] = total
    columns.ip_class_of_service[part] = rows[:, 1]
    has_tcp = is_tcp & (there >= 34)
    columns.tcp_control_bits[part] = rows[:, 33] * has_tcp
    columns.time_to_live[part] = rows[:, 8]
    columns.tcp_sequence[part] = rows.view(">u4")[:, 6] * has_tcp
    behind_tcp = total.astype("i4")
    behind_tcp -= 20
    behind_tcp -= (rows[:, 32] >> 4).astype("i4") << 2
    behind_tcp *= has_tcp
    columns.tcp_payload_octets[part] = np.maximum(behind_tcp, 0)
    columns.transport[part] = datagrams.offset[part] + 20
    icmp = np.flatnonzero(protocol == PROTOCOL_ICMP)
    if len(icmp):
        columns.icmp_type[part][icmp] = rows[icmp, 20]
        columns.icmp_code[part][icmp] = rows[icmp, 21]


def _decode_odd(datagrams: Datagrams, odd: NDArray[np.int64], columns: Columns, reason: NDArray[np.uint8]) -> None:
    """Everything that is not plain: its rows are cleared, then decoded, or it gets its reason."""
    columns.clear(odd)
    kind = datagrams.ether_type[odd]
    reason[odd] = Undecodable.NOT_IP
    reason[odd[kind == ETHERTYPE_ARP]] = Undecodable.ARP
    reason[odd[kind == 0]] = Undecodable.TRUNCATED
    for ether_type, decode_version in ((ETHERTYPE_IPV4, decode_ipv4), (ETHERTYPE_IPV6, decode_ipv6)):
        rows = odd[kind == ether_type]
        if len(rows):
            reason[rows] = decode_version(datagrams, rows, columns)


def _decode_dns(datagrams: Datagrams, columns: Columns, reason: NDArray[np.uint8]) -> DnsColumns:
    """Messages of UDP port 53; fragments after the first have no ports, so they are not looked at."""
    port = np.uint16(DNS_PORT).byteswap()
    candidate = (columns.source_word.view("u2")[0::4] == port) | (columns.destination_word.view("u2")[0::4] == port)
    candidate &= columns.flow_class.view("u1")[0::8] == PROTOCOL_UDP
    candidate &= reason == 0
    position = np.flatnonzero(candidate)
    if not len(position):
        return DnsColumns()
    end = datagrams.offset[position] + np.minimum(datagrams.available[position], columns.ip_total_length[position])
    return dns_columns(datagrams.buffer, position, columns.transport[position] + 8, end)


def without_undecodable(packets: PacketColumns, reason: NDArray[np.uint8]) -> PacketColumns:
    """Move the rows that have a reason from the columns to the undecodable packets."""
    keep = reason == 0
    bad = np.flatnonzero(~keep)
    claims = packets.claims
    dated = reason[claims.position] != Undecodable.BAD_TIMESTAMP
    rows_before = np.concatenate((np.zeros(1, "i8"), np.cumsum(keep)))
    return replace(
        packets.kept(keep),
        undecodable_position=bad - np.arange(len(bad)),
        undecodable_timestamp_ns=np.where(reason[bad] == Undecodable.BAD_TIMESTAMP, 0, packets.timestamp_ns[bad]),
        undecodable_reason=reason[bad],
        claims=claims.taken(dated, rows_before[claims.position[dated]]),
    )

"""Frames to packet columns, vectorised: the fast path for plain IPv4, and what it hands the odd packets to.

Most packets are `plain`, and decoded as they lie. The rest (IPv6, options, fragments, short packets) is decoded field by field in
`internet`, a subset at a time.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netmote.capture.claims import claim_columns
from netmote.capture.coalesced import take_apart
from netmote.capture.dns import DNS_PORT, dns_columns
from netmote.capture.encapsulation import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6
from netmote.capture.frames import LINKTYPE_ETHERNET, Frames, even_parts, rows_at
from netmote.capture.internet import Columns, Datagrams, decode_ipv4, decode_ipv6
from netmote.capture.link_layer import SUPPORTED, network_layer
from netmote.capture.packets import (
    PROTOCOL_UDP,
    ClaimColumns,
    CoalescedColumns,
    DnsColumns,
    PacketColumns,
    Undecodable,
)
from netmote.capture.plain import ETHERNET_HEADER, PLAIN_ROW, decode_plain, ether_types
from netmote.capture.tunnels import Tunnel, look_inside

LATEST_NS = 7_258_118_400_000_000_000  # 2200-01-01: later timestamps are damage, not time
_CACHED = 8192  # packets decoded at once from copies: their rows stay in the second-level cache


def decode(
    frames: Frames,
    interface: str,
    *,
    dropped: int = 0,
    tunnels: tuple[Tunnel, ...] = (),
    ether_type: NDArray[np.uint16] | None = None,
    columns: Columns | None = None,
) -> PacketColumns:
    """Decode frames of one interface. Every frame becomes a row or an undecodable entry; nothing raises on bad bytes.

    Of `tunnels` the inner packet is the row (see `tunnels`). `columns` are given where plain packets were decoded already, and with them
    `ether_type` (n,), what stands behind the addresses of Ethernet frames; both are written to.
    """
    count = len(frames)
    reason = np.zeros(count, "u1")
    if columns is None:
        columns = Columns.allocate(count)
        if frames.link_type == LINKTYPE_ETHERNET:
            ether_type = _decode_ethernet(frames, columns)
    dns, coalesced, claims = DnsColumns(), CoalescedColumns(), ClaimColumns()
    if frames.link_type in SUPPORTED:
        network = network_layer(frames, ether_type)
        end = frames.offset + frames.captured
        datagrams = Datagrams(frames.buffer, network.ether_type, network.offset, end, frames)
        np.add(network.offset, 20, out=columns.transport)  # of plain packets
        odd = (columns.flow_class == 0).nonzero()[0]
        if len(odd):
            odd = _decode_moved(datagrams, odd, columns)
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
    if count and not 0 <= int(frames.timestamp_ns.min()) <= int(frames.timestamp_ns.max()) < LATEST_NS:
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


def _decode_ethernet(frames: Frames, columns: Columns) -> NDArray[np.uint16]:
    """Fill the rows of plain packets right behind their Ethernet header; what stands there of every frame."""
    kinds = np.empty(len(frames), "u2")
    for part, rows in even_parts(frames.buffer, frames.offset, ETHERNET_HEADER + PLAIN_ROW):
        ether_type = kinds[part]
        ether_type[:] = ether_types(rows, 0)
        captured = frames.captured[part]
        decode_plain(rows[:, ETHERNET_HEADER:], ether_type, captured, columns, part, link_header=ETHERNET_HEADER)
    return kinds


def _decode_moved(datagrams: Datagrams, odd: NDArray[np.int64], columns: Columns) -> NDArray[np.int64]:
    """Fill the rows of plain packets wherever their IP header begins, of those at `odd`; the rest of `odd` is returned."""
    four = odd[datagrams.ether_type.take(odd) == ETHERTYPE_IPV4]
    for first in range(0, len(four), _CACHED):
        some = four[first : first + _CACHED]
        rows = rows_at(datagrams.buffer, datagrams.offset.take(some), PLAIN_ROW)
        found = Columns.allocate(len(some))
        decode_plain(rows, None, datagrams.available(some), found, slice(None), link_header=0)
        columns.put(some, found)
    return odd[columns.flow_class.take(odd) == 0] if len(four) else odd


def _decode_odd(datagrams: Datagrams, odd: NDArray[np.int64], columns: Columns, reason: NDArray[np.uint8]) -> None:
    """Everything that is not plain: it is decoded, every column but those of ICMP and fragments anew, or it gets its reason."""
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
    candidate = columns.source_word.astype("u2") == port
    candidate |= columns.destination_word.astype("u2") == port
    position = candidate.nonzero()[0]
    if not len(position):
        return DnsColumns()
    is_udp = columns.flow_class.take(position).astype("u1") == PROTOCOL_UDP
    position = position[is_udp & (reason.take(position) == 0)]
    if not len(position):
        return DnsColumns()
    end = datagrams.offset[position] + np.minimum(datagrams.available(position), columns.ip_total_length[position])
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

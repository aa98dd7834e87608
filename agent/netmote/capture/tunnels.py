"""The packet inside a packet, when asked: GRE, IP in IP, VXLAN, Geneve, GTP-U.

The inner packet takes the place of the outer one: addresses, ports, lengths and everything else are its own, and its octets are those
of its IP packet, so that what the tunnel adds is not counted. The VLAN stays that of the outer frame; keys, VNIs and TEIDs are not told,
so equal addresses in two tunnels are one. What cannot be looked into stays the outer packet: fragments, ciphered payloads, inner
headers that are cut off or contradict themselves, what is no IP. Of tunnels in tunnels four are opened.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from netmote.capture.encapsulation import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_MPLS,
    ETHERTYPE_MPLS_MULTICAST,
    NOT_IP,
    step_over,
    step_over_ppp,
)
from netmote.capture.frames import LINKTYPE_ETHERNET, Frames, rows_at
from netmote.capture.internet import Columns, Datagrams, decode_ipv4, decode_ipv6
from netmote.capture.link_layer import network_layer
from netmote.capture.packets import PROTOCOL_UDP

Tunnel = Literal["gre", "ipip", "vxlan", "geneve", "gtpu"]
IP_PROTOCOLS: dict[str, tuple[int, ...]] = {"gre": (47,), "ipip": (4, 41)}  # IANA protocol numbers
UDP_PORTS = {"vxlan": 4789, "geneve": 6081, "gtpu": 2152}  # RFC 7348, RFC 8926 section 3.3, 3GPP TS 29.281 section 4.4.2
_DEEPEST = 4
_ETHERNET = 0xFFFF  # an Ethernet frame comes next: no EtherType
# GRE: flags of RFC 2784, RFC 2890, RFC 1701 (routing) and RFC 2637 (acknowledgement), and protocol types.
_CHECKSUM, _ROUTING, _KEY, _SEQUENCE, _ACKNOWLEDGED, _VERSION = 0x8000, 0x4000, 0x2000, 0x1000, 0x0080, 0x0007
_TRANSPARENT_ETHERNET, _PPP, _ERSPAN, _ERSPAN_III = 0x6558, 0x880B, 0x88BE, 0x22EB
_LABELLED = (ETHERTYPE_MPLS, ETHERTYPE_MPLS_MULTICAST)
_GTP_PACKET = 255  # message type G-PDU (3GPP TS 29.281 section 6.1)
_MOST_EXTENSIONS = 8
_Found = tuple[NDArray[np.uint16], NDArray[np.int64]]  # EtherType of what is inside and where it begins


def look_inside(datagrams: Datagrams, columns: Columns, rows: NDArray[np.int64], tunnels: tuple[Tunnel, ...]) -> Datagrams:
    """Put the inner packet of these tunnels in the place of the outer one, of the packets at `rows`; returns where those lie now."""
    is_copied = False
    for _ in range(_DEEPEST):
        rows = rows[~columns.is_fragment[rows]]
        protocol = columns.flow_class.view("u1")[0::8][rows]
        port = columns.destination_word.view(">u2")[0::4][rows]
        end = datagrams.offset[rows] + np.minimum(datagrams.available(rows), columns.ip_total_length[rows])
        ether_type, offset = np.full(len(rows), NOT_IP, "u2"), columns.transport[rows]
        for tunnel in tunnels:
            if tunnel in UDP_PORTS:
                chosen = np.flatnonzero((protocol == PROTOCOL_UDP) & (port == UDP_PORTS[tunnel]))
            else:
                chosen = np.flatnonzero(np.isin(protocol, IP_PROTOCOLS[tunnel]))
            if len(chosen):
                ether_type[chosen], offset[chosen] = _HEADERS[tunnel](
                    datagrams.buffer, offset[chosen], end[chosen], protocol[chosen]
                )
        _read_links(datagrams.buffer, end, ether_type, offset)
        before = offset - datagrams.offset[rows]
        wire = datagrams.wire(rows) - before
        good = np.flatnonzero(_is_sound(datagrams.buffer, ether_type, offset, end, wire))
        if not len(good):
            break
        rows = rows[good]
        if not is_copied:
            copies = {name: getattr(datagrams, name).copy() for name in ("ether_type", "offset", "end")}
            datagrams, is_copied, columns.is_reread = replace(datagrams, **copies), True, True
        datagrams.ether_type[rows], datagrams.offset[rows] = ether_type[good], offset[good]
        datagrams.end[rows] = end[good]
        columns.clear(rows)
        for version, decode_version in ((ETHERTYPE_IPV4, decode_ipv4), (ETHERTYPE_IPV6, decode_ipv6)):
            inner = rows[ether_type[good] == version]
            if len(inner):
                decode_version(datagrams, inner, columns)  # sound: none has a reason
    return datagrams


def _read_links(
    buffer: NDArray[np.uint8], end: NDArray[np.int64], ether_type: NDArray[np.uint16], offset: NDArray[np.int64]
) -> None:
    """From an inner Ethernet frame, or inner labels, to the network header, in place."""
    frames = np.flatnonzero(ether_type == _ETHERNET)
    if len(frames):
        captured = np.maximum(end[frames] - offset[frames], 0)
        length = captured.astype("u4")
        network = network_layer(Frames(buffer, offset[frames], captured, length, np.zeros(len(frames), "i8"), LINKTYPE_ETHERNET))
        ether_type[frames], offset[frames] = network.ether_type, network.offset
    labelled = np.flatnonzero((ether_type == _LABELLED[0]) | (ether_type == _LABELLED[1]))
    if len(labelled):
        step_over(buffer, end, ether_type, offset, labelled)


def _is_sound(
    buffer: NDArray[np.uint8],
    ether_type: NDArray[np.uint16],
    offset: NDArray[np.int64],
    end: NDArray[np.int64],
    wire: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """(n,) where an IP header begins that is wholly there, agrees with itself, and claims no more than the outer packet holds."""
    header = rows_at(buffer, offset, 8)
    version, there = header[:, 0] >> 4, end - offset
    length = (header[:, 0] & 0x0F).astype("i8") * 4
    total = header.view(">u2")[:, 1].astype("i8")
    four = (ether_type == ETHERTYPE_IPV4) & (version == 4) & (there >= 20) & (length >= 20)
    four &= ((total >= length) | (total == 0)) & (total <= wire)
    payload = header.view(">u2")[:, 2].astype("i8")
    found: NDArray[np.bool_] = four | ((ether_type == ETHERTYPE_IPV6) & (version == 6) & (there >= 40) & (payload + 40 <= wire))
    return found


def _ip_in_ip(_: NDArray[np.uint8], offset: NDArray[np.int64], __: NDArray[np.int64], protocol: NDArray[np.uint8]) -> _Found:
    """RFC 2003, RFC 4213 section 3, RFC 2473: the protocol number names the version."""
    return np.where(protocol == 4, ETHERTYPE_IPV4, ETHERTYPE_IPV6).astype("u2"), offset


def _gre(buffer: NDArray[np.uint8], offset: NDArray[np.int64], end: NDArray[np.int64], _: NDArray[np.uint8]) -> _Found:
    """Version 0, and version 1 of PPTP (RFC 2637), whose payload is PPP; also the mirrored frames of ERSPAN."""
    head = rows_at(buffer, offset, 4).view(">u2").astype("u2")
    flags, kind = head[:, 0], head[:, 1]
    version = flags & _VERSION

    def fields(bits: int) -> NDArray[np.int64]:
        octets: NDArray[np.int64] = ((flags & bits) != 0).astype("i8") * 4
        return octets

    ether_type = kind.copy()
    behind = offset + 4 + fields(_CHECKSUM | _ROUTING) + fields(_KEY) + fields(_SEQUENCE)
    ether_type[(version > 1) | ((version == 0) & ((flags & _ROUTING) != 0))] = NOT_IP
    ether_type[kind == _TRANSPARENT_ETHERNET] = _ETHERNET
    mirrored = (kind == _ERSPAN) | (kind == _ERSPAN_III)
    if mirrored.any():
        # ERSPAN type I has no header and no sequence number; type II has 8 octets, type III 12, and 8 more where O is set.
        second = 8 * (kind == _ERSPAN) * ((flags & _SEQUENCE) != 0)
        third = (kind == _ERSPAN_III) * (12 + 8 * (rows_at(buffer, behind + 11, 1).reshape(-1) & 1).astype("i8"))
        behind += second + third
        ether_type[mirrored] = _ETHERNET
    point_to_point = np.flatnonzero((version == 1) & (kind == _PPP))
    ether_type[version == 1] = NOT_IP
    if len(point_to_point):
        start = (offset + 8 + fields(_SEQUENCE) + fields(_ACKNOWLEDGED))[point_to_point]
        ether_type[point_to_point], behind[point_to_point] = step_over_ppp(buffer, start, end[point_to_point])
    ether_type[(offset + 4 > end) | (behind > end)] = NOT_IP
    return ether_type, behind


def _vxlan(buffer: NDArray[np.uint8], offset: NDArray[np.int64], end: NDArray[np.int64], _: NDArray[np.uint8]) -> _Found:
    """RFC 7348 section 5: eight octets whose I flag is set, then an Ethernet frame."""
    is_valid = (rows_at(buffer, offset + 8, 1).reshape(-1) & 0x08 != 0) & (offset + 16 <= end)
    return np.where(is_valid, _ETHERNET, NOT_IP).astype("u2"), offset + 16


def _geneve(buffer: NDArray[np.uint8], offset: NDArray[np.int64], end: NDArray[np.int64], _: NDArray[np.uint8]) -> _Found:
    """RFC 8926 section 3.4: version 0, options in units of four octets, and the EtherType of what is inside."""
    header = rows_at(buffer, offset + 8, 4)
    behind = offset + 16 + 4 * (header[:, 0] & 0x3F).astype("i8")
    ether_type = header.view(">u2")[:, 1].astype("u2")
    ether_type[ether_type == _TRANSPARENT_ETHERNET] = _ETHERNET
    ether_type[(header[:, 0] >> 6 != 0) | (header[:, 1] & 0x80 != 0) | (behind > end)] = NOT_IP  # O: for the endpoints
    return ether_type, behind


def _gtp(buffer: NDArray[np.uint8], offset: NDArray[np.int64], end: NDArray[np.int64], _: NDArray[np.uint8]) -> _Found:
    """A user packet of GTP-U version 1 (3GPP TS 29.281 section 5), behind its extension headers; its first nibble tells the version."""
    header = rows_at(buffer, offset + 8, 12)
    is_packet = (header[:, 0] & 0xF0 == 0x30) & (header[:, 1] == _GTP_PACKET) & (offset + 16 <= end)
    has_options = (header[:, 0] & 0x07) != 0
    behind = offset + 16 + 4 * has_options
    walking = np.flatnonzero(is_packet & ((header[:, 0] & 0x04) != 0) & (header[:, 11] != 0) & (behind <= end))
    for _extension in range(_MOST_EXTENSIONS):
        if not len(walking):
            break
        length = rows_at(buffer, behind[walking], 1).reshape(-1).astype("i8") * 4  # in units of four octets, 0 is none
        there = (length > 0) & (behind[walking] + length <= end[walking])
        is_packet[walking[~there]] = False
        walking, length = walking[there], length[there]
        behind[walking] += length
        walking = walking[rows_at(buffer, behind[walking] - 1, 1).reshape(-1) != 0]
    is_packet[walking] = False
    version = rows_at(buffer, behind, 1).reshape(-1) >> 4
    ether_type = np.where(version == 4, ETHERTYPE_IPV4, np.where(version == 6, ETHERTYPE_IPV6, NOT_IP))
    return np.where(is_packet, ether_type, NOT_IP).astype("u2"), behind


_HEADERS = {"gre": _gre, "ipip": _ip_in_ip, "vxlan": _vxlan, "geneve": _geneve, "gtpu": _gtp}

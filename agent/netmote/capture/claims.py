"""Who says it has which address: ARP, IPv6 neighbour discovery, and answers of DHCP servers, as sparse columns.

Read of a block at once. ARP packets are no rows (`Undecodable.ARP`); what they claim stands in `ClaimColumns` in the order of
arrival. What makes no claim is left out: probes (RFC 5227 section 1.1: they ask, with sender address 0), hardware addresses that are none,
neighbour advertisements without the Override flag (proxies and anycast, RFC 4861 section 7.2.4) or from beyond the link (hop limit
below 255, section 7.1), ARP inside other frames.
"""

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import LINKTYPE_ETHERNET, Frames, rows_at
from netmote.capture.internet import Columns, Datagrams
from netmote.capture.link_layer import NetworkLayer
from netmote.capture.packets import PROTOCOL_ICMPV6, PROTOCOL_UDP, Claim, ClaimColumns

_ARP_BYTES = 28  # Ethernet and IPv4 (RFC 826)
_ARP_HEAD = (0, 1, 8, 0, 6, 4, 0)  # hardware type 1, protocol type 0x0800, their lengths, high byte of the operation
_PORT = np.uint64(0xFFFF)  # of an endpoint word
_DHCP_SERVER_PORT = np.uint64(np.uint16(67).byteswap())  # RFC 2131 section 4.1
_BOOT_REPLY = 2
_SOLICITATION, _ADVERTISEMENT = 135, 136  # RFC 4861 sections 4.3 and 4.4
_SOURCE_LINK_LAYER, _TARGET_LINK_LAYER = 1, 2  # options, section 4.6.1
_OVERRIDE = 0x20
_NEIGHBOUR_BYTES = 24  # before the options: type, code, checksum, flags, target address
_MOST_OPTIONS = 4
_BROADCAST = np.uint64(0xFFFF_FFFF_FFFF)
_IPV4_BROADCAST, _IPV4_MULTICAST = np.uint32(0xFFFF_FFFF), 0xE


def claim_columns(frames: Frames, network: NetworkLayer, datagrams: Datagrams, columns: Columns) -> ClaimColumns:
    """Claims of the frames, positions being those of the frames. A block without any costs two comparisons."""
    parts = []
    if len(network.arp):
        parts.append(_of_arp(datagrams, network.arp))
    parts += _of_neighbours(datagrams, columns)
    if frames.link_type == LINKTYPE_ETHERNET:
        parts += _of_dhcp(frames, datagrams, columns)
    parts = [part for part in parts if len(part[0])]
    if not parts:
        return ClaimColumns()
    position, kind, hardware, address = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(position, kind="stable")
    position = position[order]
    segment = np.zeros(len(position), "u4")
    if network.vlan is not None:
        segment[:] = network.vlan[position] >> np.uint64(16)
    return ClaimColumns(position, frames.timestamp_ns[position], kind[order], segment, hardware[order], address[order])


_Part = tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint64], NDArray[np.void]]  # position, kind, hardware, address


def _of_arp(datagrams: Datagrams, rows: NDArray[np.int64]) -> _Part:
    rows = rows[datagrams.available(rows) >= _ARP_BYTES]
    body = rows_at(datagrams.buffer, datagrams.offset[rows], _ARP_BYTES)
    sender, target = body[:, 14:18].copy().view(">u4").reshape(-1), body[:, 24:28].copy().view(">u4").reshape(-1)
    hardware = _hardware(body[:, 8:14])
    good = (body[:, :7] == _ARP_HEAD).all(axis=1) & ((body[:, 7] == 1) | (body[:, 7] == 2))
    good &= _is_hardware(hardware) & _is_host(sender)
    kind = np.where(sender == target, Claim.GRATUITOUS_ARP, np.where(body[:, 7] == 1, Claim.ARP_REQUEST, Claim.ARP_REPLY))
    return rows[good], kind[good].astype("u1"), hardware[good], _mapped(body[good, 14:18])


def _of_neighbours(datagrams: Datagrams, columns: Columns) -> list[_Part]:
    """Solicitations say who asks, advertisements who is asked for."""
    rows = np.flatnonzero(columns.icmp_type >= _SOLICITATION)
    if not len(rows):
        return []
    rows = rows[(columns.flow_class.view("u1")[0::8][rows] == PROTOCOL_ICMPV6) & (columns.time_to_live[rows] == 255)]
    rows = rows[(columns.icmp_type[rows] <= _ADVERTISEMENT) & (columns.icmp_code[rows] == 0) & ~columns.is_fragment[rows]]
    start = columns.transport[rows]
    end = datagrams.offset[rows] + np.minimum(datagrams.available(rows), columns.ip_total_length[rows])
    whole = start + _NEIGHBOUR_BYTES <= end
    rows, start, end = rows[whole], start[whole], end[whole]
    fixed = rows_at(datagrams.buffer, start, _NEIGHBOUR_BYTES)
    is_answer = fixed[:, 0] == _ADVERTISEMENT
    address = np.where(is_answer[:, None], fixed[:, 8:24], rows_at(datagrams.buffer, datagrams.offset[rows] + 8, 16))
    wanted = np.where(is_answer, _TARGET_LINK_LAYER, _SOURCE_LINK_LAYER)
    hardware = _link_layer_option(datagrams.buffer, start + _NEIGHBOUR_BYTES, end, wanted)
    good = _is_hardware(hardware) & (address.any(axis=1)) & (address[:, 0] != 0xFF)  # the unspecified address asks, as a probe
    good &= ~is_answer | ((fixed[:, 4] & _OVERRIDE) != 0)
    kind = np.where(is_answer, Claim.NEIGHBOUR_ADVERTISEMENT, Claim.NEIGHBOUR_SOLICITATION).astype("u1")
    return [(rows[good], kind[good], hardware[good], np.ascontiguousarray(address[good]).view("V16").reshape(-1))]


def _link_layer_option(
    buffer: NDArray[np.uint8], offset: NDArray[np.int64], end: NDArray[np.int64], wanted: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """The hardware address in the option of this type among the first four, 0 where there is none."""
    hardware, offset = np.zeros(len(offset), "u8"), offset.copy()
    walking = np.arange(len(offset))
    for _ in range(_MOST_OPTIONS):
        walking = walking[offset[walking] + 8 <= end[walking]]
        if not len(walking):
            break
        option = rows_at(buffer, offset[walking], 8)
        found = (option[:, 0] == wanted[walking]) & (option[:, 1] == 1)
        hardware[walking[found]] = _hardware(option[found, 2:])
        offset[walking] += option[:, 1].astype("i8") * 8  # a length of 0 is none (section 4.6)
        walking = walking[~found & (option[:, 1] > 0)]
    return hardware


def _of_dhcp(frames: Frames, datagrams: Datagrams, columns: Columns) -> list[_Part]:
    """Whoever sends BOOTREPLY from the server's port: a server, or a relay in its stead."""
    rows = np.flatnonzero((columns.source_word & _PORT) == _DHCP_SERVER_PORT)  # faster than a view of every fourth port
    if not len(rows):
        return []
    kept = columns.flow_class.view("u2")[0::4][rows] == (PROTOCOL_UDP | 4 << 8)
    kept &= ~columns.is_fragment[rows] & (columns.transport[rows] + 9 <= datagrams.end[rows])
    rows = rows[kept]
    rows = rows[rows_at(datagrams.buffer, columns.transport[rows] + 8, 1).reshape(-1) == _BOOT_REPLY]
    hardware = _hardware(rows_at(frames.buffer, frames.offset[rows] + 6, 6))
    address = np.ascontiguousarray(columns.source_word[rows].view("u1").reshape(-1, 8)[:, 4:])
    good = _is_hardware(hardware) & _is_host(address.view(">u4").reshape(-1))
    return [(rows[good], np.full(int(good.sum()), Claim.DHCP_SERVER, "u1"), hardware[good], _mapped(address[good]))]


def _hardware(octets: NDArray[np.uint8]) -> NDArray[np.uint64]:
    wide = np.zeros((len(octets), 8), "u1")
    wide[:, 2:] = octets
    return wide.view(">u8").reshape(-1).astype("u8")


def _is_hardware(hardware: NDArray[np.uint64]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (hardware != 0) & (hardware != _BROADCAST)
    return found


def _is_host(address: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Neither this network's nobody (0/8), nor multicast, nor broadcast."""
    found: NDArray[np.bool_] = (address >> 24 != 0) & (address >> 28 != _IPV4_MULTICAST) & (address != _IPV4_BROADCAST)
    return found


def _mapped(octets: NDArray[np.uint8]) -> NDArray[np.void]:
    wide = np.zeros((len(octets), 16), "u1")
    wide[:, 10:12] = 0xFF
    wide[:, 12:] = octets
    return wide.view("V16").reshape(-1)

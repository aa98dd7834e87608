"""From a link header to the network header: which EtherType, where it begins, which VLAN tags stood before it.

Ethernet II, 802.3 with SNAP, 802.1Q and 802.1ad tags (two are kept), Linux cooked v1 and v2, BSD null and loop, raw IP, PPP.
What `encapsulation` knows is stepped over.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from netmote.capture.encapsulation import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_PPPOE,
    VN_TAG,
    is_encapsulation,
    is_tag,
    step_over,
    step_over_ppp,
)
from netmote.capture.frames import (
    LINKTYPE_C_HDLC,
    LINKTYPE_ETHERNET,
    LINKTYPE_IPV4,
    LINKTYPE_IPV6,
    LINKTYPE_LINUX_SLL,
    LINKTYPE_LINUX_SLL2,
    LINKTYPE_LOOP,
    LINKTYPE_NULL,
    LINKTYPE_PPP,
    LINKTYPE_PPP_ETHER,
    LINKTYPE_PPP_HDLC,
    LINKTYPE_RAW,
    Frames,
    rows_at,
)

_DEEPEST_TAG = 8
# Address families of a BSD null header that mean IPv6: Linux, NetBSD and OpenBSD, FreeBSD, Darwin.
_NULL_IPV6 = (10, 24, 28, 30)
# Bytes before the network header, and where the EtherType stands in them.
_HEADERS = {LINKTYPE_ETHERNET: (14, 12), LINKTYPE_LINUX_SLL: (16, 14), LINKTYPE_LINUX_SLL2: (20, 0)}
_RAW = (LINKTYPE_RAW, 12, 14, LINKTYPE_IPV4, LINKTYPE_IPV6)  # 12 and 14 are raw IP in files of BSDs
_PPP = (LINKTYPE_PPP, LINKTYPE_PPP_HDLC, LINKTYPE_C_HDLC)
_NONE = np.zeros(0, "i8")
SUPPORTED = frozenset((*_HEADERS, *_RAW, *_PPP, LINKTYPE_PPP_ETHER, LINKTYPE_NULL, LINKTYPE_LOOP))


@dataclass(frozen=True, slots=True, eq=False)
class NetworkLayer:
    """Where each frame's network header begins."""

    ether_type: NDArray[np.uint16]  # (n,) 0 when the frame ends before it
    offset: NDArray[np.int64]  # (n,) in the buffer
    vlan: NDArray[np.uint64] | None  # (n,) outer << 16 | inner << 32 as in `flow_class`; None when no frame is tagged
    arp: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, "i8"))  # frames that are ARP of this very link


def _u2_at(buffer: NDArray[np.uint8], offset: NDArray[np.int64]) -> NDArray[np.uint16]:
    return rows_at(buffer, offset, 2).view(">u2").reshape(-1).astype("u2")


def _of_version(buffer: NDArray[np.uint8], offset: NDArray[np.int64]) -> NDArray[np.uint16]:
    version = rows_at(buffer, offset, 1).reshape(-1) >> 4
    return np.where(version == 4, ETHERTYPE_IPV4, np.where(version == 6, ETHERTYPE_IPV6, 0)).astype("u2")


def _of_family(frames: Frames) -> NDArray[np.uint16]:
    """EtherType of a 4-byte address family in either byte order."""
    raw = rows_at(frames.buffer, frames.offset, 4)
    family = raw.max(axis=1)  # three of the four bytes are zero
    single = (raw != 0).sum(axis=1) == 1
    six = np.isin(family, _NULL_IPV6)
    found: NDArray[np.uint16] = (np.where(family == 2, ETHERTYPE_IPV4, np.where(six, ETHERTYPE_IPV6, 1)) * single).astype("u2")
    return found


def network_layer(frames: Frames, ether_type: NDArray[np.uint16] | None = None) -> NetworkLayer:
    """Network headers of frames of a supported link type. Raises ValueError for another link type.

    Of Ethernet frames the `ether_type` behind the addresses may be known already; it is written to.
    """
    if frames.link_type in _RAW:
        ether_type = _of_version(frames.buffer, frames.offset)
        expected = {LINKTYPE_IPV4: ETHERTYPE_IPV4, LINKTYPE_IPV6: ETHERTYPE_IPV6}.get(frames.link_type)
        if expected is not None:
            ether_type[:] = expected
        ether_type[ether_type == 0] = ETHERTYPE_IPV4  # neither version: a bad IP header
        ether_type[frames.captured == 0] = 0
        return NetworkLayer(ether_type, frames.offset, None)
    if frames.link_type in (LINKTYPE_NULL, LINKTYPE_LOOP):
        ether_type = _of_family(frames)
        ether_type[frames.captured < 4] = 0
        return NetworkLayer(ether_type, frames.offset + 4, None)
    if frames.link_type in _PPP or frames.link_type == LINKTYPE_PPP_ETHER:
        return _of_ppp(frames)
    if frames.link_type not in _HEADERS:
        raise ValueError(f"link type {frames.link_type} is not decoded; known: {sorted(SUPPORTED)}")
    length, where = _HEADERS[frames.link_type]
    offset = frames.offset + length
    if ether_type is None:
        ether_type = _u2_at(frames.buffer, frames.offset + where)
    if len(frames) and int(frames.captured.min()) < length:
        ether_type[frames.captured < length] = 0
    other = np.flatnonzero((ether_type != ETHERTYPE_IPV4) & (ether_type != ETHERTYPE_IPV6))  # few: only these are looked at again
    kinds = ether_type[other]
    short = other[(kinds < 0x0600) & (frames.captured[other] >= length)]
    if len(short):
        _read_snap(frames, short, ether_type, offset)
        kinds = ether_type[other]
    vlan = _read_tags(frames, ether_type, offset, other[is_tag(kinds)])
    kinds = ether_type[other]
    arp = other[kinds == ETHERTYPE_ARP]
    inside = other[is_encapsulation(kinds)]
    if len(inside):
        step_over(frames.buffer, frames.offset + frames.captured, ether_type, offset, inside)
    return NetworkLayer(ether_type, offset, vlan, arp)


def _of_ppp(frames: Frames) -> NetworkLayer:
    """PPP with or without HDLC framing, Cisco's HDLC, or PPP behind a PPPoE header."""
    end, rows = frames.offset + frames.captured, np.arange(len(frames))
    if frames.link_type == LINKTYPE_PPP_ETHER:
        ether_type, offset = np.full(len(frames), ETHERTYPE_PPPOE, "u2"), frames.offset.copy()
    else:
        ether_type, offset = step_over_ppp(frames.buffer, frames.offset, end)
    step_over(frames.buffer, end, ether_type, offset, rows[is_encapsulation(ether_type)])
    return NetworkLayer(ether_type, offset, None)


def _read_snap(frames: Frames, short: NDArray[np.int64], ether_type: NDArray[np.uint16], offset: NDArray[np.int64]) -> None:
    """An 802.3 length instead of an EtherType: look behind LLC/SNAP with OUI 0 (RFC 1042). Others stay what they are: not IP."""
    header = rows_at(frames.buffer, offset[short], 8)
    end = frames.offset[short] + frames.captured[short]
    snap = (header[:, :6] == (0xAA, 0xAA, 0x03, 0, 0, 0)).all(axis=1) & (offset[short] + 8 <= end)
    ether_type[short] = np.where(snap, header[:, 6:8].copy().view(">u2").reshape(-1), 1)
    offset[short] += np.where(snap, 8, 0)


def _read_tags(
    frames: Frames, ether_type: NDArray[np.uint16], offset: NDArray[np.int64], tagged: NDArray[np.int64]
) -> NDArray[np.uint64] | None:
    """Step over the VLAN tags of the frames at `tagged`, in place; the first two VIDs are kept, whether the kernel or the frame holds the first."""
    kernel = _NONE if frames.is_tagged is None else frames.is_tagged.nonzero()[0]
    if not len(tagged) and not len(kernel):
        return None
    vlan, depth = np.zeros(len(frames), "u8"), np.zeros(len(frames), "u1")
    if frames.tag_control is not None:
        vlan[kernel] = (frames.tag_control[kernel] & np.uint16(0x0FFF)).astype("u8") << np.uint64(16)
        depth[kernel] = 1
    for _ in range(_DEEPEST_TAG):
        if not len(tagged):
            break
        length = 4 + 2 * (ether_type[tagged] == VN_TAG)
        there = offset[tagged] + length <= frames.offset[tagged] + frames.captured[tagged]
        ether_type[tagged[~there]] = 0
        tagged, length = tagged[there], length[there]
        tag = rows_at(frames.buffer, offset[tagged], 2).view(">u2").reshape(-1)
        is_vlan = length == 4  # a VN-Tag names the port of an extender, not a network
        kept = is_vlan & (depth[tagged] < 2)
        shift = (depth[tagged[kept]].astype("u8") + np.uint64(1)) << np.uint64(4)
        vlan[tagged[kept]] |= (tag[kept].astype("u8") & np.uint64(0x0FFF)) << shift
        depth[tagged] += is_vlan
        offset[tagged] += length
        ether_type[tagged] = _u2_at(frames.buffer, offset[tagged] - 2)
        tagged = tagged[is_tag(ether_type[tagged])]
    return vlan

"""What may stand between a link header and an IP header besides VLAN tags: MPLS label stacks, PPPoE sessions, PPP, tags of switches.

These are of the link, so they are always stepped over; tunnels over IP are `tunnels`. A frame in a pseudo-wire (RFC 4448) or in
another frame is another network's: its VLAN tags are stepped over and not told. Where what follows is not plainly IP the frame is not IP.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import rows_at

ETHERTYPE_IPV4, ETHERTYPE_ARP, ETHERTYPE_IPV6 = 0x0800, 0x0806, 0x86DD
ETHERTYPE_MPLS, ETHERTYPE_MPLS_MULTICAST, ETHERTYPE_PPPOE = 0x8847, 0x8848, 0x8864  # RFC 5332 section 3, RFC 2516 section 4
VLAN_TAGS = (0x8100, 0x88A8, 0x9100)  # 802.1Q, 802.1ad, and the tag used before 802.1ad
VN_TAG, _PROVIDER_BACKBONE = 0x8926, 0x88E7  # Cisco VN-Tag, IEEE 802.1ah
# Octets from what an EtherType begins to behind the next one: the tag; for 802.1ah also two MAC addresses.
_FIXED = {**dict.fromkeys(VLAN_TAGS, 4), VN_TAG: 6, _PROVIDER_BACKBONE: 18}
NOT_IP = 1  # no EtherType: what is there is known not to be IP
_DEEPEST = 8  # encapsulations in one another
_MOST_LABELS = 16
_ETHERNET = 14
_PPP_IPV4, _PPP_IPV6, _PPP_MPLS, _PPP_MPLS_MULTICAST = 0x0021, 0x0057, 0x0281, 0x0283  # IANA, RFC 5072, RFC 3032 section 4.3
_HDLC_ALL_STATIONS = 0xFF03  # address and control of RFC 1662 section 3.1
_CISCO_HDLC = (0x0F00, 0x8F00)  # unicast and broadcast; an EtherType follows (RFC 1547 section 4.3.1)
_Step = Callable[
    [NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]], tuple[NDArray[np.uint16], NDArray[np.int64]]
]  # buffer, offset, end -> EtherType and offset of what is inside


def is_tag(ether_type: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """(n,) of an EtherType that begins a VLAN tag, or the VN-Tag that may stand among them."""
    found: NDArray[np.bool_] = ether_type == VN_TAG
    for kind in VLAN_TAGS:
        found |= ether_type == kind
    return found


def is_encapsulation(ether_type: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """(n,) of an EtherType this module steps over."""
    found: NDArray[np.bool_] = (ether_type == ETHERTYPE_MPLS) | (ether_type == ETHERTYPE_MPLS_MULTICAST)
    found |= (ether_type == ETHERTYPE_PPPOE) | (ether_type == _PROVIDER_BACKBONE)
    return found


def step_over(
    buffer: NDArray[np.uint8],
    end: NDArray[np.int64],
    ether_type: NDArray[np.uint16],
    offset: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> None:
    """Lead the frames at `rows` to their network header: `ether_type` and `offset` (n,) are changed in place.

    Each has an EtherType of `is_encapsulation` or `is_tag`. `end` (n,) is where each frame's captured bytes end. An EtherType of 0 means cut off, 1 means that it is not IP.
    """
    for _ in range(_DEEPEST):
        kinds = ether_type[rows]
        for kind in np.unique(kinds).tolist():
            chosen = rows[kinds == kind]
            if kind in _FIXED:
                step: _Step = partial(_fixed, length=_FIXED[kind])
            else:
                step = _pppoe if kind == ETHERTYPE_PPPOE else _mpls
            ether_type[chosen], offset[chosen] = step(buffer, offset[chosen], end[chosen])
        rows = rows[is_encapsulation(ether_type[rows]) | is_tag(ether_type[rows])]
        if not len(rows):
            return
    ether_type[rows] = NOT_IP


def step_over_ppp(
    buffer: NDArray[np.uint8], offset: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """(EtherType, offset) of what a PPP frame at `offset` carries, with or without its HDLC address and control fields."""
    head = rows_at(buffer, offset, 4).view(">u2")
    is_cisco = (head[:, 0] == _CISCO_HDLC[0]) | (head[:, 0] == _CISCO_HDLC[1])
    start = offset + 2 * (head[:, 0] == _HDLC_ALL_STATIONS)
    ether_type, behind = _protocol(buffer, start, end)
    ether_type = np.where(is_cisco, head[:, 1], ether_type).astype("u2")
    behind = np.where(is_cisco, offset + 4, behind)
    ether_type[behind > end] = 0
    return ether_type, behind


def _fixed(
    buffer: NDArray[np.uint8], offset: NDArray[np.int64], end: NDArray[np.int64], *, length: int
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    ether_type = rows_at(buffer, offset + length - 2, 2).view(">u2").reshape(-1).astype("u2")
    ether_type[offset + length > end] = 0
    return ether_type, offset + length


def _pppoe(
    buffer: NDArray[np.uint8], offset: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Version 1, type 1, code 0, session and length (RFC 2516 section 4), then the PPP protocol."""
    is_session = rows_at(buffer, offset, 2).view(">u2").reshape(-1) == 0x1100
    ether_type, behind = _protocol(buffer, offset + 6, end)
    ether_type[~is_session & (offset + 2 <= end)] = NOT_IP
    return ether_type, behind


def _protocol(
    buffer: NDArray[np.uint8], offset: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """A PPP protocol number of two octets, or of one, which is odd (RFC 1661 section 6.5)."""
    head = rows_at(buffer, offset, 2)
    is_short = (head[:, 0] & 1) == 1
    protocol = np.where(is_short, head[:, 0], head.view(">u2").reshape(-1))
    ether_type = np.full(len(offset), NOT_IP, "u2")
    for number, means in (
        (_PPP_IPV4, ETHERTYPE_IPV4),
        (_PPP_IPV6, ETHERTYPE_IPV6),
        (_PPP_MPLS, ETHERTYPE_MPLS),
        (_PPP_MPLS_MULTICAST, ETHERTYPE_MPLS_MULTICAST),
    ):
        ether_type[protocol == number] = means
    behind = offset + 2 - is_short
    ether_type[behind > end] = 0
    return ether_type, behind


def _mpls(
    buffer: NDArray[np.uint8], offset: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Step over the labels to the bottom of the stack (RFC 3032 section 2.1); the first nibble behind tells IP (RFC 4928)."""
    offset = offset.copy()
    ether_type = np.full(len(offset), NOT_IP, "u2")
    walking = np.arange(len(offset))
    bottom: list[NDArray[np.int64]] = []
    for _ in range(_MOST_LABELS):
        there = offset[walking] + 4 <= end[walking]
        ether_type[walking[~there]] = 0
        walking = walking[there]
        is_bottom = (rows_at(buffer, offset[walking], 4)[:, 2] & 1) == 1
        offset[walking] += 4
        bottom.append(walking[is_bottom])
        walking = walking[~is_bottom]
        if not len(walking):
            break
    done = np.concatenate(bottom)
    there = offset[done] < end[done]
    ether_type[done[~there]] = 0
    done = done[there]
    nibble = rows_at(buffer, offset[done], 1).reshape(-1) >> 4
    ether_type[done[nibble == 4]] = ETHERTYPE_IPV4
    ether_type[done[nibble == 6]] = ETHERTYPE_IPV6
    wires = done[(nibble != 4) & (nibble != 6)]
    if len(wires):
        ether_type[wires], offset[wires] = _pseudo_wire(buffer, offset[wires], end[wires])
    return ether_type, offset


def _pseudo_wire(
    buffer: NDArray[np.uint8], offset: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Ethernet behind a control word (RFC 4448 section 4.6), or without one; only where its EtherType is plainly one."""
    ether_type = np.full(len(offset), NOT_IP, "u2")
    behind = offset.copy()
    has_word = rows_at(buffer, offset, 1).reshape(-1) < 0x10
    for chosen, word in ((np.ones(len(offset), "?"), 0), (has_word, 4)):  # the control word, where both fit
        start = offset + word
        row = rows_at(buffer, start, _ETHERNET + 1)
        kind = row[:, 12:14].copy().view(">u2").reshape(-1)
        version = row[:, 14] >> 4
        plain = ((kind == ETHERTYPE_IPV4) & (version == 4)) | ((kind == ETHERTYPE_IPV6) & (version == 6))
        plain |= (kind == ETHERTYPE_ARP) | is_tag(kind) | is_encapsulation(kind)
        plain &= chosen & (start + _ETHERNET <= end)
        ether_type[plain] = kind[plain]
        behind[plain] = start[plain] + _ETHERNET
    return ether_type, behind

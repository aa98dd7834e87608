"""What the kernel says of a frame that stands for several: struct virtio_net_hdr before it in the ring (linux/virtio_net.h).

Where it says nothing, what is longer than any packet of the interface can be is taken for segments of the greatest length.
"""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import Frames, rows_at
from netmote.capture.packets import PROTOCOL_TCP, PROTOCOL_UDP

VIRTIO_HEADER_BYTES = 10
_SINCE = (6, 2)
_LINK_HEADERS = 22  # Ethernet and two VLAN tags
_SMALLEST_MTU = 1500  # up to it nothing is guessed, nor the interface asked
GSO_TYPE, _GSO_SIZE = 1, 4  # offsets; the size is in the machine's own byte order (packet(7), PACKET_VNET_HDR)
_ECN = 0x80  # VIRTIO_NET_HDR_GSO_ECN: the first segment alone carries CWR
# VIRTIO_NET_HDR_GSO_TCPV4, TCPV6, UDP_L4; 3 is the UDP fragmentation of old kernels: one datagram, whose fragments have no segments.
_PROTOCOL = np.zeros(256, "u1")
_PROTOCOL[[1, 4, 5]] = PROTOCOL_TCP, PROTOCOL_TCP, PROTOCOL_UDP


def with_segments(frames: Frames, kind: NDArray[np.uint8] | None = None) -> Frames:
    """The frames with their segment sizes, where any of them stands for several; each has the header right before it.

    `kind` (n,) is the byte `GSO_TYPE` of those headers, where it was read already. Nearly always this is all.
    """
    begin = frames.offset - VIRTIO_HEADER_BYTES
    if kind is None:
        kind = frames.buffer[begin + GSO_TYPE]
    if not kind.any():
        return frames
    protocol = _PROTOCOL[kind & ~np.uint8(_ECN)]
    size = np.zeros(len(frames), "u2")
    several = np.flatnonzero(protocol)
    size[several] = rows_at(frames.buffer, begin[several] + _GSO_SIZE, 2).view("u2").reshape(-1)
    return replace(frames, segment_size=size, segment_protocol=protocol * (size != 0))


def with_estimated_segments(frames: Frames, mtu: Callable[[], int]) -> Frames:
    """The frames with a guess for those that are too long for their interface; `mtu` is asked where any might be.

    The size stands for whole IP packets then, and the protocol is left 0: see `Frames`.
    """
    if not len(frames) or int(frames.wire_length.max()) <= _SMALLEST_MTU + _LINK_HEADERS:
        return frames
    longest = mtu()
    size = np.where(frames.wire_length > longest + _LINK_HEADERS, min(longest, 0xFFFF), 0).astype("u2")
    return replace(frames, segment_size=size, segment_protocol=np.zeros(len(frames), "u1")) if size.any() else frames


def is_told_of_all(release: str) -> bool:
    """Whether a kernel of this release (`uname -r`) has a header for all joined packets that are common.

    One asked for a header that it has not drops the packet. Before Linux 6.2 that befell UDP whose sender had it cut, as QUIC does; to
    lose it would be worse than to count joined packets as one. SCTP is left, which hardly any card cuts.
    """
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= _SINCE

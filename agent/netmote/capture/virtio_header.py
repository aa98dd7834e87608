"""What the kernel says of a frame that stands for several: struct virtio_net_hdr before it in the ring (linux/virtio_net.h)."""

import sys
from dataclasses import replace

import numpy as np

from netmote.capture.frames import Frames, rows_at
from netmote.capture.packets import PROTOCOL_TCP, PROTOCOL_UDP

VIRTIO_HEADER_BYTES = 10
_READ = 8  # flags, gso_type, hdr_len, gso_size; in the machine's own byte order (packet(7), PACKET_VNET_HDR)
_GSO_TYPE = np.uint64(0xFF00) if sys.byteorder == "little" else np.uint64(0x00FF_0000_0000_0000)
# VIRTIO_NET_HDR_GSO_TCPV4, TCPV6, UDP_L4; 3 is the UDP fragmentation of old kernels: one datagram, whose fragments have no segments.
_PROTOCOL = np.zeros(256, "u1")
_PROTOCOL[[1, 4, 5]] = PROTOCOL_TCP, PROTOCOL_TCP, PROTOCOL_UDP
_ECN = 0x80  # VIRTIO_NET_HDR_GSO_ECN: the first segment alone carries CWR


def with_segments(frames: Frames) -> Frames:
    """The frames with their segment sizes, where any of them stands for several; each has the header right before it."""
    word = rows_at(frames.buffer, frames.offset - VIRTIO_HEADER_BYTES, _READ).view("u8").reshape(-1)
    if not (word & _GSO_TYPE).any():
        return frames
    header = word.view("u1").reshape(-1, _READ)
    protocol = _PROTOCOL[header[:, 1] & ~np.uint8(_ECN)]
    size = header.view("u2")[:, 2] * (protocol != 0)
    return replace(frames, segment_size=size, segment_protocol=protocol * (size != 0))

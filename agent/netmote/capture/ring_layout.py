"""The seam between a ring's public face and the two ways the kernel lays packets out in shared memory (linux/if_packet.h)."""

import socket
import struct
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from netmote.capture.virtio_header import VIRTIO_HEADER_BYTES, is_told_of_all

SOL_PACKET = 263
STATISTICS, VERSION = 6, 10
MOST_PACKETS = 65_536  # handed on at once
ENOUGH_PACKETS = 32_768  # more at once are metered no faster

_RX_RING, _RESERVE, _VNET_HDR = 5, 12, 15


class RingLayout(Protocol):
    """Records of packets in memory shared with the kernel. One thread; `take`, look, `give_back`, in this order.

    Constructed with a packet socket that is not bound yet and the wanted size in bytes, or (`is_adopted`) with one on which another
    reader had such a ring of this size; `release` is the kernel's (`uname -r`). Raises OSError where the kernel refuses.
    """

    version: str
    """As the configuration names it."""
    record: "np.dtype[Any]"
    """Head of a record: at least `second nanosecond captured length status mac tag_control tag_protocol`."""
    has_vnet_header: bool
    """A virtio_net_hdr stands before each frame."""
    ring_bytes: int
    freezes: int
    records_walked: int

    @property
    def buffer(self) -> NDArray[np.uint8]:
        """The whole memory. Raises ValueError once closed."""
        ...

    def is_ready(self) -> bool:
        """A packet is there."""
        ...

    def gather(self, longest: float) -> None:
        """Sleep until a quarter of the ring is ready, or enough for a batch, or `longest` seconds have passed."""
        ...

    def take(self) -> NDArray[np.int64]:
        """Offsets in `buffer` of the records that are ready, oldest first, 65,536 at most; they stay until `give_back`."""
        ...

    def give_back(self) -> None:
        """The records taken last belong to the kernel again."""
        ...

    def take_dropped(self) -> int:
        """Packets that found no room, or were lost in a damaged block, since last asked."""
        ...

    def close(self) -> None:
        """Unmap. Safe twice."""
        ...


def set_up(packet_socket: socket.socket, *, version: int, request: bytes, release: str) -> None:
    """Choose the version, where frames begin, and allocate the ring; `release` is the kernel's."""
    packet_socket.setsockopt(SOL_PACKET, VERSION, version)
    if is_told_of_all(release):
        packet_socket.setsockopt(SOL_PACKET, _VNET_HDR, 1)
    # Frames begin behind 82 bytes of TPACKET_V3, this header, and what is reserved. At 92, all of 61 to 68 kept bytes make records
    # of 160 bytes.
    packet_socket.setsockopt(SOL_PACKET, _RESERVE, 0 if has_vnet_header(packet_socket) else VIRTIO_HEADER_BYTES)
    packet_socket.setsockopt(SOL_PACKET, _RX_RING, request)


def statistics(packet_socket: socket.socket, words: int) -> tuple[int, ...]:
    """PACKET_STATISTICS: packets, drops and, of TPACKET_V3, freezes. The kernel begins anew with each asking."""
    return struct.unpack(f"{words}I", packet_socket.getsockopt(SOL_PACKET, STATISTICS, 4 * words))


def has_vnet_header(packet_socket: socket.socket) -> bool:
    """A virtio_net_hdr stands before each frame of this socket's ring."""
    return bool(packet_socket.getsockopt(SOL_PACKET, _VNET_HDR))

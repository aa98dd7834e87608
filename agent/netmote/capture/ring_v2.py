"""TPACKET_V2: frames of one size, one packet each. The simple ring, for kernels that refuse the other.

No chain at all, whatever the traffic; but long and short packets take the same room, and the kernel wakes the reader for each one.
"""

import contextlib
import mmap
import platform
import socket
import struct
import time

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import rows_at
from netmote.capture.ring_layout import ENOUGH_PACKETS, MOST_PACKETS, has_vnet_header, set_up, statistics

_TPACKET_V2 = 1
_FRAME = 512  # where the frame begins, and the most `snap_filter` keeps, fit; a power of two leaves no gap at the end of a block
_BLOCK = 1 << 16
_PACKETS_PER_SECOND = 16e6  # while more are gathered it is looked at so often that 2 million a second fill an eighth in between
_STATUS_USER = 1


class FrameRing:
    """The `RingLayout` of TPACKET_V2; `ring_size` bytes are rounded up to whole blocks of 64 KiB."""

    version = "v2"
    record = np.dtype(
        [
            ("status", "u4"),
            ("length", "u4"),
            ("captured", "u4"),
            ("mac", "u2"),
            ("net", "u2"),
            ("second", "u4"),
            ("nanosecond", "u4"),
            ("tag_control", "u2"),
            ("tag_protocol", "u2"),
            ("padding", "u4"),
        ]
    )

    def __init__(
        self, packet_socket: socket.socket, ring_size: int, *, is_adopted: bool = False, release: str = platform.release()
    ) -> None:
        self.freezes = 0
        self.records_walked = 0
        self._socket = packet_socket
        blocks = -(-ring_size // _BLOCK)
        self.ring_bytes = blocks * _BLOCK
        self._frames = self.ring_bytes // _FRAME
        self._head = self._taken = 0
        self._is_lost = is_adopted  # where another reader was is not known before a frame is ready
        if not is_adopted:
            set_up(
                packet_socket,
                version=_TPACKET_V2,
                request=struct.pack("4I", _BLOCK, blocks, _FRAME, self._frames),
                release=release,
            )
        self.has_vnet_header = has_vnet_header(packet_socket)
        self._memory = mmap.mmap(packet_socket.fileno(), self.ring_bytes, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._buffer: NDArray[np.uint8] | None = np.frombuffer(self._memory, "u1")
        self._status: NDArray[np.uint32] | None = np.frombuffer(self._memory, "u4")[:: _FRAME // 4]

    @property
    def buffer(self) -> NDArray[np.uint8]:
        if self._buffer is None:
            raise ValueError("the ring is closed")
        return self._buffer

    def is_ready(self) -> bool:
        if self._is_lost:
            self._find_oldest()
        return self._is_ready(self._head)

    def gather(self, longest: float) -> None:
        step = self._frames / _PACKETS_PER_SECOND
        # Frames are filled in order: where this one is ready, all before it are.
        awaited = (self._head + min(self._frames // 4, ENOUGH_PACKETS) - 1) % self._frames
        waited = 0.0
        while waited + step <= longest and not self._is_ready(awaited):
            time.sleep(step)
            waited += step

    def take(self) -> NDArray[np.int64]:
        if self._status is None:
            raise ValueError("the ring is closed")
        most = min(MOST_PACKETS, max(1, self._frames // 4), self._frames - self._head)  # the rest stays with the kernel
        ready = (self._status[self._head : self._head + most] & _STATUS_USER) != 0
        self._taken = most if ready.all() else int(ready.argmin())
        return (self._head + np.arange(self._taken)) * _FRAME

    def give_back(self) -> None:
        if self._status is not None:
            self._status[self._head : self._head + self._taken] = 0
            self._head = (self._head + self._taken) % self._frames
        self._taken = 0

    def take_dropped(self) -> int:
        _, dropped = statistics(self._socket, 2)
        return dropped

    def close(self) -> None:
        self._buffer = self._status = None
        with contextlib.suppress(BufferError):  # an exception's traceback still holds a view: unmapped when that goes
            self._memory.close()

    def _is_ready(self, frame: int) -> bool:
        if self._status is None:
            raise ValueError("the ring is closed")
        return bool(self._status[frame] & _STATUS_USER)

    def _find_oldest(self) -> None:
        """Frames are filled in order: the oldest is the ready one behind one that is not."""
        assert self._status is not None
        ready = (self._status & _STATUS_USER) != 0
        first = np.flatnonzero(ready & ~np.roll(ready, 1))
        if len(first):
            self._head, self._is_lost = int(first[0]), False
        elif ready.all():  # a full ring: by time
            records = rows_at(self.buffer, np.arange(self._frames) * _FRAME, self.record.itemsize).view(self.record).reshape(-1)
            self._head, self._is_lost = int(np.lexsort((records["nanosecond"], records["second"]))[0]), False

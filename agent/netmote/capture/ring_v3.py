"""TPACKET_V3: the kernel fills blocks with records of any length and hands over whole blocks. The fast ring.

    kernel ─► block ─► block ─► …    take(): ready blocks ─► offsets    give_back(): blocks back to the kernel

`snap_filter` keeps so much of plain frames, and `ring_layout` places them so, that their records have one length: see `ring_chain`.
"""

import contextlib
import mmap
import platform
import socket
import struct
import time

import numpy as np
from numpy.typing import NDArray

from netmote.capture.ring_chain import HEADER_BYTES, record_offsets
from netmote.capture.ring_layout import ENOUGH_PACKETS, MOST_PACKETS, has_vnet_header, set_up, statistics

_TPACKET_V3 = 2
_RETIRE_MS = 100  # a block with packets in it is handed over after this long
_LARGEST_BLOCK = 4 << 20  # in rings of 32 MB and more: the fewer parts packets come in, the fewer calls of numpy
_FRAME = 2048  # only a bound for the kernel's own checks: records are as long as they are
_RING_BYTES_PER_SECOND = 2e9  # while more are gathered it is looked at so often that 250 MB a second fill an eighth in between
_STATUS_USER = 1
# Words of struct tpacket_block_desc: block_status, num_pkts.
_BLOCK_STATUS, _BLOCK_PACKETS = 8, 12


class BlockRing:
    """The `RingLayout` of TPACKET_V3; `ring_size` bytes are rounded up to whole blocks."""

    version = "v3"
    record = np.dtype(
        [
            ("next", "u4"),
            ("second", "u4"),
            ("nanosecond", "u4"),
            ("captured", "u4"),
            ("length", "u4"),
            ("status", "u4"),
            ("mac", "u2"),
            ("net", "u2"),
            ("hash", "u4"),
            ("tag_control", "u4"),
            ("tag_protocol", "u2"),
            ("padding", "u2"),
        ]
    )

    def __init__(
        self, packet_socket: socket.socket, ring_size: int, *, is_adopted: bool = False, release: str = platform.release()
    ) -> None:
        self.freezes = 0
        self.records_walked = 0
        self._socket = packet_socket
        self._block = 1 << max(16, min(_LARGEST_BLOCK, ring_size // 8).bit_length() - 1)
        self._blocks = -(-ring_size // self._block)
        self._current = self._taken = self._lost = 0
        self.ring_bytes = self._block * self._blocks
        if not is_adopted:
            request = struct.pack("7I", self._block, self._blocks, _FRAME, self.ring_bytes // _FRAME, _RETIRE_MS, 0, 0)
            set_up(packet_socket, version=_TPACKET_V3, request=request, release=release)
        self.has_vnet_header = has_vnet_header(packet_socket)
        self._memory = mmap.mmap(packet_socket.fileno(), self.ring_bytes, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._buffer: NDArray[np.uint8] | None = np.frombuffer(self._memory, "u1")
        self._words: NDArray[np.uint32] | None = np.frombuffer(self._memory, "u4")
        if is_adopted:
            self._current = self._oldest()

    @property
    def buffer(self) -> NDArray[np.uint8]:
        if self._buffer is None:
            raise ValueError("the ring is closed")
        return self._buffer

    def is_ready(self) -> bool:
        return self._is_ready(self._current)

    def gather(self, longest: float) -> None:
        step = self.ring_bytes / _RING_BYTES_PER_SECOND
        block, count, waited = self._current, 0, 0.0
        for _ in range(self._blocks // 4):
            while not self._is_ready(block):
                if waited + step > longest:
                    return
                time.sleep(step)
                waited += step
            count += self._word(block, _BLOCK_PACKETS)
            if count >= ENOUGH_PACKETS:
                return
            block = (block + 1) % self._blocks

    def take(self) -> NDArray[np.int64]:
        parts: list[NDArray[np.int64]] = []
        count = 0
        block = self._current
        for _ in range(max(1, self._blocks // 4)):  # the rest stays with the kernel
            if not self._is_ready(block):
                break
            size = min(self._word(block, _BLOCK_PACKETS), self._block // HEADER_BYTES)
            if parts and count + size > MOST_PACKETS:
                break
            parts.append(self._offsets(block, size))
            count += size
            block = (block + 1) % self._blocks
        self._taken = len(parts)
        return np.concatenate(parts) if parts else np.zeros(0, "i8")

    def give_back(self) -> None:
        if self._words is not None:
            for _ in range(self._taken):
                self._words[(self._current * self._block + _BLOCK_STATUS) >> 2] = 0
                self._current = (self._current + 1) % self._blocks
        self._taken = 0

    def take_dropped(self) -> int:
        _, dropped, freezes = statistics(self._socket, 3)
        self.freezes += freezes
        lost, self._lost = self._lost, 0
        return dropped + lost

    def close(self) -> None:
        self._buffer = self._words = None
        with contextlib.suppress(BufferError):  # an exception's traceback still holds a view: unmapped when that goes
            self._memory.close()

    def _is_ready(self, block: int) -> bool:
        return bool(self._word(block, _BLOCK_STATUS) & _STATUS_USER)

    def _word(self, block: int, at: int) -> int:
        if self._words is None:
            raise ValueError("the ring is closed")
        return int(self._words[(block * self._block + at) >> 2])

    def _offsets(self, block: int, count: int) -> NDArray[np.int64]:
        begin = block * self._block
        with memoryview(self._memory) as whole, whole[begin : begin + self._block] as view:
            offsets, walked = record_offsets(view, count)
        self.records_walked += walked
        self._lost += count - len(offsets)
        return offsets + begin

    def _oldest(self) -> int:
        """Where another reader was: the oldest block that is ready, else the one the kernel fills (seq_num of tpacket_hdr_v1)."""
        assert self._words is not None
        words = self._words.reshape(self._blocks, -1)
        # The numbers before the states: a block may get ready now.
        sequence = words[:, 6].astype("u8") | words[:, 7].astype("u8") << np.uint64(32)
        ready = np.flatnonzero(words[:, _BLOCK_STATUS >> 2] & _STATUS_USER)
        return int(ready[sequence[ready].argmin()]) if len(ready) else int(sequence.argmax())

"""A live interface to packet columns: AF_PACKET with a TPACKET_V3 ring in shared memory (linux/if_packet.h, packet(7)).

The kernel fills blocks of records; a record says where the next one begins. Following that chain in Python costs more than all
metering. But `PACKET_RESERVE` of 9 and 69 kept bytes make the record of every plain frame 160 bytes long, so a strided view checks
the guess for a whole block at once; where it fails the chain is walked for a while.

    kernel ─► block ─► block ─► …    read(): ready blocks ─► offsets ─► decode (copies) ─► blocks back to the kernel

Full ring: the kernel drops, and counts; `take_dropped` tells how many.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import select
import socket
import struct
import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netmote.capture.fanout import NOTHING, FanoutGroup
from netmote.capture.frames import LINKTYPE_ETHERNET, LINKTYPE_RAW, Frames, rows_at
from netmote.capture.headers import decode
from netmote.capture.packets import PacketColumns
from netmote.capture.pcapng_writer import PcapngWriter
from netmote.capture.snap_filter import attach, snap_program
from netmote.errors import Unavailable

_SOL_PACKET = 263
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION, _RESERVE, _IGNORE_OUTGOING = 1, 5, 6, 10, 12, 23
_TPACKET_V3 = 2
_MR_PROMISC = 1
_ETH_P_ALL = 3
_SIOCGIFINDEX, _SIOCGIFHWADDR = 0x8933, 0x8927
_ARPHRD_LOOPBACK = 772
# ARPHRD_ of linux/if_arp.h: Ethernet and loopback have an Ethernet header; these have none: PPP, IPIP, SIT, GRE, none (tun).
_LINK_TYPES = {
    1: LINKTYPE_ETHERNET,
    _ARPHRD_LOOPBACK: LINKTYPE_ETHERNET,
    **dict.fromkeys((512, 768, 776, 778, 65534), LINKTYPE_RAW),
}
_RESERVED = 9
_RETIRE_MS = 100  # a block with packets in it is handed over after this long
_LARGEST_BLOCK = 2 << 20
_MOST_PACKETS = 65_536
_GATHERED = 0.1  # seconds
_ENOUGH_PACKETS = 32_768  # more at once are metered no faster
_RING_BYTES_PER_SECOND = 2e9  # while more are gathered it is looked at so often that 250 MB a second fill an eighth in between
_SHORT_RUN, _WALKED = 24, 512  # runs shorter than this make the chain be walked for so many records
_STATUS_VLAN_VALID, _STATUS_TPID_VALID = 0x10, 0x40
_HEADER = np.dtype(
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


class InterfaceGone(Unavailable):
    """There is no such interface (any more): open it again by name when it is back."""


def packet_socket(what: str) -> socket.socket:
    """A raw packet socket that receives nothing yet (protocol 0). Raises Unavailable, which begins with `what`, without permission."""
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError as error:
        raise Unavailable(
            f"{what} needs the capability CAP_NET_RAW: run as root, or grant it (AmbientCapabilities=CAP_NET_RAW)"
        ) from error


class Ring:
    """The packets of one interface. One thread reads it. Opening needs CAP_NET_RAW.

    `ring_size` bytes are shared with the kernel, rounded up to whole blocks. On loopback every packet passes twice; only its
    arrival is read. With `tee`, frames are also written to a capture file, in the order they are decoded.

    With `fanout` the ring takes its share of the interface's packets, from `begin` on: call that once all of the group are open.
    `adopted` is the socket of such a ring (`detach`), whose reader is gone: what waits in it is read first.

    Raises Unavailable without permission or for a link type that is not decoded, InterfaceGone where there is no such interface.
    """

    def __init__(
        self,
        interface: str,
        *,
        ring_size: int,
        promiscuous: bool,
        tee: PcapngWriter | None = None,
        fanout: FanoutGroup | None = None,
        adopted: socket.socket | None = None,
    ) -> None:
        self.interface = interface
        self.packets_dropped = 0
        """By the kernel since opening, because the ring was full."""
        self.freezes = 0
        """Times the kernel found no free block."""
        self.records_walked = 0
        """Records that were found by following the chain."""
        self.tee = tee
        """Where frames are also written, in the order they are decoded; may be set once the link type is known. The caller closes it."""
        self._block = 1 << max(16, min(_LARGEST_BLOCK, ring_size // 8).bit_length() - 1)
        self._blocks = -(-ring_size // self._block)
        self._current = 0
        self._memory: mmap.mmap | None = None
        self._socket = packet_socket(f"capturing on {interface}") if adopted is None else adopted
        try:
            self._open(promiscuous=promiscuous, fanout=fanout, is_adopted=adopted is not None)
        except BaseException:
            self.close()
            raise

    def _open(self, *, promiscuous: bool, fanout: FanoutGroup | None, is_adopted: bool) -> None:
        self._index = self._interface_index()
        hardware = struct.unpack_from("H", self._ask(_SIOCGIFHWADDR), 16)[0]
        if hardware not in _LINK_TYPES:
            raise Unavailable(f"{self.interface} has link type ARPHRD {hardware}, which is not decoded")
        self.link_type = _LINK_TYPES[hardware]
        is_loopback = hardware == _ARPHRD_LOOPBACK
        try:
            if not is_adopted:
                self._configure(is_loopback=is_loopback, is_shared=fanout is not None)
            self._map()
            if not is_adopted:
                self._socket.bind((self.interface, _ETH_P_ALL))
                if fanout is not None:
                    fanout.join(self._socket, link_header=self._link_header, ignore_outgoing=is_loopback)
                if promiscuous and not is_loopback:
                    self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("iHH8x", self._index, _MR_PROMISC, 0))
        except OSError as error:
            if error.errno in (errno.ENODEV, errno.ENXIO):
                raise InterfaceGone(f"there is no interface {self.interface}") from error
            raise Unavailable(f"{self.interface} cannot be captured: {error.strerror}") from error
        if is_adopted:
            self._resume()
        self._poll = select.poll()
        self._poll.register(self._socket.fileno(), select.POLLIN | select.POLLERR)

    def _configure(self, *, is_loopback: bool, is_shared: bool) -> None:
        """Everything that comes before the socket is bound."""
        packet_socket = self._socket
        packet_socket.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
        packet_socket.setsockopt(_SOL_PACKET, _RESERVE, _RESERVED)
        # One that shares begins with nothing: until it has joined it would see every packet.
        attach(packet_socket, NOTHING if is_shared else snap_program(link_header=self._link_header))
        request = struct.pack("7I", self._block, self._blocks, 2048, self.ring_bytes // 2048, _RETIRE_MS, 0, 0)
        packet_socket.setsockopt(_SOL_PACKET, _RX_RING, request)
        if is_loopback:
            packet_socket.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)

    def _map(self) -> None:
        size = self.ring_bytes
        self._memory = mmap.mmap(self._socket.fileno(), size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._buffer: NDArray[np.uint8] | None = np.frombuffer(self._memory, "u1")
        self._words: NDArray[np.uint32] | None = np.frombuffer(self._memory, "u4")

    def _resume(self) -> None:
        """Go on where another reader was: at the oldest block that is ready, else at the one the kernel fills (tpacket_hdr_v1)."""
        assert self._words is not None
        words = self._words.reshape(self._blocks, -1)
        sequence = words[:, 6].astype("u8") | words[:, 7].astype("u8") << np.uint64(
            32
        )  # before the states: a block may get ready now
        ready = np.flatnonzero(words[:, 2] & 1)
        self._current = int(ready[sequence[ready].argmin()]) if len(ready) else int(sequence.argmax())

    @property
    def _link_header(self) -> int:
        return 14 if self.link_type == LINKTYPE_ETHERNET else 0

    def begin(self) -> None:
        """Let packets in, where the ring is one of a group."""
        attach(self._socket, snap_program(link_header=self._link_header))

    def detach(self) -> socket.socket:
        """The socket, for another process to adopt. It stays a member of its group, and packets wait in it, while anyone holds it."""
        kept = self._socket
        self._socket = socket.socket(fileno=os.dup(kept.fileno()))
        self.close()
        return kept

    @property
    def ring_bytes(self) -> int:
        """Memory shared with the kernel."""
        return self._block * self._blocks

    def read(self, timeout: float) -> PacketColumns | None:
        """Packets that are ready, or those that come within `timeout` seconds, else None. At most 65,536.

        Where the ring is far from full, more are waited for, a tenth of a second or `timeout` at most: many at once cost less each.
        Raises InterfaceGone when the interface has vanished.
        """
        if self._words is None:
            raise ValueError("the ring is closed")
        if not self._is_ready(self._current):
            self._poll.poll(max(0.0, timeout) * 1000)
            if not self._is_ready(self._current):
                self._check_interface()
                return None
        self._gather(min(timeout, _GATHERED))
        parts: list[NDArray[np.int64]] = []
        count = 0
        block = self._current
        for _ in range(max(1, self._blocks // 4)):  # the rest stays with the kernel
            if not self._is_ready(block):
                break
            size = int(self._words[(block * self._block + 12) >> 2])
            if parts and count + size > _MOST_PACKETS:
                break
            parts.append(self._offsets(block, size))
            count += size
            block = (block + 1) % self._blocks
        try:
            return self._decode(np.concatenate(parts))
        finally:
            for _ in range(len(parts)):
                self._words[(self._current * self._block + 8) >> 2] = 0
                self._current = (self._current + 1) % self._blocks

    def _gather(self, longest: float) -> None:
        """Sleep until a quarter of the ring is ready, or enough for a batch, or `longest` seconds have passed."""
        assert self._words is not None
        step = self.ring_bytes / _RING_BYTES_PER_SECOND
        block, count, waited = self._current, 0, 0.0
        for _ in range(self._blocks // 4):
            while not self._is_ready(block):
                if waited + step > longest:
                    return
                time.sleep(step)
                waited += step
            count += int(self._words[(block * self._block + 12) >> 2])
            if count >= _ENOUGH_PACKETS:
                return
            block = (block + 1) % self._blocks

    def take_dropped(self) -> int:
        """Packets the kernel dropped since this was last asked (PACKET_STATISTICS). Ask after each `read`."""
        _, dropped, freezes = struct.unpack("III", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12))
        self.packets_dropped += dropped
        self.freezes += freezes
        if dropped and self.tee is not None:
            self.tee.write_dropped(self._latest_ns, dropped)
        return int(dropped)

    def close(self) -> None:
        """Give the ring back. Safe twice, and after a failed opening."""
        self._buffer = self._words = None
        if self._memory is not None:
            with contextlib.suppress(BufferError):  # an exception's traceback still holds a view: unmapped when that goes
                self._memory.close()
            self._memory = None
        with contextlib.suppress(OSError):
            self._socket.close()

    _latest_ns = 0

    def _is_ready(self, block: int) -> bool:
        assert self._words is not None
        return bool(self._words[(block * self._block + 8) >> 2] & 1)  # TP_STATUS_USER

    def _decode(self, offset: NDArray[np.int64]) -> PacketColumns:
        assert self._buffer is not None
        header = rows_at(self._buffer, offset, _HEADER.itemsize).view(_HEADER).reshape(-1)
        timestamp = header["second"].astype("i8") * 1_000_000_000 + header["nanosecond"]
        frames = Frames(
            self._buffer,
            offset + header["mac"],
            captured=header["captured"].astype("i8"),
            wire_length=header["length"].copy(),
            timestamp_ns=timestamp,
            link_type=self.link_type,
        )
        status = header["status"]
        is_tagged = (status & _STATUS_VLAN_VALID) != 0
        if is_tagged.any():
            has_protocol = (status & _STATUS_TPID_VALID) != 0
            frames = replace(
                frames,
                wire_length=frames.wire_length + np.uint32(4) * is_tagged,
                is_tagged=is_tagged,
                tag_control=header["tag_control"].astype("u2"),
                tag_protocol=np.where(has_protocol, header["tag_protocol"], 0x8100).astype("u2"),
            )
        self._latest_ns = int(timestamp[-1]) if len(timestamp) else self._latest_ns
        if self.tee is not None:
            self.tee.write(frames)
        return decode(frames, self.interface)

    def _offsets(self, block: int, count: int) -> NDArray[np.int64]:
        """Where the records of a block lie."""
        assert self._words is not None
        assert self._memory is not None
        words = self._words
        begin = block * self._block
        offset = begin + int(words[(begin + 16) >> 2])
        found: list[NDArray[np.int64]] = []
        short_runs = 0
        while count > 0:
            stride = int(words[offset >> 2])
            most = min(count, (begin + self._block - offset) // stride) if stride else 1
            following = np.ndarray((most,), "u4", self._memory, offset, (stride,))
            same = following[: most - 1] == stride if most == count else following == stride
            run = most if same.all() else int(same.argmin()) + 1
            found.append(offset + np.arange(run) * stride)
            count -= run
            if count > 0:
                last = offset + (run - 1) * stride
                offset = last + int(words[last >> 2])
            short_runs = short_runs + 1 if run < _SHORT_RUN else 0
            if short_runs > 2 and count > 0:
                walked, offset = self._walk(offset, min(count, _WALKED))
                found.append(walked)
                count -= len(walked)
                short_runs = 0
        return np.concatenate(found) if found else np.zeros(0, "i8")

    def _walk(self, offset: int, count: int) -> tuple[NDArray[np.int64], int]:
        """Follow the chain for `count` records; also where the next one is."""
        words = memoryview(self._memory).cast("I")  # type: ignore[arg-type]
        at = offset >> 2
        found: list[int] = []
        for _ in range(count):
            found.append(at)
            at += words[at] >> 2
        words.release()
        self.records_walked += count
        return np.array(found, "i8") << 2, at << 2

    def _check_interface(self) -> None:
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # ENETDOWN while the link is down: reading clears it
        if self._interface_index() != self._index:
            raise InterfaceGone(f"interface {self.interface} was replaced by another of its name")

    def _interface_index(self) -> int:
        return int(struct.unpack_from("i", self._ask(_SIOCGIFINDEX), 16)[0])

    def _ask(self, request: int) -> bytes:
        """An ioctl on the interface's name, in the network namespace of the socket."""
        name = os.fsencode(self.interface)
        if len(name) > 15:  # IFNAMSIZ
            raise InterfaceGone(f"there is no interface {self.interface}: names have at most 15 characters")
        try:
            return fcntl.ioctl(self._socket.fileno(), request, struct.pack("40s", name))
        except OSError as error:
            raise InterfaceGone(f"there is no interface {self.interface}") from error

"""A live interface to packet columns: AF_PACKET with a ring in shared memory (packet(7)).

Owns the socket, what is asked of the interface, and the decoding of what is ready; how the kernel lays packets out in the ring is
`ring_v3` or, where the kernel refuses that, `ring_v2`.

    kernel ─► ring ─► read(): what is ready ─► decode (copies) ─► back to the kernel

Full ring: the kernel drops, and counts; `take_dropped` tells how many.
"""

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netmote.capture.bpf_compiler import FilterError
from netmote.capture.fanout import NOTHING, FanoutGroup
from netmote.capture.frames import LINKTYPE_ETHERNET, LINKTYPE_RAW, Frames, rows_at
from netmote.capture.headers import decode
from netmote.capture.packet_filter import PacketFilter
from netmote.capture.packets import PacketColumns
from netmote.capture.pcapng_writer import PcapngWriter
from netmote.capture.ring_layout import SOL_PACKET, VERSION, RingLayout
from netmote.capture.ring_records import RecordReading
from netmote.capture.ring_v2 import FrameRing
from netmote.capture.ring_v3 import BlockRing
from netmote.capture.snap_filter import attach, behind_filter, snap_program
from netmote.capture.tunnels import Tunnel
from netmote.capture.virtio_header import with_estimated_segments, with_segments
from netmote.errors import Unavailable

_ADD_MEMBERSHIP, _IGNORE_OUTGOING = 1, 23
_MR_PROMISC = 1
_ETH_P_ALL = 3
_SIOCGIFINDEX, _SIOCGIFHWADDR, _SIOCGIFMTU = 0x8933, 0x8927, 0x8921
_ARPHRD_LOOPBACK = 772
# ARPHRD_ of linux/if_arp.h: Ethernet and loopback have an Ethernet header; these have none: PPP, IPIP, SIT, GRE, none (tun).
_LINK_TYPES = {
    1: LINKTYPE_ETHERNET,
    _ARPHRD_LOOPBACK: LINKTYPE_ETHERNET,
    **dict.fromkeys((512, 768, 776, 778, 65534), LINKTYPE_RAW),
}
_GATHERED = 0.1  # seconds
_STATUS_VLAN_VALID, _STATUS_TPID_VALID = 0x10, 0x40
_NO_SUCH_VERSION = (errno.EINVAL, errno.ENOPROTOOPT)

Layouts = Mapping[str, Callable[..., RingLayout]]
LAYOUTS: Layouts = {"v3": BlockRing, "v2": FrameRing}
"""By the name in the configuration; `auto` takes the first that the kernel has."""


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

    `ring_size` bytes are shared with the kernel, rounded up to whole blocks. `version` is `v3`, `v2` or `auto`. On loopback every
    packet passes twice; only its arrival is read. With `tee`, frames are also written to a capture file, in the order they are decoded.

    `packet_filter` has the kernel drop what it does not want, which nothing counts. Of `tunnels` the packets inside are given.

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
        version: str = "auto",
        packet_filter: PacketFilter | None = None,
        tunnels: tuple[Tunnel, ...] = (),
        layouts: Layouts = LAYOUTS,
    ) -> None:
        self.interface = interface
        self.packets_dropped = 0
        """By the kernel since opening, because the ring was full."""
        self.tee = tee
        """Where frames are also written, in the order they are decoded; may be set once the link type is known. The caller closes it."""
        self._filter, self._tunnels = packet_filter, tunnels
        self._layout: RingLayout | None = None
        self._socket = packet_socket(f"capturing on {interface}") if adopted is None else adopted
        try:
            self._index = self._interface_index()
            self._hardware = struct.unpack_from("H", self._ask(_SIOCGIFHWADDR), 16)[0]
            if self._hardware not in _LINK_TYPES:
                raise Unavailable(f"{interface} has link type ARPHRD {self._hardware}, which is not decoded")
            self.link_type = _LINK_TYPES[self._hardware]
            try:
                if adopted is None:
                    chosen = {name: layouts[name] for name in layouts if version in ("auto", name)}
                    self._layout = self._opened(chosen, ring_size, fanout, promiscuous=promiscuous)
                else:
                    self._layout = _adopted(layouts, adopted, ring_size)
            except OSError as error:
                if error.errno in (errno.ENODEV, errno.ENXIO):
                    raise InterfaceGone(f"there is no interface {interface}") from error
                raise Unavailable(f"{interface} cannot be captured: {error.strerror}") from error
        except BaseException:
            self.close()
            raise
        self.version, self.ring_bytes = self._layout.version, self._layout.ring_bytes
        self._poll = select.poll()
        self._poll.register(self._socket.fileno(), select.POLLIN | select.POLLERR)

    def _opened(self, layouts: Layouts, ring_size: int, fanout: FanoutGroup | None, *, promiscuous: bool) -> RingLayout:
        is_loopback = self._hardware == _ARPHRD_LOOPBACK
        program = self._program()
        # One that shares begins with nothing: until it has joined it would see every packet.
        attach(self._socket, program if fanout is None else NOTHING)
        # Kept at once: what fails from here on must unmap it.
        layout = self._layout = _first_possible(layouts, self._socket, ring_size)
        if is_loopback:
            self._socket.setsockopt(SOL_PACKET, _IGNORE_OUTGOING, 1)
        self._socket.bind((self.interface, _ETH_P_ALL))
        if fanout is not None:
            fanout.join(self._socket, link_header=self._link_header, ignore_outgoing=is_loopback)
        if promiscuous and not is_loopback:
            self._socket.setsockopt(SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("iHH8x", self._index, _MR_PROMISC, 0))
        return layout

    @property
    def _link_header(self) -> int:
        return 14 if self.link_type == LINKTYPE_ETHERNET else 0

    def _program(self) -> bytes:
        snap = snap_program(link_header=self._link_header, tunnels=self._tunnels)
        if self._filter is None:
            return snap
        try:
            return behind_filter(self._filter.program(self.link_type), snap)
        except (FilterError, ValueError) as error:
            raise Unavailable(f"{self.interface} cannot be captured: capture.filter: {error}") from error

    def begin(self) -> None:
        """Let packets in, where the ring is one of a group."""
        attach(self._socket, self._program())

    def detach(self) -> socket.socket:
        """The socket, for another process to adopt. It stays a member of its group, and packets wait in it, while anyone holds it."""
        kept = self._socket
        self._socket = socket.socket(fileno=os.dup(kept.fileno()))
        self.close()
        return kept

    version: str
    """`v3` or `v2`: what the kernel gave."""
    ring_bytes: int
    """Memory shared with the kernel."""
    link_type: int
    """LINKTYPE_ of its frames."""

    @property
    def freezes(self) -> int:
        """Times the kernel found no free block."""
        return 0 if self._layout is None else self._layout.freezes

    @property
    def records_walked(self) -> int:
        """Records that were found by following the chain."""
        return 0 if self._layout is None else self._layout.records_walked

    def read(self, timeout: float) -> PacketColumns | None:
        """Packets that are ready, or those that come within `timeout` seconds, else None. At most 65,536.

        Where the ring is far from full, more are waited for, a tenth of a second or `timeout` at most: many at once cost less each.
        Raises InterfaceGone when the interface has vanished.
        """
        layout = self._layout
        if layout is None:
            raise ValueError("the ring is closed")
        if not layout.is_ready():
            self._poll.poll(max(0.0, timeout) * 1000)
            if not layout.is_ready():
                self._check_interface()
                return None
        layout.gather(min(timeout, _GATHERED))
        try:
            return self._decode(layout)
        finally:
            layout.give_back()

    def take_dropped(self) -> int:
        """Packets the kernel dropped since this was last asked (PACKET_STATISTICS). Ask after each `read`."""
        if self._layout is None:
            raise ValueError("the ring is closed")
        dropped = self._layout.take_dropped()
        self.packets_dropped += dropped
        if dropped and self.tee is not None:
            self.tee.write_dropped(self._latest_ns, dropped)
        return dropped

    def close(self) -> None:
        """Give the ring back. Safe twice, and after a failed opening."""
        if self._layout is not None:
            self._layout.close()
            self._layout = None
        with contextlib.suppress(OSError):
            self._socket.close()

    _latest_ns = 0

    def _decode(self, layout: RingLayout) -> PacketColumns:
        buffer, offset = layout.buffer, layout.take()
        read = RecordReading(buffer, offset, layout.record, is_ethernet=self.link_type == LINKTYPE_ETHERNET)
        frames = Frames(
            buffer,
            read.begin,
            captured=read.captured,
            wire_length=read.length,
            timestamp_ns=read.timestamp_ns,
            link_type=self.link_type,
        )
        if layout.has_vnet_header:
            frames = with_segments(frames, read.segment_kind)
        else:
            frames = with_estimated_segments(frames, lambda: int(struct.unpack_from("i", self._ask(_SIOCGIFMTU), 16)[0]))
        tagged = ((read.status & np.uint32(_STATUS_VLAN_VALID)) != 0).nonzero()[0]
        if len(tagged):
            frames = self._tagged(frames, read, tagged, layout, offset)
        self._latest_ns = int(read.timestamp_ns[-1]) if len(offset) else self._latest_ns
        if self.tee is not None:
            self.tee.write(frames)
        return decode(frames, self.interface, tunnels=self._tunnels, ether_type=read.ether_type, columns=read.columns)

    def _tagged(
        self, frames: Frames, read: RecordReading, tagged: NDArray[np.int64], layout: RingLayout, offset: NDArray[np.int64]
    ) -> Frames:
        """The frames, of which those at `tagged` had a VLAN tag that the kernel took out."""
        record = rows_at(layout.buffer, offset[tagged], layout.record.itemsize).view(layout.record).reshape(-1)
        is_tagged = np.zeros(len(offset), "?")
        control, protocol = np.zeros((2, len(offset)), "u2")
        is_tagged[tagged] = True
        control[tagged] = record["tag_control"]
        has_protocol = (read.status[tagged] & _STATUS_TPID_VALID) != 0
        protocol[tagged] = np.where(has_protocol, record["tag_protocol"], 0x8100)
        read.length[tagged] += np.uint32(4)
        return replace(frames, is_tagged=is_tagged, tag_control=control, tag_protocol=protocol)

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


def _first_possible(layouts: Layouts, packet_socket: socket.socket, ring_size: int) -> RingLayout:
    """The first layout that this kernel knows. Raises the last one's OSError."""
    *others, last = layouts.values()
    for layout in others:
        try:
            return layout(packet_socket, ring_size)
        except OSError as error:
            if error.errno not in _NO_SUCH_VERSION:
                raise
    return last(packet_socket, ring_size)


def _adopted(layouts: Layouts, packet_socket: socket.socket, ring_size: int) -> RingLayout:
    """The layout that a socket of such a ring already has."""
    number = packet_socket.getsockopt(SOL_PACKET, VERSION)
    return layouts[f"v{number + 1}"](packet_socket, ring_size, is_adopted=True)

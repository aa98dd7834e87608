"""A transfer over a wire whose ends cut and join segments, against the same wire where they do not: the same octets."""

import contextlib
import socket
import struct
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from netmote.capture.frames import LINKTYPE_ETHERNET
from netmote.capture.packets import PROTOCOL_TCP, PROTOCOL_UDP, PacketColumns
from netmote.capture.pcap_file import read_capture
from netmote.capture.pcapng_writer import PcapngWriter
from netmote.capture.ring import Ring
from netmote.capture.ring_v3 import BlockRing

pytestmark = pytest.mark.root

FAMILIES = {socket.AF_INET: ("10.79.0.1", "10.79.0.2", 20), socket.AF_INET6: ("fd79::1", "fd79::2", 40)}
PAYLOAD = 3_000_000
DATAGRAM, DATAGRAMS = 1000, 60
_UDP_SEGMENT = 103  # linux/udp.h
_OFFLOADS = ("tso", "gso", "gro", "tx-udp-segmentation")


@pytest.fixture
def ends(wire):
    """The wire with addresses on it."""
    for name, place, inside in ((wire.left, 0, wire.inside_left), (wire.right, 1, wire.inside_right)):
        with inside(), contextlib.suppress(OSError):
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("0")
        run("ip", "-n", name, "link", "set", name, "arp", "on")
        run("ip", "-n", name, "addr", "add", f"{FAMILIES[socket.AF_INET][place]}/24", "dev", name)
        run("ip", "-n", name, "-6", "addr", "add", f"{FAMILIES[socket.AF_INET6][place]}/64", "dev", name, "nodad")
    return wire


def run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    if done.returncode:
        pytest.skip(f"{' '.join(command)}: {done.stderr.strip()}")


def transfer(ends, family: socket.AddressFamily, ring: Ring) -> tuple[list[PacketColumns], tuple[int, int]]:
    """Send a stream and some datagrams that the sender's kernel is asked to cut; what the ring saw of it, and what TCP says it sent."""
    _, address, _ = FAMILIES[family]
    with ends.inside_right():
        listener = socket.create_server((address, 5001), family=family)
        listener.settimeout(20)
        datagrams = socket.socket(family, socket.SOCK_DGRAM)
        datagrams.bind((address, 5002))

    def take() -> None:
        accepted, _ = listener.accept()
        with accepted:
            while accepted.recv(1 << 20):
                pass

    thread = threading.Thread(target=take)
    thread.start()
    with ends.inside_left():
        stream = socket.create_connection((address, 5001), timeout=20)
        sender = socket.socket(family, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, DATAGRAM)
    for _ in range(DATAGRAMS // 20):
        sender.sendto(b"u" * (20 * DATAGRAM), (address, 5002))
    with stream:
        stream.sendall(b"s" * PAYLOAD)
        stream.shutdown(socket.SHUT_WR)
        thread.join(20)
        sent = tcp_sent(stream)
    assert not thread.is_alive()
    blocks: list[PacketColumns] = []
    quiet, deadline = 0, time.monotonic() + 10
    while quiet < 2 and time.monotonic() < deadline:
        block = ring.read(0.15)
        quiet = quiet + 1 if block is None else 0
        blocks += [] if block is None else [block]
    for each in (listener, datagrams, sender):
        each.close()
    assert ring.take_dropped() == 0
    return blocks, sent


def tcp_sent(stream: socket.socket) -> tuple[int, int]:
    """Segments and octets of payload, retransmissions included: tcpi_segs_out and tcpi_bytes_sent of linux/tcp.h."""
    told = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    return struct.unpack_from("I", told, 136)[0], struct.unpack_from("Q", told, 200)[0]


def sums(blocks: list[PacketColumns], protocol: int) -> tuple[int, int]:
    """Packets and octets of a protocol towards the right end, every segment counted."""
    packets = octets = 0
    for block in blocks:
        is_ours = (block.protocol_identifier == protocol) & ((block.destination_port == 5001) | (block.destination_port == 5002))
        more = block.coalesced
        counted = is_ours[more.position]
        packets += int(is_ours.sum()) + int(more.extra_packets[counted].sum())
        octets += int(block.ip_total_length[is_ours].sum()) + int(more.extra_octets[counted].sum())
    return packets, octets


@pytest.mark.parametrize("version", ["v3", "v2"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_joined_segments_count_as_what_was_on_the_wire(ends, family: socket.AddressFamily, version: str, tmp_path: Path) -> None:
    """With cutting and joining at both ends there are far fewer packets to see, and taken apart they are exactly what TCP says it sent.

    Every segment counts, with its headers; a replay of the tee counts the same.
    """
    header = FAMILIES[family][2]
    seen: dict[str, int] = {}
    for state in ("on", "off"):
        for name in (ends.left, ends.right):
            for offload in _OFFLOADS:
                run("ip", "netns", "exec", name, "ethtool", "-K", name, offload, state)
        tee = PcapngWriter(tmp_path / state, interface=ends.right, link_type=LINKTYPE_ETHERNET, limit_bytes=1 << 24)
        with ends.inside_right():
            ring = Ring(ends.right, ring_size=16_000_000, promiscuous=True, version=version, tee=tee)
        with contextlib.closing(ring):
            blocks, (segments, payload) = transfer(ends, family, ring)
        tee.close()
        seen[state] = sum(len(block) for block in blocks)
        assert any(len(block.coalesced) for block in blocks) == (state == "on")
        # Each has 32 octets of TCP header; the SYN 40, with its options.
        assert sums(blocks, PROTOCOL_TCP) == (segments, segments * (header + 32) + 8 + payload)
        assert payload >= PAYLOAD
        assert sums(blocks, PROTOCOL_UDP) == (DATAGRAMS, DATAGRAMS * (header + 8 + DATAGRAM))
        replayed = list(read_capture(tmp_path / state))
        for protocol in (PROTOCOL_TCP, PROTOCOL_UDP):
            assert sums(replayed, protocol) == sums(blocks, protocol)
    assert seen["on"] * 4 < seen["off"]


def test_an_older_kernel_is_guessed_for(ends, tmp_path: Path) -> None:
    """One that would drop what it cannot describe is not asked: a transfer comes out within a hundredth, and the tee says the same."""
    for name in (ends.left, ends.right):
        for offload in _OFFLOADS:
            run("ip", "netns", "exec", name, "ethtool", "-K", name, offload, "on")
    tee = PcapngWriter(tmp_path / "tee", interface=ends.right, link_type=LINKTYPE_ETHERNET, limit_bytes=1 << 24)
    layouts = {"v3": partial(BlockRing, release="6.1.0-44-amd64")}
    with ends.inside_right():
        ring = Ring(ends.right, ring_size=16_000_000, promiscuous=True, layouts=layouts, tee=tee)
    with contextlib.closing(ring):
        blocks, (segments, payload) = transfer(ends, socket.AF_INET, ring)
    tee.close()
    packets, octets = sums(blocks, PROTOCOL_TCP)
    assert sum(len(block) for block in blocks) * 4 < segments
    assert packets == pytest.approx(segments, rel=0.01)
    assert octets == pytest.approx(segments * 52 + 8 + payload, rel=0.01)
    assert sums(list(read_capture(tmp_path / "tee")), PROTOCOL_TCP) == (packets, octets)

"""Packets that stand for several: what is said of them is what the segments themselves would have said."""

import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from capture_files import block, interface, section
from frames_in_memory import frames_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop, Jumbo
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from netmote.capture.frames import LINKTYPE_ETHERNET, Frames
from netmote.capture.headers import decode
from netmote.capture.packets import PROTOCOL_TCP, PROTOCOL_UDP, PacketColumns
from netmote.capture.pcap_file import read_capture
from netmote.capture.pcapng_writer import PcapngWriter, block_sizes

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
SIX = IPv6(src="2001:db8::1", dst="2001:db8::2")
FOUR = IP(src="10.0.0.1", dst="10.0.0.2")
TIMES = [("Timestamp", (1, 2))]
HEADERS = {
    "ipv4": ETHER / FOUR / TCP(sport=1, dport=2, flags="PA", seq=77, options=TIMES),
    "ipv4 with options": ETHER / IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_NOP()] * 8) / TCP(sport=1, dport=2),
    "ipv6": ETHER / SIX / TCP(sport=1, dport=2, flags="A"),
    "inner vlan": ETHER / Dot1Q(vlan=5) / FOUR / TCP(sport=1, dport=2, options=TIMES),
    "udp": ETHER / FOUR / UDP(sport=1, dport=2),
    "udp over ipv6": ETHER / SIX / UDP(sport=1, dport=2),
}


def joined(header: Packet, payload: int, size: int, *, kept: int = 366) -> tuple[Frames, list[bytes]]:
    """A frame as the kernel hands it over, and the segments it stands for."""
    whole = bytes(header / Raw(b"p" * payload))
    protocol = PROTOCOL_UDP if UDP in header else PROTOCOL_TCP
    frames = replace(
        frames_of([whole], captured=[min(kept, len(whole))]),
        segment_size=np.array([size], "u2"),
        segment_protocol=np.array([protocol], "u1"),
    )
    count = -(-payload // size)
    full, last = (bytes(header / Raw(b"p" * octets)) for octets in (size, payload - (count - 1) * size))
    return frames, [full] * (count - 1) + [last]


def totals(packets: PacketColumns) -> tuple[int, int, int, int, int]:
    """Packets, octets, their squares, the smallest and the largest, as metering sums them."""
    length = packets.ip_total_length.astype("i8")
    more = packets.coalesced
    smallest = min(int(length.min()), int(more.smallest.min())) if len(more) else int(length.min())
    return (
        len(packets) + int(more.extra_packets.sum()),
        int(length.sum()) + int(more.extra_octets.sum()),
        int((length * length).sum()) + int(more.extra_squares.sum()),
        smallest,
        int(length.max()),
    )


@pytest.mark.parametrize("kind", HEADERS)
@settings(deadline=None)
@given(payload=st.integers(1, 60_000), size=st.integers(20, 2000))
def test_the_sums_are_those_of_the_segments(kind: str, payload: int, size: int) -> None:
    """Packets, octets with every segment's headers, squares, smallest and largest; the key and the flags are the joined packet's."""
    frames, segments = joined(HEADERS[kind], payload, max(size, payload // 100))
    whole, apart = decode(frames, "x"), decode(frames_of(segments), "x")
    assert totals(whole) == totals(apart)
    for name in ("source_word", "destination_word", "flow_class", "tcp_control_bits", "tcp_sequence", "time_to_live"):
        assert getattr(whole, name)[0] == getattr(apart, name)[0], name
    if PROTOCOL_TCP in whole.protocol_identifier:
        assert whole.tcp_payload_octets[0] == payload  # the next sequence number follows from it


def test_one_full_segment_is_no_group() -> None:
    """A payload that fills one segment exactly, or not even that, adds nothing."""
    for payload in (1, 1448):
        frames, _ = joined(HEADERS["ipv4"], payload, 1448)
        assert len(decode(frames, "x").coalesced) == 0


def test_what_the_kept_bytes_do_not_tell_is_left_whole() -> None:
    """A TCP header cut before its length, a fragment, and a tunnel around what was cut count as one packet each."""
    cut, _ = joined(HEADERS["ipv4"], 5000, 1448, kept=14 + 20 + 12)
    tunnel, _ = joined(ETHER / FOUR / UDP(sport=9, dport=4789) / VXLAN(vni=1) / HEADERS["ipv4"], 5000, 1448)
    tunnel = replace(tunnel, segment_protocol=np.array([PROTOCOL_TCP], "u1"))
    piece, _ = joined(ETHER / IP(src="10.0.0.1", dst="10.0.0.2", flags="MF") / TCP(sport=1, dport=2), 5000, 1448)
    for frames in (cut, tunnel, piece):
        packets = decode(frames, "x")
        assert len(packets) == 1
        assert len(packets.coalesced) == 0
        assert packets.ip_total_length[0] > 5000


def test_inside_a_tunnel_that_is_looked_into() -> None:
    """The kernel cut the inner stream: its segments count, each with the inner headers, as they do when they come one by one."""
    outer = ETHER / IP(src="10.9.0.1", dst="10.9.0.2") / UDP(sport=9, dport=4789) / VXLAN(vni=1)
    frames, segments = joined(outer / HEADERS["ipv4"], 5000, 1448)
    frames = replace(frames, segment_protocol=np.array([PROTOCOL_TCP], "u1"))
    whole = decode(frames, "x", tunnels=("vxlan",))
    assert whole.protocol_identifier.tolist() == [PROTOCOL_TCP]
    assert totals(whole) == totals(decode(frames_of(segments), "x", tunnels=("vxlan",)))
    assert whole.coalesced.extra_packets.tolist() == [3]


def test_more_than_64_kibibytes() -> None:
    """IPv4 of total length 0 and IPv6 with a jumbo header (which the segments have not): the length is the wire's."""
    four = bytearray(bytes(HEADERS["ipv4"]))
    four[16:18] = b"\0\0"
    six = bytes(ETHER / IPv6(src="2001:db8::1", dst="2001:db8::2", plen=0) / IPv6ExtHdrHopByHop(options=[Jumbo()]))
    tcp = bytes(TCP(sport=1, dport=2, flags="A"))
    six = bytes(Ether(six[:20] + b"\x00" + six[21:54] + b"\x06" + six[55:] + tcp))
    for header, each in ((bytes(four), 20 + 32 + 1448), (six, 40 + 20 + 1448)):
        frame = header + b"p" * (100 * 1448)
        frames = replace(
            frames_of([frame], captured=[200]), segment_size=np.array([1448], "u2"), segment_protocol=np.array([6], "u1")
        )
        packets = decode(frames, "x")
        assert totals(packets) == (100, 100 * each, 100 * each * each, each, each)


def test_segments_go_through_a_capture_file(tmp_path: Path) -> None:
    """Among other frames, tagged and not, of every length modulo four: what is read back decodes to the same, and sizes are foretold."""
    parts = [joined(HEADERS[kind], payload, 700)[0] for kind in HEADERS for payload in (1, 699, 701, 2102, 5003)]
    bytes_of = [bytes(part.buffer[: int(part.captured[0])]) for part in parts]
    frames = frames_of(bytes_of)
    several = np.arange(len(parts)) % 3 != 0
    frames = replace(
        frames,
        wire_length=np.concatenate([part.wire_length for part in parts]),
        segment_size=np.where(several, 700, 0).astype("u2"),
        segment_protocol=np.where(several, np.concatenate([part.segment_protocol for part in parts]), 0).astype("u1"),
        is_tagged=np.arange(len(parts)) % 2 == 0,
        tag_control=np.full(len(parts), 5, "u2"),
        tag_protocol=np.full(len(parts), 0x8100, "u2"),
    )
    frames = replace(frames, wire_length=frames.wire_length + np.uint32(4) * frames.is_tagged)
    before = PcapngWriter(tmp_path / "none", interface="test0", link_type=LINKTYPE_ETHERNET, limit_bytes=1 << 20)
    before.close()
    tee = PcapngWriter(tmp_path / "tee", interface="test0", link_type=LINKTYPE_ETHERNET, limit_bytes=1 << 20)
    tee.write(frames)
    tee.close()
    written = (tmp_path / "tee").stat().st_size - (tmp_path / "none").stat().st_size
    assert written == int(block_sizes(frames).sum())
    live = decode(frames, "test0")
    (back,) = read_capture(tmp_path / "tee")
    assert len(live.coalesced) > 10
    for name in ("timestamp_ns", "wire_length", "ip_total_length", "flow_class", "tcp_payload_octets"):
        assert np.array_equal(getattr(back, name), getattr(live, name)), name
    for name in ("position", "extra_packets", "extra_octets", "extra_squares", "smallest"):
        assert np.array_equal(getattr(back.coalesced, name), getattr(live.coalesced, name)), name
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    told = subprocess.run(
        ["tshark", "-r", str(tmp_path / "tee"), "-T", "fields", "-e", "frame.len"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert [int(line) for line in told.stdout.split()] == live.wire_length.tolist()  # others step over the option


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_option_is_read_in_both_byte_orders(tmp_path: Path, order: str) -> None:
    """Our option, first in its block, is known by code, length and signature; another's of the same code is not ours."""
    frame = bytes(HEADERS["ipv4"] / Raw(b"p" * 2001))  # not a multiple of four
    fixed = struct.pack(f"{order}IIIII", 0, 0, 1_000_000, len(frame), len(frame))
    padded = fixed + frame + bytes(-len(frame) % 4)
    ours = struct.pack(f"{order}HH4sBBH", 0xA5E6, 8, b"nmsg", 6, 0, 900)
    theirs = struct.pack(f"{order}HH4sBBH", 0xA5E6, 8, b"else", 6, 0, 900)
    flags = struct.pack(f"{order}HHI", 2, 4, 1)
    end = bytes(4)
    blocks = [
        padded,
        padded + ours + end,
        padded + theirs + end,
        padded + flags + end,
        padded + ours + flags + end,
        padded + ours[:8],
    ]
    data = section(order=order) + interface(name="x", order=order) + b"".join(block(6, each, order=order) for each in blocks)
    (tmp_path / "file").write_bytes(data)
    (packets,) = read_capture(tmp_path / "file")
    assert len(packets) == len(blocks)
    assert packets.coalesced.position.tolist() == [1, 4]
    assert packets.coalesced.extra_packets.tolist() == [2, 2]

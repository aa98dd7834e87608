"""Filter expressions: what they let through is what tcpdump lets through; what cannot be answered is refused with the reason."""

import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from frames_in_memory import frames_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

from netmote.capture.bpf_compiler import FilterError, compile_filter
from netmote.capture.bpf_machine import run
from netmote.capture.bpf_program import INSTRUCTION
from netmote.capture.config import CaptureConfig
from netmote.capture.fanout import FanoutGroup
from netmote.capture.frames import LINKTYPE_ETHERNET, LINKTYPE_RAW, Frames
from netmote.capture.packet_filter import PacketFilter
from netmote.capture.pcap_file import CaptureFile
from netmote.capture.pcapng_writer import PcapngWriter
from netmote.capture.ring import Ring
from netmote.capture.snap_filter import behind_filter, snap_program
from netmote.errors import Unavailable

EXPRESSIONS = (
    "tcp",
    "not port 22",
    "udp port 53",
    "port domain or port http",
    "host 10.0.0.1 or net 192.168.0.0/16",
    "src net 10 and dst portrange 1-1023",
    "ip6",
    "ip6 host fe80::1 or ip6 net fe80::/10",
    "icmp or icmp6",
    "icmp[icmptype] = icmp-echo or icmp6[icmp6type] = icmp6-echo",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420",
    "ether broadcast or ether multicast",
    "ether host 00:0c:29:00:00:01 or ether src fe:ff:20:00:01:00",
    "ether proto 0x88cc or ether proto \\arp",
    "ip proto 50 or ip proto \\ospf",
    "ip[6:2] & 0x1fff != 0",
    "ip[8] < 10 and ip[2:2] % 4 == 1",
    "(ip[2:2] + ip[4:2]) * 3 / 2 - 7 > 1000",
    "ip[4:2] << 3 & 0xff ^ 0x33 >= 64 or -ip[8] & 0xff > 200",
    "greater 500",
    "less 100 and not arp",
    "len > 60 and udp[4:2] > 100",
    "not ip and not ip6 and not arp",
    "sctp or esp or ah",
    "mpls",
    "pppoes and ip",
    "multicast and udp dst port 5353",
)
_TAGS = (b"\x81\x00", b"\x88\xa8")


def run_tcpdump(expression: str, path: Path) -> list[int]:
    """Which packets of a file, whose times are their numbers, tcpdump lets through."""
    done = subprocess.run(
        ["tcpdump", "-n", "-r", str(path), "-w", "-", expression], check=True, capture_output=True, timeout=60
    ).stdout
    found, at = [], 24
    while at < len(done):
        second, _, captured, _ = struct.unpack_from("<IIII", done, at)
        found.append(second)
        at += 16 + captured
    return found


def records_of(path: Path, most: int) -> Iterator[tuple[bytes, int]]:
    """Frames and their lengths on the wire, of a classic little-endian Ethernet capture; others have none."""
    body = path.read_bytes()
    if len(body) < 24 or body[:4] not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") or body[20:24] != b"\1\0\0\0":
        return
    at = 24
    while at + 16 <= len(body) and most:
        captured, wire = struct.unpack_from("<8xII", body, at)
        if captured > wire or at + 16 + captured > len(body):
            return
        yield body[at + 16 : at + 16 + captured], wire
        at += 16 + captured
        most -= 1


def write_numbered(path: Path, records: list[tuple[int, bytes, int]]) -> None:
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, LINKTYPE_ETHERNET)
    path.write_bytes(
        head + b"".join(struct.pack("<IIII", number, 0, len(frame), wire) + frame for number, frame, wire in records)
    )


@pytest.fixture(scope="module")
def corpus(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Frames, Path]:
    """Frames of every Ethernet capture, and a file of them as a kernel would show them: without their outer tag."""
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    records: list[tuple[bytes, int]] = []
    for path in sorted((data / "pcap").rglob("*.pcap")):
        if path.stat().st_size < 2_000_000:
            records += records_of(path, 100)
    frames = frames_of([frame for frame, _ in records])
    frames = replace(frames, wire_length=np.array([wire for _, wire in records], "u4"))
    bare = [
        (frame[:12] + frame[16:], wire - 4) if frame[12:14] in _TAGS and len(frame) >= 18 else (frame, wire)
        for frame, wire in records
    ]
    assert sum(len(frame) for frame, _ in records) > sum(len(frame) for frame, _ in bare)
    path = tmp_path_factory.mktemp("bpf") / "corpus.pcap"
    write_numbered(path, [(number, frame, wire) for number, (frame, wire) in enumerate(bare)])
    return frames, path


@pytest.mark.realdata
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_real_packets_pass_as_with_tcpdump(corpus: tuple[Frames, Path], expression: str) -> None:
    """The very packets, damaged and cut ones among them, alone and in front of our own program."""
    frames, path = corpus
    program = compile_filter(expression)
    expected = run_tcpdump(expression, path)
    assert np.flatnonzero(run(program, frames)).tolist() == expected
    whole = frames.at(np.flatnonzero(frames.captured == frames.wire_length))  # in the kernel no packet is cut
    kept = run(behind_filter(program, snap_program(link_header=14)), whole)
    is_wanted = run(program, whole) != 0
    assert set(np.unique(kept[is_wanted]).tolist()) <= {68, 366}
    assert not kept[~is_wanted].any()


@settings(deadline=None)
@given(
    st.recursive(
        st.sampled_from(["tcp", "udp", "port 53", "ip6", "arp", "ip[8] > 60", "len < 90", "tcp[13] & 2 != 0", "src net 10"]),
        lambda inner: st.one_of(
            inner.map(lambda one: f"not ({one})"),
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda it: f"({' '.join(it)})"),
        ),
        max_leaves=8,
    )
)
def test_logic_is_logic(expression: str) -> None:
    """The compiled whole says what its parts say; a part that asks beyond the packet's end rejects it, so only whole headers are asked."""
    frames = frames_of(SOME)

    def holds(text: str) -> np.ndarray:
        try:
            return run(compile_filter(text), frames) != 0
        except FilterError as error:
            if "rejects all packets" not in str(error):  # libpcap says so of a contradiction
                raise
            return np.zeros(len(frames), "?")

    names = {f"P{number}": text for number, text in enumerate(_ATOMS)}
    python = expression
    for name, text in names.items():
        python = python.replace(text, name)
    python = python.replace("not ", "~").replace(" and ", " & ").replace(" or ", " | ")
    expected = eval(python, {}, {name: holds(text) for name, text in names.items() if name in python})
    assert holds(expression).tolist() == expected.tolist()


_ATOMS = ("tcp[13] & 2 != 0", "tcp", "udp", "port 53", "ip6", "arp", "ip[8] > 60", "len < 90", "src net 10")
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
SOME = [
    bytes(frame)
    for frame in (
        ETHER / IP(src="10.0.0.1", dst="10.0.0.2", ttl=64) / TCP(sport=1000, dport=22, flags="S") / Raw(b"s" * 40),
        ETHER / IP(src="172.16.0.1", dst="10.0.0.2", ttl=5) / TCP(sport=1000, dport=80, flags="A") / Raw(b"w" * 400),
        ETHER / IP(src="10.0.0.1", dst="10.0.0.53") / UDP(sport=999, dport=53) / Raw(b"d" * 30),
        ETHER / IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=53, dport=999) / Raw(b"6" * 30),
        ETHER / IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(sport=5, dport=22, flags="S") / Raw(b"6" * 80),
        ETHER / ARP(pdst="10.0.0.9") / Raw(b"\0" * 18),
        ETHER / Dot1Q(vlan=9) / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1000, dport=22) / Raw(b"v" * 30),
        ETHER / Dot1AD(vlan=9) / Dot1Q(vlan=8) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=7, dport=53) / Raw(b"q" * 30),
        ETHER / Dot1Q(vlan=9) / IP(src="10.0.0.3", dst="10.0.0.2") / UDP(sport=1000, dport=53) / Raw(b"v" * 30),
    )
]


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("port", "syntax error"),
        ("tcp port 99999", "99999"),
        ("vlan 5 and ip", "outer VLAN tag"),
        ("host example.com", "example.com: names of hosts"),
        ("src gateway-1 and tcp", "gateway-1"),
        ("host 3com.example", "3com.example"),
        ("inbound and tcp", "direction"),
        ("ip protochain 6", "loop"),
        ("tcp\0", "NUL"),
        ("tcp or " * 600 + "tcp", "characters"),
    ],
)
def test_a_wrong_expression_is_refused_with_its_reason(expression: str, reason: str) -> None:
    """In libpcap's words or ours; the configuration says it at the key."""
    with pytest.raises(FilterError, match=reason):
        compile_filter(expression)
    with pytest.raises(ValidationError, match=reason):
        CaptureConfig(filter=expression)


def test_a_right_expression_is_taken() -> None:
    """Addresses that look like words, names of services and of protocols, keywords as names."""
    for expression in (
        "host fe80::1",
        "ether host ab:cd:ef:00:00:01",
        "ether host 00-0c-29-00-00-01 or ether src 000c.2900.0001",
        "port ssh",
        "ip proto \\tcp",
        "host 10.0.0.1 and tcp[tcpflags] = tcp-syn",
    ):
        assert CaptureConfig(filter=expression).filter == expression


def test_what_belongs_to_another_kind_of_link_is_refused_there() -> None:
    """Raw IP has no Ethernet addresses."""
    with pytest.raises(FilterError):
        compile_filter("ether host 02:00:00:00:00:01", LINKTYPE_RAW)
    assert compile_filter("tcp port 22", LINKTYPE_RAW) != compile_filter("tcp port 22")


def test_more_than_the_kernel_takes_is_refused() -> None:
    """4,096 instructions, ours included."""
    snap = snap_program(link_header=14)
    long = INSTRUCTION.pack(0x00, 0, 0, 1) * (4096 - len(snap) // 8) + INSTRUCTION.pack(0x06, 0, 0, 1)
    with pytest.raises(ValueError, match="4096"):
        behind_filter(long, snap)
    assert len(behind_filter(long[8:], snap)) == 4096 * 8


@pytest.mark.root
@pytest.mark.parametrize("version", ["v3", "v2"])
@pytest.mark.parametrize("expression", ["not port 22", "udp port 53", "ip6 or arp or len <= 90", "ether[14] = 0x45"])
def test_live_and_file_agree(wire, version: str, expression: str, tmp_path: Path) -> None:
    """What the kernel lets into the ring is what is taken of a capture of the same frames, whose tags are inside them."""
    everything = PcapngWriter(tmp_path / "all", interface="x", link_type=LINKTYPE_ETHERNET, limit_bytes=1 << 20)
    everything.write(frames_of(SOME))
    everything.close()
    wanted = PacketFilter(expression)
    with CaptureFile(tmp_path / "all", packet_filter=wanted) as blocks:
        file = [
            (length, port) for block in blocks for length, port in zip(block.wire_length, block.destination_port, strict=True)
        ]
        undecoded = sum(len(block.undecodable_reason) for block in blocks)
    with wire.inside_right():
        ring = Ring(wire.right, ring_size=2**20, promiscuous=True, version=version, packet_filter=PacketFilter(expression))
    sender = wire.sender()
    for frame in SOME:
        sender.send(frame)
    live = []
    while (block := ring.read(0.25)) is not None:
        live += list(zip(block.wire_length, block.destination_port, strict=True))
    assert ring.take_dropped() == 0
    ring.close()
    sender.close()
    assert live == file
    assert 0 < len(file) + wanted.rejected + undecoded <= len(SOME)


@pytest.mark.root
def test_rings_that_share_an_interface_filter_alike(wire) -> None:
    """Each share is of what is wanted; nothing comes before the group is whole."""
    group = FanoutGroup()
    with wire.inside_right():
        rings = [
            Ring(wire.right, ring_size=2**18, promiscuous=True, fanout=group, packet_filter=PacketFilter("udp port 53"))
            for _ in range(2)
        ]
    for ring in rings:
        ring.begin()
    sender = wire.sender()
    for frame in SOME * 3:
        sender.send(frame)
    sender.close()
    found = []
    for ring in rings:
        while (block := ring.read(0.25)) is not None:
            found += block.source_port.tolist() + block.destination_port.tolist()
        ring.close()
    assert found.count(53) == 3 * 3  # not the one behind two tags, of which the kernel takes one off
    assert len(found) == 2 * 3 * 3


@pytest.mark.root
def test_a_filter_that_does_not_fit_the_link_is_told(wire) -> None:
    """A tunnel interface has no Ethernet addresses: capture there is refused, with the key."""
    with wire.inside_right():
        wire.ip_right("tuntap", "add", "nmtun0", "mode", "tun")
        wire.ip_right("link", "set", "nmtun0", "up")
        with pytest.raises(Unavailable, match=r"nmtun0 cannot be captured: capture.filter: "):
            Ring("nmtun0", ring_size=2**18, promiscuous=False, packet_filter=PacketFilter("ether host 02:00:00:00:00:01"))
        Ring("nmtun0", ring_size=2**18, promiscuous=False, packet_filter=PacketFilter("tcp port 22")).close()

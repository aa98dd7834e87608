"""Tunnels and encapsulations over a real interface: the kernel's filter keeps what is needed to look inside, live as in a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from capture_files import SECOND, enhanced, interface, pcap, section
from frames_in_memory import decode_frames, frames_of
from scapy.contrib.geneve import GENEVE
from scapy.contrib.gtp import GTP_U_Header
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from netmote.capture.config import CaptureConfig
from netmote.capture.headers import decode
from netmote.capture.packet_match import FlowEnds, frames_of_address, frames_of_flows
from netmote.capture.packets import PacketColumns
from netmote.capture.pcap_file import read_capture
from netmote.capture.ring import Ring

ALL = ("gre", "ipip", "vxlan", "geneve", "gtpu")
LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
WITHIN = Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04")  # without a destination scapy would ask the network for one
FOUR = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1000, dport=80, flags="PA", seq=7) / Raw(b"x" * 100)
SIX = IPv6(src="fd00::1", dst="fd00::2") / TCP(sport=1001, dport=443, flags="PA", seq=8) / Raw(b"x" * 100)
OUTER, OUTER_SIX = IP(src="192.0.2.1", dst="192.0.2.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")
LINKS = [LINK / MPLS(label=16, s=0, ttl=9) / MPLS(label=17, s=1, ttl=9) / SIX, LINK / PPPoE(sessionid=1) / PPP(proto=0x57) / SIX]
TUNNELS = [
    LINK / OUTER / GRE(key_present=1) / SIX,
    LINK / OUTER_SIX / GRE(proto=0x6558) / WITHIN / SIX,
    LINK / OUTER / SIX,
    LINK / OUTER_SIX / FOUR,
    LINK / OUTER / UDP(sport=1, dport=4789) / VXLAN(flags=8) / WITHIN / Dot1Q(vlan=3) / SIX,
    LINK / OUTER_SIX / UDP(sport=1, dport=4789) / VXLAN(flags=8) / WITHIN / SIX,
    LINK / OUTER / UDP(sport=1, dport=6081) / GENEVE(proto=0x6558) / WITHIN / SIX,
    LINK / OUTER_SIX / UDP(sport=1, dport=6081) / GENEVE(proto=0x86DD) / SIX,
    LINK / OUTER / UDP(sport=1, dport=2152) / GTP_U_Header(gtp_type=255, teid=1) / SIX,
    LINK / OUTER_SIX / UDP(sport=1, dport=2152) / GTP_U_Header(gtp_type=255, teid=1, S=1) / FOUR,
]


def rows(packets: PacketColumns) -> list[tuple]:
    columns = (
        packets.source_address.tolist(),
        packets.destination_address.tolist(),
        packets.flow_class.tolist(),
        packets.source_port.tolist(),
        packets.ip_total_length.tolist(),
        packets.tcp_control_bits.tolist(),
        packets.tcp_sequence.tolist(),
    )
    return list(zip(*columns, strict=True))


@pytest.mark.root
@pytest.mark.parametrize("tunnels", [(), ALL, ("vxlan",)])
@pytest.mark.parametrize("version", ["v3", "v2"])
def test_the_ring_keeps_what_is_needed_to_look_inside(wire, tunnels, version: str) -> None:
    """MPLS and PPPoE always, tunnels when asked: the rows are those of whole frames."""
    frames = [bytes(frame) for frame in (LINK / FOUR, *LINKS, *TUNNELS, LINK / SIX)]
    with wire.inside_right():
        ring = Ring(wire.right, ring_size=1 << 20, promiscuous=True, version=version, tunnels=tunnels)
    found: list[tuple] = []
    try:
        with wire.sender() as sender:
            for frame in frames:
                sender.send(frame)
        for _ in range(20):
            packets = ring.read(0.25)
            found += rows(packets) if packets is not None else []
            if len(found) == len(frames):
                break
    finally:
        ring.close()
    assert found == rows(decode_frames(frames, tunnels=tunnels))
    inside = [row for row in found if row[3] in (1000, 1001)]
    assert len(inside) == 4 + {0: 0, len(ALL): len(TUNNELS), 1: 2}[len(tunnels)]


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_files_are_looked_into_when_asked(tmp_path: Path, kind: str) -> None:
    """Both readers hand the question on."""
    packets = [(1_700_000_000 * SECOND + number, bytes(frame)) for number, frame in enumerate(TUNNELS)]
    body = b"".join(enhanced(time, frame) for time, frame in packets)
    (tmp_path / "x").write_bytes(pcap(packets) if kind == "pcap" else section() + interface(resolution=9) + body)
    for asked in ((), ("gre",), ALL):
        found = [row for block in read_capture(tmp_path / "x", tunnels=asked) for row in rows(block)]
        assert found == rows(decode_frames([frame for _, frame in packets], tunnels=asked))


def test_evidence_finds_the_frames_of_an_inner_flow() -> None:
    """Whoever meters what is inside must find it again in the frames."""
    frames = frames_of([bytes(frame) for frame in TUNNELS])
    flow = FlowEnds("fd00::1", 1001, "fd00::2", 443, 6)
    assert not frames_of_flows(frames, (flow,)).any()
    assert frames_of_flows(frames, (flow,), tunnels=ALL).sum() == 8
    assert frames_of_address(frames, "10.0.0.2", tunnels=ALL).nonzero()[0].tolist() == [3, 9]


def test_the_document_names_them() -> None:
    """None by default; a name that is none is refused."""
    assert CaptureConfig().tunnels == ()
    assert CaptureConfig.model_validate({"tunnels": ["gre", "gtpu"]}).tunnels == ("gre", "gtpu")
    with pytest.raises(ValueError, match="tunnels"):
        CaptureConfig.model_validate({"tunnels": ["l2tp"]})


def test_joined_segments_inside_are_taken_apart() -> None:
    """The kernel says how the payload inside was cut: each segment counts with the inner headers alone."""
    inner = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1000, dport=80) / Raw(b"x" * 2500)
    frames = frames_of([bytes(LINK / OUTER / UDP(sport=1, dport=4789) / VXLAN(flags=8) / WITHIN / inner)])
    frames = replace(frames, segment_size=np.array([1000], "u2"), segment_protocol=np.array([6], "u1"))
    opened, closed = decode(frames, "x", tunnels=ALL), decode(frames, "x")
    assert opened.ip_total_length.tolist() == [1040]
    assert (opened.coalesced.extra_packets.tolist(), opened.coalesced.extra_octets.tolist()) == ([2], [1040 + 540])
    assert len(closed.coalesced) == 0

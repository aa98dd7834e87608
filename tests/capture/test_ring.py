"""The ring against real packets over a veth pair: all that was sent is metered, and a replay of the tee says the same."""

import time
from pathlib import Path

import numpy as np
import pytest
from frames_in_memory import decode_frames
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, PadN
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

from netmote.capture.frames import LINKTYPE_ETHERNET
from netmote.capture.pcap_file import read_capture
from netmote.capture.pcapng_writer import PcapngWriter
from netmote.capture.ring import InterfaceGone, Ring
from netmote.errors import Unavailable
from netmote.metering.flow_meter import FlowMeter

pytestmark = pytest.mark.root

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


@pytest.fixture(params=["v3", "v2"])
def version(request: pytest.FixtureRequest) -> str:
    """Both ways the kernel lays packets out: what must hold holds for both."""
    return request.param


def kinds() -> list[bytes]:
    """Frames whose headers need every branch of the snap filter."""
    six = IPv6(src="2001:db8::1", dst="2001:db8::2")
    far = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 60)])
    found = [
        ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1000, dport=80, flags="S"),
        ETHER / IP(src="10.0.0.2", dst="10.0.0.1") / TCP(sport=80, dport=1000, flags="SA"),
        ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=9, dport=9) / Raw(b"x" * 900),
        ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=9, dport=10) / Raw(b"tiny"),
        ETHER / IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_Router_Alert()] * 10) / TCP(sport=7, dport=8, flags="A"),
        ETHER / IP(src="10.0.0.1", dst="10.0.0.2", flags="MF", frag=3) / Raw(b"f" * 64),
        ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(type=3, code=1) / Raw(b"i" * 40),
        ETHER
        / IP(src="10.0.0.1", dst="10.0.0.53")
        / UDP(sport=5353, dport=53)
        / DNS(rd=1, qd=DNSQR(qname="a." * 60 + "example.com")),
        ETHER / six / TCP(sport=1, dport=2, flags="PA") / Raw(b"y" * 300),
        ETHER / six / far / UDP(sport=3, dport=4) / Raw(b"z" * 30),
        ETHER / six / IPv6ExtHdrFragment(offset=5, m=1) / Raw(b"z" * 64),
        ETHER / six / UDP(sport=5, dport=53) / DNS(rd=1, qd=DNSQR(qname="six.example.org")),
        ETHER / Dot1Q(vlan=100) / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=11, dport=12, flags="R"),
        ETHER / Dot1AD(vlan=7) / Dot1Q(vlan=8) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=13, dport=14) / Raw(b"q" * 200),
        ETHER / ARP(pdst="10.0.0.9"),
        Ether(type=0x88CC) / Raw(b"lldp" * 15),
    ]
    return [bytes(frame) for frame in found]


def meter_of() -> FlowMeter:
    return FlowMeter(
        source="capture:x",
        interface="x",
        max_flows=4096,
        active_timeout_ns=300 * 10**9,
        idle_timeout_ns=30 * 10**9,
        when_full="evict",
    )


def read_all(ring: Ring, wanted: int) -> tuple[list, int]:
    blocks, dropped, deadline = [], 0, time.monotonic() + 20
    while sum(block.received for block in blocks) + dropped < wanted and time.monotonic() < deadline:
        block = ring.read(0.3)
        dropped += ring.take_dropped()
        if block is not None:
            blocks.append(block)
    return blocks, dropped


def read_until(ring: Ring, deadline: float) -> None:
    while time.monotonic() < deadline:
        ring.read(0.2)


def test_packets_sent_are_packets_metered_and_the_tee_replays_to_the_same_slices(wire, version: str, tmp_path: Path) -> None:
    """Every kind of header, mixed, a few thousand packets: none is missing, and live equals replay bit for bit."""
    frames = kinds()
    order = np.random.default_rng(5).integers(0, len(frames), 6000)
    tee = PcapngWriter(tmp_path / "tee.pcapng", interface=wire.right, link_type=LINKTYPE_ETHERNET, limit_bytes=1 << 24)
    with wire.inside_right():
        ring = Ring(wire.right, ring_size=8_000_000, promiscuous=True, tee=tee, version=version)
    sender = wire.sender()
    for number in order.tolist():
        sender.send(frames[number])
    blocks, dropped = read_all(ring, len(order))
    ring.close()
    tee.close()
    sender.close()
    assert dropped == 0
    live, replayed = meter_of(), meter_of()
    batches = [batch for block in blocks for batch in live.meter(block)] + live.flush()
    again = [batch for block in read_capture(tmp_path / "tee.pcapng") for batch in replayed.meter(block)] + replayed.flush()
    assert live.accounting.received == len(order)
    assert live.accounting.undecodable == {
        "arp": int((order == len(frames) - 2).sum()),
        "not_ip": int((order == len(frames) - 1).sum()),
    }
    assert [batch.slices.tobytes() for batch in batches] == [batch.slices.tobytes() for batch in again]
    assert [(batch.start_ns, batch.loss) for batch in batches] == [(batch.start_ns, batch.loss) for batch in again]
    slices = np.concatenate([batch.slices for batch in batches])
    assert {
        tuple(map(int, row)) for row in np.unique(slices[["vlan_id", "source_transport_port", "destination_transport_port"]])
    } >= {
        (100, 11, 12),
        (7, 13, 14),
        (0, 7, 8),
        (0, 3, 4),
        (0, 1, 2),
        (0, 0, 0),
    }
    octets = {len(frame) for frame in frames}
    assert set(np.unique(np.concatenate([block.wire_length for block in blocks])).tolist()) <= octets


def test_the_kept_bytes_reach_the_end_of_every_header(wire, version: str) -> None:
    """What the ring decodes of a frame is what a full capture of it decodes."""
    frames = kinds()
    with wire.inside_right():
        ring = Ring(wire.right, ring_size=1_000_000, promiscuous=True, version=version)
    sender = wire.sender()
    for frame in frames:
        sender.send(frame)
    blocks, _ = read_all(ring, len(frames))
    ring.close()
    whole = decode_frames(frames)
    live = [block for block in blocks if len(block)]
    for name in (
        "source_word",
        "destination_word",
        "flow_class",
        "ip_total_length",
        "tcp_control_bits",
        "icmp_type",
        "is_fragment",
    ):
        assert np.concatenate([getattr(block, name) for block in live]).tolist() == getattr(whole, name).tolist(), name
    assert np.concatenate([block.dns.question_octets for block in live]).tolist() == whole.dns.question_octets.tolist()
    assert whole.dns.question_octets.tolist() == [131, 15]


def test_a_full_ring_is_counted(wire, version: str) -> None:
    """What the kernel could not place is told: received + dropped = sent."""
    with wire.inside_right():
        ring = Ring(wire.right, ring_size=2**18, promiscuous=True, version=version)
    sender = wire.sender()
    frame = kinds()[0]
    for _ in range(6000):
        sender.send(frame)
    time.sleep(0.3)
    blocks, dropped = read_all(ring, 6000)
    assert dropped > 0
    assert sum(block.received for block in blocks) + dropped == 6000
    assert ring.packets_dropped == dropped
    ring.close()


def test_an_interface_that_vanishes_is_told(wire, version: str) -> None:
    """Deleting the pair ends reading with InterfaceGone; closing afterwards is safe, twice."""
    with wire.inside_right():
        ring = Ring(wire.right, ring_size=2**18, promiscuous=True, version=version)
    assert ring.read(0.01) is None
    wire.ip_right("link", "del", wire.right)
    deadline = time.monotonic() + 10
    with pytest.raises(InterfaceGone):
        read_until(ring, deadline)
    ring.close()
    ring.close()
    with pytest.raises(ValueError, match="closed"):
        ring.read(0.0)


def test_a_link_that_goes_down_and_up_is_read_on(wire, version: str) -> None:
    """Down is not gone: after the link is back, packets come again."""
    with wire.inside_right():
        ring = Ring(wire.right, ring_size=2**18, promiscuous=True, version=version)
    wire.ip_right("link", "set", wire.right, "down")
    assert ring.read(0.2) is None
    wire.ip_right("link", "set", wire.right, "up")
    sender = wire.sender()
    sender.send(kinds()[0])
    blocks, _ = read_all(ring, 1)
    ring.close()
    assert sum(block.received for block in blocks) == 1


def test_no_such_interface_is_unavailable() -> None:
    """The error names it."""
    with pytest.raises(InterfaceGone, match="nosuch0"):
        Ring("nosuch0", ring_size=2**18, promiscuous=True)
    with pytest.raises(Unavailable, match="15 characters"):
        Ring("a-name-that-is-too-long", ring_size=2**18, promiscuous=True)


def test_loopback_packets_are_seen_once(wire, version: str) -> None:
    """Every loopback packet passes a packet socket twice; it is metered once."""
    import socket

    with wire.inside_right():
        ring = Ring("lo", ring_size=2**18, promiscuous=True, version=version)
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("127.0.0.1", 0))
    for _ in range(50):
        sender.sendto(b"once", receiver.getsockname())
    blocks, _ = read_all(ring, 50)
    extra = ring.read(0.3)
    ring.close()
    sender.close()
    receiver.close()
    assert extra is None
    assert sum(block.received for block in blocks) == 50

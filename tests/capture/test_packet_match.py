"""Which frames are of an address or a flow: exactly those, whatever stands between them."""

import pytest
from frames_in_memory import frames_of
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from netmote.capture.packet_match import FlowEnds, frames_of_address, frames_of_flows

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
FRAMES = [
    bytes(frame)
    for frame in (
        ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1000, dport=80, flags="S"),
        ETHER / ARP(psrc="10.0.0.1", pdst="10.0.0.9"),
        ETHER / IP(src="10.0.0.2", dst="10.0.0.1") / TCP(sport=80, dport=1000, flags="SA"),
        ETHER / IP(src="10.0.0.3", dst="10.0.0.2") / UDP(sport=1000, dport=80) / Raw(b"x" * 20),
        Ether(type=0x88CC) / Raw(b"lldp" * 15),
        ETHER / Dot1Q(vlan=5) / IP(src="10.0.0.1", dst="10.0.0.3") / UDP(sport=1000, dport=80) / Raw(b"x" * 20),
        ETHER / IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(sport=1000, dport=80),
        ETHER / IP(src="10.0.0.4", dst="10.0.0.1") / ICMP() / Raw(b"i" * 40),
        ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=80, dport=1000, flags="A"),
    )
]


@pytest.mark.parametrize(
    ("address", "positions"),
    [("10.0.0.1", [0, 2, 5, 7, 8]), ("10.0.0.3", [3, 5]), ("2001:db8::2", [6]), ("10.0.0.9", []), ("::ffff:10.0.0.4", [7])],
)
def test_of_an_address(address: str, positions: list[int]) -> None:
    """Either direction, IPv4 and IPv6, tagged or not; undecodable frames between them shift nothing."""
    assert frames_of_address(frames_of(FRAMES), address).nonzero()[0].tolist() == positions


def test_of_flows() -> None:
    """Both directions of the named flow: not another protocol's, nor the same addresses with the ports the other way."""
    frames = frames_of(FRAMES)
    tcp = FlowEnds("10.0.0.2", 80, "10.0.0.1", 1000, 6)
    assert frames_of_flows(frames, (tcp,)).nonzero()[0].tolist() == [0, 2]
    six = FlowEnds("2001:db8::1", 1000, "2001:db8::2", 80, 6)
    udp = FlowEnds("10.0.0.3", 1000, "10.0.0.2", 80, 17)
    assert frames_of_flows(frames, (six, udp)).nonzero()[0].tolist() == [3, 6]
    assert not frames_of_flows(frames, ()).any()


def test_no_frames_and_no_address() -> None:
    """Nothing of nothing; what is no address is refused."""
    assert not frames_of_address(frames_of([]), "10.0.0.1").any()
    with pytest.raises(ValueError, match="printer"):
        frames_of_address(frames_of(FRAMES), "printer")

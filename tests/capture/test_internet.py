"""Packets whose IP header tells no length: an offloaded segment has the wire's length, a short frame's padding is no segment."""

import pytest
from frames_in_memory import decode_frames
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


@pytest.mark.parametrize("protocol", [6, 17])
def test_padding_behind_an_empty_packet_is_not_read(protocol: int) -> None:
    """Ethernet pads to 60 bytes; they are neither ports nor length."""
    frame = bytes(LINK / IPv6(src="::1", dst="::2", nh=protocol) / Raw(b"")).ljust(60, b"\xee")
    packets = decode_frames([frame])
    assert (packets.ip_total_length.tolist(), packets.source_port.tolist()) == ([40], [0])


@pytest.mark.parametrize("transport", [TCP(sport=5, dport=6, flags="PA"), UDP(sport=5, dport=6)])
def test_an_offloaded_segment_has_the_length_of_the_wire(transport: TCP | UDP) -> None:
    """The sending host left the payload length to its network card."""
    frame = bytes(LINK / IPv6(src="::1", dst="::2", plen=0) / transport / Raw(b"x" * 3000))
    packets = decode_frames([frame])
    assert packets.ip_total_length.tolist() == [len(frame) - 14]
    assert packets.source_port.tolist() == [5]
    assert packets.destination_port.tolist() == [6]


@pytest.mark.parametrize(
    ("transport", "octets"),
    [(TCP(sport=5, dport=6, flags="PA"), 3000), (UDP(sport=5, dport=6), 3000), (TCP(sport=5, dport=6, flags="A"), 80_000)],
)
def test_an_ipv4_length_of_zero_is_the_length_of_the_wire(transport: TCP | UDP, octets: int) -> None:
    """So is it of an offloaded segment, and of packets that were joined to more than 64 KiB."""
    frame = bytes(LINK / IP(src="10.0.0.1", dst="10.0.0.2", len=0) / transport / Raw(b"x" * octets))
    packets = decode_frames([frame])
    assert packets.ip_total_length.tolist() == [len(frame) - 14]
    assert packets.source_port.tolist() == [5]


@pytest.mark.parametrize("protocol", [6, 17, 1])
def test_padding_behind_an_ipv4_length_of_zero_is_no_packet(protocol: int) -> None:
    """A frame no longer than the shortest has its length from padding: the header contradicts itself."""
    frame = bytes(LINK / IP(src="10.0.0.1", dst="10.0.0.2", len=0, proto=protocol)).ljust(60, b"\xee")
    packets = decode_frames([frame])
    assert len(packets) == 0
    assert packets.undecodable == {"bad_ip_header": 1}

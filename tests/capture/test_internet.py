"""IPv6 packets that say they carry nothing: an offloaded segment has the wire's length, a short frame's padding is no segment."""

import pytest
from frames_in_memory import decode_frames
from scapy.layers.inet import TCP, UDP
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

"""What the kernel says before a frame: read for each, and asked for only where asking loses nothing."""

import struct

import numpy as np
import pytest
from frames_in_memory import frames_of
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from netmote.capture.frames import LINKTYPE_ETHERNET, Frames
from netmote.capture.headers import decode
from netmote.capture.virtio_header import is_told_of_all, with_estimated_segments, with_segments


def frames_behind(headers: list[tuple[int, int]]) -> Frames:
    """Frames of 60 bytes, each behind a header with this gso_type and gso_size."""
    records = [struct.pack("BBHHHH", 1, kind, 54, size, 34, 16) + bytes(60) for kind, size in headers]
    return Frames(
        np.frombuffer(b"".join(records), "u1"),
        np.arange(len(records)) * 70 + 10,
        np.full(len(records), 60),
        np.full(len(records), 9000, "u4"),
        np.zeros(len(records), "i8"),
        LINKTYPE_ETHERNET,
    )


def test_sizes_and_protocols() -> None:
    """TCP over IPv4 and IPv6, with and without ECN, and UDP; no type, the fragments of old kernels and unknown types are one packet."""
    kinds = [
        (1, 1448),
        (4, 1440),
        (0x81, 900),
        (0x84, 800),
        (5, 1200),
        (0, 0),
        (0, 77),
        (3, 1480),
        (0x23, 5),
        (1, 0),
        (1, 65_535),
    ]
    frames = with_segments(frames_behind(kinds))
    assert frames.segment_size is not None
    assert frames.segment_protocol is not None
    assert frames.segment_size.tolist() == [1448, 1440, 900, 800, 1200, 0, 0, 0, 0, 0, 65_535]
    assert frames.segment_protocol.tolist() == [6, 6, 6, 6, 17, 0, 0, 0, 0, 0, 6]


def test_frames_that_are_one_packet_each_have_no_columns() -> None:
    """Nearly always nothing is joined; then nothing is carried."""
    assert with_segments(frames_behind([(0, 0)] * 5)).segment_size is None
    assert with_segments(frames_of([]).at(np.zeros(0, "i8"))).segment_size is None


def test_what_is_longer_than_the_interface_allows_is_guessed() -> None:
    """As many whole IP packets of the greatest length; full ones, tagged or not, are no group, and then the interface is not asked."""
    head = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2, options=[("Timestamp", (1, 2))])
    frames = frames_of([bytes(head / Raw(bytes(payload))) for payload in (1448, 2 * 1448, 1448 + 50, 1448)])
    packets = decode(with_estimated_segments(frames, lambda: 1500), "x")
    assert packets.ip_total_length.tolist() == [1500] * 4
    assert packets.coalesced.position.tolist() == [1, 2]
    assert packets.coalesced.extra_packets.tolist() == [1, 1]
    assert packets.coalesced.extra_octets.tolist() == [1500, 102]
    assert packets.coalesced.smallest.tolist() == [1500, 102]
    full = frames.at(np.array([0, 3]))
    assert with_estimated_segments(full, lambda: pytest.fail("asked")) is full
    datagram = frames_of([bytes(Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / Raw(bytes(4000)))])
    assert len(decode(with_estimated_segments(datagram, lambda: 1500), "x").coalesced) == 0


@pytest.mark.parametrize(
    ("release", "is_told"),
    [
        ("6.18.44", True),
        ("6.2.0-rc1", True),
        ("7.0", True),
        ("6.1.0-44-amd64", False),
        ("5.15.0-1-generic", False),
        ("odd", False),
    ],
)
def test_old_kernels_are_not_asked(release: str, is_told: bool) -> None:
    """They would drop UDP packets that are yet to be cut."""
    assert is_told_of_all(release) == is_told

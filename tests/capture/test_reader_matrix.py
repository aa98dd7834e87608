"""Every link type through every kind of capture file, packed or not, from a file and from standard input: the same packet each time."""

import gzip
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from capture_files import SECOND, block, enhanced, interface, option, pcap, section
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether

from netmote.capture.frames import (
    LINKTYPE_C_HDLC,
    LINKTYPE_ETHERNET,
    LINKTYPE_IPV4,
    LINKTYPE_LINUX_SLL,
    LINKTYPE_LINUX_SLL2,
    LINKTYPE_LOOP,
    LINKTYPE_NULL,
    LINKTYPE_PPP,
    LINKTYPE_PPP_ETHER,
    LINKTYPE_PPP_HDLC,
    LINKTYPE_RAW,
)
from netmote.capture.pcap_file import UnreadableCapture, read_capture

START = 1_700_000_000 * SECOND
LINKTYPE_IEEE802_11 = 105
SWAPPED = {"<": ">", ">": "<"}
HEADERS: dict[int, bytes] = {
    LINKTYPE_ETHERNET: bytes.fromhex("020000000002020000000001 0800"),
    LINKTYPE_LINUX_SLL: bytes.fromhex("0000 0001 0006 0200000000010000 0800"),
    LINKTYPE_LINUX_SLL2: bytes.fromhex("0800 0000 00000003 0001 00 06 0200000000010000"),
    LINKTYPE_RAW: b"",
    12: b"",  # raw IP in files of BSDs
    LINKTYPE_IPV4: b"",
    LINKTYPE_NULL: b"\2\0\0\0",
    LINKTYPE_LOOP: b"\0\0\0\2",
    LINKTYPE_PPP: b"\x00\x21",
    LINKTYPE_PPP_HDLC: b"\xff\x03\x00\x21",
    LINKTYPE_PPP_ETHER: bytes.fromhex("1100 0001 0026 0021"),
    LINKTYPE_C_HDLC: bytes.fromhex("0f00 0800"),
}


def datagram(port: int) -> bytes:
    return bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=port, dport=9) / b"12345678")


def read(path: Path) -> list[tuple[str, int, int, int]]:
    """(interface, source port, nanoseconds since the start, IP length) of a file's packets."""
    found = []
    for packets in read_capture(path):
        assert not packets.undecodable
        columns = packets.source_port.tolist(), packets.timestamp_ns.tolist(), packets.ip_total_length.tolist()
        found += [(packets.interface, port, time - START, length) for port, time, length in zip(*columns, strict=True)]
    return found


@pytest.mark.parametrize("link_type", HEADERS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_classic_files_of_every_link_type(tmp_path: Path, link_type: int, order: str, nano: bool) -> None:
    """Either byte order, either resolution, with and without the bits that tell of a frame check sequence."""
    packets = [(START + 7000 * number, HEADERS[link_type] + datagram(1000 + number)) for number in range(20)]
    expected = [("", 1000 + number, 7000 * number, 36) for number in range(20)]
    for upper in (0, 0x0400_0000 | 4 << 28):  # the f bit, and four octets of check sequence
        (tmp_path / "x").write_bytes(pcap(packets, order=order, nano=nano, link_type=link_type | upper))
        assert read(tmp_path / "x") == expected


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("is_piped", [False, True], ids=["file", "pipe"])
def test_one_file_of_interfaces_of_every_link_type(
    tmp_path: Path, order: str, pack: Callable[[bytes], bytes], is_piped: bool
) -> None:
    """Side by side, each with its resolution and its offset, with blocks between that nobody knows."""
    data, expected = section(order=order), []
    resolutions = [
        (None, lambda ns: ns // 1000),
        (9, lambda ns: ns),
        (6, lambda ns: ns // 1000),
        (0x80 | 30, lambda ns: -(-(ns << 30) // SECOND)),
    ]
    for number, link_type in enumerate(HEADERS):
        resolution, _ = resolutions[number % 4]
        shift = [None, 1000, -1000][number % 3]
        data += interface(link_type=link_type, name=f"if{number}", resolution=resolution, offset=shift, order=order)
    for number, link_type in enumerate(HEADERS):
        time = START + number * 1000
        ticks = resolutions[number % 4][1](time - ([0, 1000, -1000][number % 3]) * SECOND)
        data += block(0x0000_0BAD | 0x8000_0000 * (number % 2), b"private to somebody", order=order)
        data += enhanced(ticks, HEADERS[link_type] + datagram(2000 + number), number=number, order=order)
        expected.append((f"if{number}", 2000 + number, number * 1000, 36))
    (tmp_path / "x").write_bytes(pack(data))
    if not is_piped:
        assert sorted(read(tmp_path / "x")) == sorted(expected)
        return
    program = (
        "from netmote.capture.pcap_file import read_capture\n"
        f"print(sorted((b.interface, p, t - {START}, n) for b in read_capture('-') for p, t, n in"
        " zip(b.source_port.tolist(), b.timestamp_ns.tolist(), b.ip_total_length.tolist())))"
    )
    done = subprocess.run([sys.executable, "-c", program], input=pack(data), capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().strip() == str(sorted(expected))


@pytest.mark.parametrize("order", ["<", ">"])
def test_simple_packets_are_cut_at_the_snap_length(tmp_path: Path, order: str) -> None:
    """A Simple Packet Block tells the length on the wire alone: what is there is told by the interface (section 4.4 of the draft)."""
    frame = HEADERS[LINKTYPE_ETHERNET] + datagram(7)
    described = block(1, struct.pack(f"{order}HHI", 1, 0, 38) + option(9, b"\x09", order=order), order=order)
    simple = block(3, struct.pack(f"{order}I", len(frame)) + frame[:38], order=order)
    (tmp_path / "x").write_bytes(section(order=order) + described + enhanced(START, frame, order=order) + simple)
    (packets,) = read_capture(tmp_path / "x")
    assert packets.source_port.tolist() == [7, 7]
    assert packets.wire_length.tolist() == [len(frame)] * 2
    assert packets.timestamp_ns.tolist() == [START] * 2


def test_a_link_type_that_is_not_decoded_is_counted(tmp_path: Path) -> None:
    """IEEE 802.11 and anything unknown: every packet under its reason, beside the interfaces that are decoded."""
    (tmp_path / "x").write_bytes(pcap([(START, b"x" * 60)] * 3, link_type=LINKTYPE_IEEE802_11))
    (packets,) = read_capture(tmp_path / "x")
    assert packets.undecodable == {"unknown_link_type": 3}
    data = section() + interface(link_type=LINKTYPE_IEEE802_11, name="wlan", resolution=9) + interface(name="eth", resolution=9)
    data += enhanced(START, b"y" * 60) + enhanced(START, HEADERS[LINKTYPE_ETHERNET] + datagram(5), number=1)
    (tmp_path / "x").write_bytes(data)
    found = {packets.interface: (len(packets), packets.undecodable) for packets in read_capture(tmp_path / "x")}
    assert found == {"wlan": (0, {"unknown_link_type": 1}), "eth": (1, {})}


@pytest.mark.parametrize("order", ["<", ">"])
def test_claims_come_from_files_too(tmp_path: Path, order: str) -> None:
    """ARP of an interface reaches whoever asks, in either format."""
    frame = bytes(
        Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.1", hwsrc="02:00:00:00:00:01", pdst="10.0.0.2")
    )
    for data in (
        pcap([(START, frame)], order=order),
        section(order=order) + interface(order=order) + enhanced(START // 1000, frame, order=order),
    ):
        (tmp_path / "x").write_bytes(data)
        (packets,) = read_capture(tmp_path / "x")
        assert (packets.undecodable, packets.claims.hardware.tolist(), packets.claims.timestamp_ns.tolist()) == (
            {"arp": 1},
            [0x0200_0000_0001],
            [START],
        )


@pytest.mark.parametrize(
    "magic",
    [
        b"\xa1\xb2\xc3\xd5",
        b"\xd4\xc3\xb2\xa0",
        b"\x0a\x0d\x0d\x0b",
        b"\x54\x52\x53\x4e",
        b"RTSS",
        b"snoop\0\0\0",
        b"\x42\x42\x42\x42",
    ],
)
def test_other_formats_are_refused_with_their_first_bytes(tmp_path: Path, magic: bytes) -> None:
    """NetMon, snoop and whatever else: named, never guessed at. (Kuznetsov's format, 0xA1B2CD34, is read.)"""
    (tmp_path / "x.cap").write_bytes(magic + bytes(100))
    with pytest.raises(UnreadableCapture, match=rf"x\.cap: no capture file: it begins with {magic[:4].hex(' ')}"):
        next(read_capture(tmp_path / "x.cap"))

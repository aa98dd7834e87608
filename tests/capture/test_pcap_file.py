"""Capture files: every variant gives the same packets; damage is counted; what is no capture is refused by name."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from capture_files import SECOND, block, enhanced, interface, option, pcap, section, statistics
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from netmote.capture.pcap_file import CaptureFile, UnreadableCapture, read_capture
from netmote.errors import Permanent

START = 1_700_000_000 * SECOND


def frame(port: int) -> bytes:
    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    return bytes(link / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=port, dport=80, flags="S"))


PACKETS = [(START + number * 1_234_567_000, frame(1000 + number)) for number in range(7)]


def read(data: bytes, path: Path, **options) -> tuple[list[int], list[int], dict[str, int]]:
    """(ports, times, undecodable) of a file with these bytes."""
    path.write_bytes(data)
    ports, times, undecodable = [], [], {}
    for packets in read_capture(path, **options):
        ports += packets.source_port.tolist()
        times += packets.timestamp_ns.tolist()
        for reason, count in packets.undecodable.items():
            undecodable[reason] = undecodable.get(reason, 0) + count
    return ports, times, undecodable


EXPECTED = ([1000 + number for number in range(7)], [time for time, _ in PACKETS], {})


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("variant", [{}, {"nano": True}, {"modified": True}])
def test_classic_variants_say_the_same(tmp_path: Path, order: str, variant: dict) -> None:
    """Both byte orders, micro- and nanoseconds, and Kuznetsov's records."""
    assert read(pcap(PACKETS, order=order, **variant), tmp_path / "x") == EXPECTED


RUNS = (1, 1, 2, 15, 16, 17, 3, 127, 128, 129, 1, 1, 1, 1, 600, 2, 1300, 5)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("modified", [False, True])
@pytest.mark.parametrize("chunk", [5_000, 8 << 20])
def test_runs_of_equal_records_and_others_are_all_found(tmp_path: Path, order: str, modified: bool, chunk: int) -> None:
    """Whatever the lengths of the runs, wherever reads cut them: every packet, once, in order."""
    ports = iter(range(1000, 60_000))
    packets = [(START + port * 1000, frame(port) + bytes(run % 7)) for run in RUNS for port in (next(ports) for _ in range(run))]
    expected = ([1000 + number for number in range(len(packets))], [time for time, _ in packets], {})
    assert read(pcap(packets, order=order, modified=modified), tmp_path / "x", chunk_bytes=chunk) == expected


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("chunk", [5_000, 8 << 20])
def test_runs_of_equal_blocks_and_others_are_all_found(tmp_path: Path, order: str, chunk: int) -> None:
    """Of pcapng too, where other blocks and another interface stand between: every packet, once, on its own interface."""
    ports = iter(range(1000, 60_000))
    data = section(order=order) + interface(resolution=9, order=order) + interface(resolution=9, name="wan", order=order)
    expected: dict[str, list[int]] = {"": [], "wan": []}
    for number, run in enumerate(RUNS):
        for port in (next(ports) for _ in range(run)):
            which = int(number % 3 == 1 or port % 500 == 0)
            data += enhanced(START + port * 1000, frame(port) + bytes(run % 7), number=which, order=order)
            expected["wan" if which else ""].append(port)
        data += block(0x0BAD, b"passed over.", order=order)
    (tmp_path / "x").write_bytes(data)
    found: dict[str, list[int]] = {"": [], "wan": []}
    for packets in read_capture(tmp_path / "x", chunk_bytes=chunk):
        found[packets.interface] += packets.source_port.tolist()
        assert not packets.undecodable
    assert found == expected


@pytest.mark.parametrize("good", [1, 40, 1000])
def test_a_wrong_block_behind_equal_blocks_is_found(tmp_path: Path, good: int) -> None:
    """A block of an interface nobody described is counted and passed over; one with a bad length ends the file."""
    data = section() + interface(resolution=9)
    packets = b"".join(enhanced(START + number, frame(1000 + number)) for number in range(good))
    stranger = enhanced(START, frame(7), number=3)
    broken = bytearray(enhanced(START, frame(8)))
    broken[4:8] = (0xFFFF_FFF0).to_bytes(4, "little")
    found, _, undecodable = read(data + packets + stranger + packets + bytes(broken) + packets, tmp_path / "x")
    assert (found, undecodable) == ([1000 + number for number in range(good)] * 2, {"bad_record": 2})


@pytest.mark.parametrize("good", [1, 40, 3000])
@pytest.mark.parametrize("length", [262_145, 0xFFFF_FFFF, 54])
def test_a_wrong_length_behind_equal_records_is_found(tmp_path: Path, good: int, length: int) -> None:
    """A record too long to be one ends the file; one that is only shorter than the others is what it says."""
    packets = [(START + number * 1000, frame(1000 + number) + b"!!") for number in range(good)]
    data = bytearray(pcap([*packets, (START, frame(7)), *packets]))
    at = 24 + good * (16 + 56)
    data[at + 8 : at + 12] = length.to_bytes(4, "little")
    found, _, undecodable = read(bytes(data), tmp_path / "x")
    if length == 54:
        assert (len(found), undecodable) == (2 * good + 1, {})
    else:
        assert (found, undecodable) == ([1000 + number for number in range(good)], {"bad_record": 1})


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("resolution", "ticks"),
    [
        (None, lambda ns: ns // 1000),
        (9, lambda ns: ns),
        (3, lambda ns: ns // 10**6),
        (10, lambda ns: ns * 10),
        (0x80 | 20, lambda ns: (ns << 20) // SECOND),
    ],
)
def test_pcapng_resolutions(tmp_path: Path, order: str, resolution, ticks) -> None:
    """Any resolution, decimal or binary, gives nanoseconds, as exactly as it can."""
    data = section(order=order) + interface(resolution=resolution, order=order)
    data += b"".join(enhanced(ticks(time), body, order=order) for time, body in PACKETS)
    ports, times, undecodable = read(data, tmp_path / "x")
    assert (ports, undecodable) == (EXPECTED[0], {})
    error = {3: 10**6, 0x80 | 20: 1000}.get(resolution, 0)
    assert all(0 <= want - got <= error for got, want in zip(times, EXPECTED[1], strict=True))


def test_time_offset_of_an_interface(tmp_path: Path) -> None:
    """if_tsoffset is added."""
    data = section() + interface(resolution=9, offset=1_700_000_000) + enhanced(5, frame(1))
    assert read(data, tmp_path / "x")[1] == [START + 5]


def test_interfaces_come_side_by_side(tmp_path: Path) -> None:
    """Blocks are of one interface each, in order within it, and none is a second of event time ahead of another."""
    data = (
        section()
        + interface(name="wan", resolution=9)
        + interface(link_type=101, name="tun0", resolution=9)
        + interface(resolution=9)
    )
    for number in range(40):
        which = number % 3
        data += enhanced(START + number * SECOND // 4, frame(number)[14:] if which == 1 else frame(number), number=which)
    (tmp_path / "x").write_bytes(data)
    ports: dict[str, list[int]] = {}
    latest = 0
    for packets in read_capture(tmp_path / "x"):
        ports.setdefault(packets.interface, []).extend(packets.source_port.tolist())
        assert packets.timestamp_ns.min() > latest - SECOND
        latest = max(latest, int(packets.timestamp_ns.max()))
    assert ports == {"wan": list(range(0, 40, 3)), "tun0": list(range(1, 40, 3)), "interface-2": list(range(2, 40, 3))}


def test_drops_a_file_tells_of_stand_behind_the_packets_before_them(tmp_path: Path) -> None:
    """isb_ifdrop counts from the beginning; the difference belongs where it was written."""
    data = (
        section()
        + interface(resolution=9)
        + enhanced(START, frame(1))
        + statistics(5)
        + enhanced(START, frame(2))
        + statistics(7)
    )
    (tmp_path / "x").write_bytes(data)
    assert [(packets.source_port.tolist(), packets.dropped) for packets in read_capture(tmp_path / "x")] == [
        ([1], 0),
        ([], 5),
        ([2], 0),
        ([], 2),
    ]


def test_several_sections_of_either_byte_order(tmp_path: Path) -> None:
    """A section begins anew: its interfaces and its byte order."""
    data = section() + interface(resolution=9) + enhanced(START, frame(1))
    data += section(order=">") + interface(resolution=9, order=">") + enhanced(START + 1, frame(2), order=">")
    assert read(data, tmp_path / "x") == ([1, 2], [START, START + 1], {})


def test_simple_and_obsolete_packet_blocks(tmp_path: Path) -> None:
    """A Simple Packet Block has no time: the latest known stands in. The obsolete Packet Block reads like an enhanced one."""
    import struct

    body = frame(3)
    old = block(2, struct.pack("<HHIIII", 0, 0, START >> 32, START & 0xFFFFFFFF, len(body), len(body)) + body)
    simple = block(3, struct.pack("<I", len(frame(4))) + frame(4))
    assert read(section() + interface(resolution=9) + old + simple, tmp_path / "x") == ([3, 4], [START, START], {})


def test_gzip_and_standard_input(tmp_path: Path) -> None:
    """A gzipped file is recognised by its bytes; "-" reads standard input, from a pipe too."""
    data = gzip.compress(pcap(PACKETS))
    assert read(data, tmp_path / "named.pcap") == EXPECTED
    program = "from netmote.capture.pcap_file import read_capture; print(sum(len(block) for block in read_capture('-')))"
    for stdin in (data, pcap(PACKETS)):
        done = subprocess.run([sys.executable, "-c", program], input=stdin, capture_output=True, check=True, timeout=60)
        assert done.stdout == b"7\n"


def test_records_may_cross_every_read_border(tmp_path: Path) -> None:
    """Small chunks give what one large read gives."""
    for chunk in (1, 7, 60, 100):
        assert read(pcap(PACKETS), tmp_path / "x", chunk_bytes=chunk) == EXPECTED


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_a_file_cut_anywhere_gives_the_packets_before_the_cut(tmp_path: Path, kind: str) -> None:
    """Whole records are read; the one that was cut counts as `cut_off`, and the file says so."""
    if kind == "pcap":
        data, header = pcap(PACKETS), 24
        record = 16 + len(frame(0))
    else:
        head = section() + interface(resolution=9)
        data, header = head + b"".join(enhanced(time, body) for time, body in PACKETS), len(head)
        record = (len(data) - header) // 7
    for length in range(header, len(data) + 1):
        ports, _, undecodable = read(data[:length], tmp_path / "x")
        whole, rest = divmod(length - header, record)
        assert ports == EXPECTED[0][:whole]
        assert undecodable == ({"cut_off": 1} if rest else {})
    (tmp_path / "x").write_bytes(data[:-1])
    with CaptureFile(tmp_path / "x") as capture:
        assert capture.damage == ""
        assert sum(len(packets) for packets in capture) == 6
        assert "ends inside a record" in capture.damage


def test_a_cut_gzip_file(tmp_path: Path) -> None:
    """What could be unpacked is read, the loss is counted."""
    ports, _, undecodable = read(gzip.compress(pcap(PACKETS * 50), 0)[:-400], tmp_path / "x")
    assert 300 < len(ports) < 350
    assert undecodable == {"cut_off": 1}


def test_records_that_contradict_themselves(tmp_path: Path) -> None:
    """An impossible length ends the file with `bad_record`; a bad block inside a pcapng section is one bad record."""
    data = pcap(PACKETS[:2])
    assert read(data + b"\xff" * 40, tmp_path / "x")[::2] == (EXPECTED[0][:2], {"bad_record": 1})
    head = section() + interface(resolution=9)
    stray = enhanced(START, frame(9), number=4)
    assert read(head + stray + enhanced(START, frame(2)), tmp_path / "x")[::2] == ([2], {"bad_record": 1})
    assert read(head + enhanced(START, frame(2)) + b"\6\0\0\0\5\0\0\0" + b"x" * 40, tmp_path / "x")[::2] == (
        [2],
        {"bad_record": 1},
    )


def test_impossible_times_are_no_time(tmp_path: Path) -> None:
    """Beyond 2199 a packet is undecodable; it does not move event time."""
    data = section() + interface(resolution=0) + enhanced(2**40, frame(1)) + enhanced(1_700_000_000, frame(2))
    assert read(data, tmp_path / "x") == ([2], [START], {"bad_timestamp": 1})


def test_options_that_lie_about_their_length(tmp_path: Path) -> None:
    """An option beyond its block ends the options, not the reading."""
    import struct

    bad = block(1, struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 2, 60_000) + b"abcd")
    data = section() + bad + enhanced(START // 1000, frame(1))
    assert read(data, tmp_path / "x")[0] == [1]
    assert option(1, b"abc") == b"\1\0\3\0abc\0"


@pytest.mark.parametrize("data", [b"", b"abc", b"hello, this is text", b"\x1f\x8b\x08\x00garbage-that-is-no-gzip"])
def test_what_is_no_capture_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    """One clear error that names the file, before any packet."""
    path = tmp_path / "thing.pcap"
    path.write_bytes(data)
    with pytest.raises(UnreadableCapture, match=r"thing\.pcap") as caught:
        next(read_capture(path))
    assert isinstance(caught.value, Permanent)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    """The operating system's reason is given."""
    with pytest.raises(UnreadableCapture, match="nothing-here: No such file"):
        next(read_capture(tmp_path / "nothing-here"))
    with pytest.raises(UnreadableCapture, match="directory"):
        next(read_capture(tmp_path))


def test_random_damage_never_raises(tmp_path: Path) -> None:
    """Flipped bytes anywhere behind the magic number: packets, or counted damage."""
    random = np.random.default_rng(11)
    head = section() + interface(resolution=9)
    files = [pcap(PACKETS), head + b"".join(enhanced(time, body) for time, body in PACKETS)]
    for number in range(400):
        data = bytearray(files[number % 2])
        for place in random.integers(12, len(data), random.integers(1, 8)).tolist():
            data[place] = int(random.integers(0, 256))
        read(bytes(data), tmp_path / "x")


def test_interfaces_and_names_are_told(tmp_path: Path) -> None:
    """A classic file names no interface."""
    (tmp_path / "x").write_bytes(pcap(PACKETS))
    with CaptureFile(tmp_path / "x") as capture:
        assert [packets.interface for packets in capture] == [""]
        assert capture.interfaces == [""]

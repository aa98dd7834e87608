"""Captures compressed with zstd: read like plain ones from a file and from standard input; damage is counted, memory bounded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from capture_files import SECOND, enhanced, interface, pcap, section
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from netmote.capture.pcap_file import CaptureFile, UnreadableCapture, read_capture
from netmote.capture.zstd_stream import is_zstd

zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
START = 1_700_000_000 * SECOND


def frame(port: int) -> bytes:
    # Bytes that do not compress, so that a cut of the stream loses packets.
    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    return bytes(link / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=port, dport=80)) + os.urandom(1000)


PACKETS = [(START + number, frame(1000 + number)) for number in range(1000)]
CLASSIC = pcap(PACKETS)
NEXT_GENERATION = section() + interface(resolution=9) + b"".join(enhanced(time, body) for time, body in PACKETS)
PORTS = list(range(1000, 2000))


def read(path: Path) -> tuple[list[int], dict[str, int], str]:
    ports: list[int] = []
    undecodable: dict[str, int] = {}
    with CaptureFile(path) as blocks:
        for packets in blocks:
            ports += packets.source_port.tolist()
            undecodable |= packets.undecodable
        return ports, undecodable, blocks.damage


@pytest.mark.parametrize("data", [CLASSIC, NEXT_GENERATION], ids=["pcap", "pcapng"])
@pytest.mark.parametrize("name", ["x.pcap.zst", "named-otherwise.pcap"])
def test_it_is_known_by_its_bytes(tmp_path: Path, data: bytes, name: str) -> None:
    """Whatever the file is called, pcap or pcapng."""
    (tmp_path / name).write_bytes(zstd.compress(data))
    assert read(tmp_path / name) == (PORTS, {}, "")


def test_frames_one_behind_another_are_one_stream(tmp_path: Path) -> None:
    """As `cat` and pzstd make them; skippable frames anywhere say nothing."""
    skippable = b"\x5e\x2a\x4d\x18\x05\0\0\0hello"
    parts = [zstd.compress(CLASSIC[start : start + 100_001]) for start in range(0, len(CLASSIC), 100_001)]
    (tmp_path / "x").write_bytes(skippable + skippable.join(parts) + skippable)
    assert read(tmp_path / "x") == (PORTS, {}, "")
    assert is_zstd(skippable[:4])
    assert not is_zstd(b"\x1e\x2a\x4d\x18")
    assert not is_zstd(b"")


def test_standard_input(tmp_path: Path) -> None:
    """From a pipe too."""
    program = "from netmote.capture.pcap_file import read_capture; print(sum(len(block) for block in read_capture('-')))"
    done = subprocess.run(
        [sys.executable, "-c", program], input=zstd.compress(CLASSIC), capture_output=True, check=True, timeout=60
    )
    assert done.stdout == b"1000\n"


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.999])
def test_a_cut_stream_gives_what_could_be_unpacked(tmp_path: Path, kept: float) -> None:
    """The packets before, and the cut counted: also where it falls between two records."""
    whole = zstd.compress(CLASSIC)
    (tmp_path / "x").write_bytes(whole[: int(len(whole) * kept)])
    ports, undecodable, damage = read(tmp_path / "x")
    assert ports == PORTS[: len(ports)]
    assert len(ports) > 1000 * kept - 140  # a block of the format holds 128 KiB
    assert undecodable == {"cut_off": 1}
    assert damage


def test_a_frame_that_does_not_end_is_a_cut(tmp_path: Path) -> None:
    """All packets are there, but the stream is not whole: its checksum was not seen."""
    packer = zstd.ZstdCompressor()
    (tmp_path / "x").write_bytes(packer.compress(CLASSIC, mode=packer.FLUSH_BLOCK))
    assert read(tmp_path / "x")[:2] == (PORTS, {"cut_off": 1})


@pytest.mark.parametrize("place", [0.3, 0.7])
def test_a_damaged_stream_ends_there(tmp_path: Path, place: float) -> None:
    """Wrong bytes in the middle: what came before is read, nothing raises."""
    data = bytearray(zstd.compress(CLASSIC, options={zstd.CompressionParameter.checksum_flag: 1}))
    start = int(len(data) * place)
    data[start : start + 300_000] = b"\xff" * len(data[start : start + 300_000])
    (tmp_path / "x").write_bytes(bytes(data))
    ports, undecodable, _ = read(tmp_path / "x")
    assert ports == PORTS[: len(ports)]
    assert len(ports) < 1000
    assert sum(undecodable.values()) >= 1


def test_rubbish_behind_the_last_frame_is_damage(tmp_path: Path) -> None:
    """It is not silently left out."""
    (tmp_path / "x").write_bytes(zstd.compress(CLASSIC) + b"rubbish" * 10)
    assert read(tmp_path / "x")[:2] == (PORTS, {"cut_off": 1})


def test_what_is_no_capture_inside_is_refused(tmp_path: Path) -> None:
    """By the name of the file."""
    for data in (zstd.compress(b"hello, this is text"), b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff"):
        (tmp_path / "text.zst").write_bytes(data)
        with pytest.raises(UnreadableCapture, match=r"text\.zst"):
            next(read_capture(tmp_path / "text.zst"))


def test_a_bomb_is_unpacked_in_bounded_memory(tmp_path: Path) -> None:
    """A small file of 1 GB of zeros behind a capture's header: read in pieces, and ended where a record contradicts itself."""
    packer = zstd.ZstdCompressor()
    data = packer.compress(CLASSIC[:24] + b"\xff" * 16)
    data += b"".join(packer.compress(bytes(1 << 24)) for _ in range(64)) + packer.flush()
    assert len(data) < 200_000
    (tmp_path / "x").write_bytes(data)
    program = (
        "import resource, sys; from netmote.capture.pcap_file import read_capture; before = resource.getrusage(0).ru_maxrss;"
        "print([block.undecodable for block in read_capture(sys.argv[1])]);"
        "assert resource.getrusage(0).ru_maxrss - before < 150_000"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "x")], capture_output=True, check=True, timeout=60)
    assert done.stdout == b"[{'bad_record': 1}]\n"


def test_a_window_beyond_the_bound_is_refused(tmp_path: Path) -> None:
    """128 MiB is what zstd takes; more must be asked for, and we never do."""
    options = {zstd.CompressionParameter.window_log: 28, zstd.CompressionParameter.content_size_flag: 0}
    packer = zstd.ZstdCompressor(options=options)
    (tmp_path / "x").write_bytes(packer.compress(CLASSIC, mode=packer.FLUSH_BLOCK) + packer.flush())
    with pytest.raises(UnreadableCapture, match="damaged zstd stream"):
        next(read_capture(tmp_path / "x"))


def test_without_the_library_the_extra_is_named(tmp_path: Path) -> None:
    """A plain capture needs none; a compressed one says what to install."""
    (tmp_path / "x.zst").write_bytes(zstd.compress(CLASSIC))
    (tmp_path / "x").write_bytes(CLASSIC)
    program = (
        "import sys; sys.modules['backports'] = None; sys.modules['compression'] = None;"
        "from netmote.capture.pcap_file import UnreadableCapture, read_capture;"
        "assert sum(map(len, read_capture(sys.argv[1] + '/x'))) == 1000\n"
        "try:\n    next(read_capture(sys.argv[1] + '/x.zst'))\nexcept UnreadableCapture as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, check=True, timeout=60, text=True)
    assert 'x.zst: it is compressed with zstd, which needs the extra: pip install "netmote[zstd]"' in done.stdout

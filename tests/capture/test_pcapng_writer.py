"""The tee: what it writes reads back to the same columns, other tools read it, and its limit is kept and counted."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from frames_in_memory import decode_frames, frames_of
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from netmote.capture.frames import LINKTYPE_ETHERNET
from netmote.capture.headers import decode
from netmote.capture.pcap_file import read_capture
from netmote.capture.pcapng_writer import PcapngWriter

FRAMES = [
    bytes(
        Ether(src="02::1", dst="02::2") / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=9, dport=port) / Raw(b"z" * (port % 50))
    )
    for port in range(1, 400)
]
COLUMNS = ("timestamp_ns", "wire_length", "ip_total_length", "source_word", "destination_word", "flow_class")


def writer(path: Path, limit: int = 1 << 20) -> PcapngWriter:
    return PcapngWriter(path, interface="test0", link_type=LINKTYPE_ETHERNET, limit_bytes=limit)


def test_frames_read_back_as_they_were(tmp_path: Path) -> None:
    """Snapped to any length, in order, with nanoseconds, lengths on the wire and the interface's name."""
    kept = [min(len(frame), 42 + number % 30) for number, frame in enumerate(FRAMES)]
    frames = frames_of(FRAMES, captured=kept)
    tee = writer(tmp_path / "tee")
    tee.write(frames)
    tee.write_dropped(int(frames.timestamp_ns[-1]), 3)
    tee.close()
    tee.close()
    back = list(read_capture(tmp_path / "tee"))
    direct = decode(frames, "test0")
    for name in COLUMNS:
        assert np.array_equal(getattr(back[0], name), getattr(direct, name)), name
    assert back[0].interface == "test0"
    assert [block.dropped for block in back] == [0, 3]
    assert tee.left_out == 0


def test_a_tag_the_kernel_took_out_is_put_back(tmp_path: Path) -> None:
    """Replay sees the tag inline and the live decode beside the frame; both say the same."""
    from dataclasses import replace

    inline = [bytes(Ether(frame[:12] + b"\x81\x00\x20\x64" + frame[12:])) for frame in FRAMES[:50]]
    assert Dot1Q in Ether(inline[0])
    frames = frames_of(FRAMES[:50])
    half = np.arange(50) % 2 == 0
    frames = replace(
        frames,
        wire_length=frames.wire_length + np.uint32(4) * half,
        is_tagged=half,
        tag_control=np.full(50, 0x2064, "u2"),
        tag_protocol=np.full(50, 0x8100, "u2"),
    )
    tee = writer(tmp_path / "tee")
    tee.write(frames)
    tee.close()
    (back,) = read_capture(tmp_path / "tee")
    live = decode(frames, "test0")
    for name in COLUMNS:
        assert np.array_equal(getattr(back, name), getattr(live, name)), name
    assert np.array_equal(back.vlan_id, np.where(half, 0x64, 0))
    whole = decode_frames(inline)
    assert np.array_equal(whole.flow_class[half], back.flow_class[half])


def test_the_limit_is_kept_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    """A full file stays readable."""
    tee = writer(tmp_path / "tee", limit=5000)
    tee.write(frames_of(FRAMES))
    tee.write(frames_of(FRAMES))
    tee.close()
    assert (tmp_path / "tee").stat().st_size <= 5000
    (back,) = read_capture(tmp_path / "tee")
    assert len(back) + tee.left_out == 2 * len(FRAMES)


def test_a_full_disk_is_told_not_raised() -> None:
    """The capture goes on; nothing more is written, and it is counted."""
    tee = PcapngWriter(Path("/dev/full"), interface="x", link_type=LINKTYPE_ETHERNET, limit_bytes=1 << 30)
    for _ in range(10):
        tee.write(frames_of(FRAMES * 5))
    tee.close()
    assert "No space left" in tee.failure
    assert tee.left_out > 0


@pytest.mark.skipif(shutil.which("capinfos") is None, reason="capinfos is not installed")
def test_other_tools_read_it(tmp_path: Path) -> None:
    """The count of capinfos is the same."""
    tee = writer(tmp_path / "tee.pcapng")
    tee.write(frames_of(FRAMES))
    tee.close()
    done = subprocess.run(
        ["capinfos", "-c", "-M", "-T", "-r", "tee.pcapng"], cwd=tmp_path, capture_output=True, check=True, text=True
    )
    assert done.stdout.split()[1] == str(len(FRAMES))


def test_a_further_interface_is_added(tmp_path: Path) -> None:
    """A second writer adds its interface behind the first one's packets; our reader and others see both, and the comment."""
    for number, name in enumerate(("eth0", "eth1")):
        tee = PcapngWriter(
            tmp_path / "both",
            interface=name,
            link_type=LINKTYPE_ETHERNET,
            limit_bytes=1 << 20,
            interface_number=number,
            comment=f"part {number}",
        )
        tee.write(frames_of(FRAMES[: 10 + number]))
        tee.close()
    found = Counter()
    for block in read_capture(tmp_path / "both"):
        found[block.interface] += len(block)
    assert found == {"eth0": 10, "eth1": 11}
    assert b"part 1" in (tmp_path / "both").read_bytes()
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    told = subprocess.run(
        ["tshark", "-r", str(tmp_path / "both"), "-T", "fields", "-e", "frame.interface_name"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.stdout.split() == ["eth0"] * 10 + ["eth1"] * 11

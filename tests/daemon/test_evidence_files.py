"""Evidence on disk: whole or not there, bounded each and together, and nothing of it survives its age."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from frames_in_memory import frames_of

from netmote.capture.frames import LINKTYPE_ETHERNET
from netmote.capture.pcap_file import read_capture
from netmote.capture.recent_headers import KeptHeaders
from netmote.daemon.evidence_files import EvidenceBounds, EvidenceFiles, EvidenceFull, EvidencePart, evidence_dir, evidence_path

ID = "0b61b1a2-0000-5000-8000-000000000001"
BOUNDS = EvidenceBounds(file_bytes=20_000, disk_bytes=30_000, age_ns=10**12)


def part(count: int, *, interface: str = "eth0", preferred: tuple[int, ...] = ()) -> EvidencePart:
    frames = frames_of([bytes([number % 256]) * 60 for number in range(count)])
    return EvidencePart(
        interface, LINKTYPE_ETHERNET, KeptHeaders(frames, np.ones(count, "f4")), np.isin(np.arange(count), preferred)
    )


def times_of(path: Path) -> dict[str, list[int]]:
    """Seconds since the first frame of `frames_of`, by interface."""
    found: dict[str, list[int]] = {}
    for block in read_capture(path):
        times = np.concatenate((block.timestamp_ns, block.undecodable_timestamp_ns))
        found.setdefault(block.interface, []).extend(((times - 1_700_000_000_000_000_000) // 10**9).tolist())
    return found


def test_a_file_is_written_whole_and_speaks_up_to_a_time(tmp_path: Path) -> None:
    """Every packet of every interface, nothing beside the file, its time the end of what it covers; later packets are appended."""
    files = EvidenceFiles(tmp_path)
    assert files.covered_until_ns(ID) == 0
    assert files.add(ID, [part(30), part(20, interface="eth1")], until_ns=10**18, comment="why", bounds=BOUNDS) == 0
    assert {name: len(times) for name, times in times_of(evidence_path(tmp_path, ID)).items()} == {"eth0": 30, "eth1": 20}
    assert files.covered_until_ns(ID) == 10**18
    assert files.add(ID, [part(5)], until_ns=10**18 + 7, comment="more", bounds=BOUNDS) == 0
    assert files.covered_until_ns(ID) == 10**18 + 7
    assert len(times_of(evidence_path(tmp_path, ID))["eth0"]) == 35
    assert [path.name for path in evidence_dir(tmp_path).iterdir()] == [f"{ID}.pcapng"]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """Under the daemon's umask neither the directory nor the file is open to others."""
    before = os.umask(0o027)
    try:
        EvidenceFiles(tmp_path).add(ID, [part(3)], until_ns=1, comment="", bounds=BOUNDS)
    finally:
        os.umask(before)
    assert evidence_dir(tmp_path).stat().st_mode & 0o777 == 0o750
    assert evidence_path(tmp_path, ID).stat().st_mode & 0o777 == 0o640


def test_a_full_file_keeps_what_matters_most_then_the_newest(tmp_path: Path) -> None:
    """The bound holds; packets of the flows named in the alert go before others, newer before older; the rest is counted."""
    files = EvidenceFiles(tmp_path)
    left_out = files.add(ID, [part(1000, preferred=(0, 1, 2))], until_ns=1, comment="", bounds=BOUNDS)
    path = evidence_path(tmp_path, ID)
    assert path.stat().st_size <= BOUNDS.file_bytes
    kept = sorted(times_of(path)["eth0"])
    assert kept[:3] == [0, 1, 2]
    assert kept[3:] == list(range(1000 - len(kept) + 3, 1000))
    assert left_out == 1000 - len(kept)
    assert len(kept) > 180
    assert files.add(ID, [part(9)], until_ns=2, comment="", bounds=BOUNDS) == 9
    assert path.stat().st_size <= BOUNDS.file_bytes


def test_a_small_interface_does_not_lose_its_place_to_a_busy_one(tmp_path: Path) -> None:
    """Room is shared; what one does not need the other has."""
    EvidenceFiles(tmp_path).add(ID, [part(1000), part(40, interface="eth1")], until_ns=1, comment="", bounds=BOUNDS)
    found = times_of(evidence_path(tmp_path, ID))
    assert len(found["eth1"]) == 40
    assert len(found["eth0"]) > 130


def test_the_oldest_go_first_then_the_aged(tmp_path: Path) -> None:
    """Beyond the bound of all files the oldest are removed; beyond the age each is; what a crash left half written too."""
    files = EvidenceFiles(tmp_path)
    assert files.expire(0, BOUNDS) == 0
    for number in range(4):
        files.add(f"alert-{number}", [part(90)], until_ns=10**12 + number * 10**9, comment="", bounds=BOUNDS)
    (evidence_dir(tmp_path) / "alert-9.part").write_bytes(b"half")
    (evidence_dir(tmp_path) / "notes.txt").write_text("not ours")
    assert files.expire(10**12 + 4 * 10**9, BOUNDS) == 1
    left = sorted(path.name for path in evidence_dir(tmp_path).iterdir())
    assert left == ["alert-1.pcapng", "alert-2.pcapng", "alert-3.pcapng", "notes.txt"]
    assert sum(path.stat().st_size for path in evidence_dir(tmp_path).glob("*.pcapng")) <= BOUNDS.disk_bytes
    assert files.expire(2 * 10**12 + 2 * 10**9 + 1, BOUNDS) == 2
    assert [path.name for path in evidence_dir(tmp_path).glob("*.pcapng")] == ["alert-3.pcapng"]


def test_the_floor_of_free_space_is_left(tmp_path: Path) -> None:
    """Where less than the floor would stay free, nothing is written: that room is for alerts."""
    files = EvidenceFiles(tmp_path, free_bytes=lambda _: 1_000_000)
    with pytest.raises(EvidenceFull, match="would stay free"):
        files.add(
            ID,
            [part(3)],
            until_ns=1,
            comment="",
            bounds=EvidenceBounds(file_bytes=20_000, disk_bytes=30_000, age_ns=1, free_space_floor=999_500),
        )
    assert not evidence_path(tmp_path, ID).exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 64 kB of its own."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {outcome.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.root
def test_a_really_full_disk_costs_the_new_part_alone(small_disk: Path) -> None:
    """The write raises, no half file stays, and what was there before is untouched."""
    files = EvidenceFiles(small_disk, free_bytes=lambda _: 10**9)
    bounds = EvidenceBounds(file_bytes=10**6, disk_bytes=10**6, age_ns=1)
    files.add(ID, [part(20)], until_ns=1, comment="", bounds=bounds)
    before = evidence_path(small_disk, ID).read_bytes()
    with pytest.raises(OSError, match="No space left"):
        files.add(ID, [part(2000)], until_ns=2, comment="", bounds=bounds)
    assert evidence_path(small_disk, ID).read_bytes() == before
    assert len(list(evidence_dir(small_disk).iterdir())) == 1

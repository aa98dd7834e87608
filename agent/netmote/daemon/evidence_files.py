"""Packet evidence on disk: one pcapng file an alert, `<state_dir>/evidence/<alert id>.pcapng`, bounded each and together.

A file is whole or not there: it is written beside its place and moved. Its time is the end of the event time it covers, so that an
update of the alert adds only later packets, behind the others. Synchronous: it runs in a worker thread.
"""

import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netmote.capture.pcapng_reader import INTERFACE_DESCRIPTION
from netmote.capture.pcapng_writer import PcapngWriter, block_sizes
from netmote.capture.recent_headers import KeptHeaders

_SUFFIX, _PART = ".pcapng", ".part"
_INTERFACE_BYTES = 600  # of what describes an interface, with the comment and the file's header, at most
_LEAST_ROOM = 4_096  # a file that has less room left is full


class EvidenceFull(OSError):
    """Too little space is free on the disk: the floor belongs to alerts."""


def evidence_dir(state_dir: Path) -> Path:
    """Where evidence lies."""
    return state_dir / "evidence"


def evidence_path(state_dir: Path, alert_id: str) -> Path:
    """The file of one alert; it need not exist."""
    return evidence_dir(state_dir) / f"{alert_id}{_SUFFIX}"


@dataclass(frozen=True, slots=True)
class EvidenceBounds:
    """What evidence may take."""

    file_bytes: int
    disk_bytes: int
    age_ns: int
    free_space_floor: int = 0  # bytes that must stay free


@dataclass(frozen=True, slots=True)
class EvidencePart:
    """What one interface has to say: headers in the order of time, and which of them matter most."""

    interface: str
    link_type: int
    kept: KeptHeaders
    is_preferred: NDArray[np.bool_]  # (n,)


class EvidenceFiles:
    """One state directory's evidence. One thread at a time."""

    def __init__(self, state_dir: Path, *, free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free) -> None:
        self._state_dir = state_dir
        self._directory = evidence_dir(state_dir)
        self._free_bytes = free_bytes

    def covered_until_ns(self, alert_id: str) -> int:
        """The event time up to which the alert's file speaks; 0 when there is none."""
        try:
            return evidence_path(self._state_dir, alert_id).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def add(self, alert_id: str, parts: list[EvidencePart], *, until_ns: int, comment: str, bounds: EvidenceBounds) -> int:
        """Write the parts behind what the alert has already. Returns the packets that found no room.

        Raises OSError: nothing changed then.
        """
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        target = evidence_path(self._state_dir, alert_id)
        before = target.stat().st_size if target.exists() else 0
        room = bounds.file_bytes - before
        if room < _LEAST_ROOM:
            return sum(len(part.kept) for part in parts)
        needed = before + min(room, sum(_need(part) for part in parts))
        if self._free_bytes(self._directory) - needed < bounds.free_space_floor:
            raise EvidenceFull(f"less than {bounds.free_space_floor:,} bytes would stay free on the disk")
        partial = target.with_suffix(_PART)
        try:
            if before:
                shutil.copyfile(target, partial)
            described = _interfaces_described(partial) if before else 0
            left_out = _write_parts(partial, parts, room, described=described, comment=comment)
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            os.utime(partial, ns=(until_ns, until_ns))
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return left_out

    def expire(self, now_ns: int, bounds: EvidenceBounds) -> int:
        """Remove what is too old, then the oldest until the rest fits; also what a crash left half written. Returns how many."""
        removed = 0
        found: list[tuple[int, int, Path]] = []
        if not self._directory.is_dir():
            return 0
        for path in self._directory.iterdir():
            if path.suffix == _PART:
                path.unlink(missing_ok=True)
            elif path.suffix == _SUFFIX:
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        found.sort()
        total = sum(size for _, size, _ in found)
        for time_ns, size, path in found:
            if total <= bounds.disk_bytes and now_ns - time_ns <= bounds.age_ns:
                continue
            path.unlink(missing_ok=True)
            total -= size
            removed += 1
        return removed


def _write_parts(path: Path, parts: list[EvidencePart], room: int, *, described: int, comment: str) -> int:
    left_out = 0
    for part, share in zip(parts, _shares(parts, room), strict=True):
        chosen = _fitting(part, share - _INTERFACE_BYTES)
        left_out += len(part.kept) - len(chosen)
        if not len(chosen):
            continue
        writer = PcapngWriter(
            path,
            interface=part.interface,
            link_type=part.link_type,
            limit_bytes=share,
            interface_number=described,
            comment=comment,
        )
        described += 1
        writer.write(part.kept.at(chosen).frames)
        writer.close()
        left_out += writer.left_out
        if writer.failure:
            raise OSError(writer.failure)
    return left_out


def _shares(parts: list[EvidencePart], room: int) -> list[int]:
    """Room for each part: equal, and what a small part does not need goes to the others."""
    need = [_need(part) for part in parts]
    shares = [0] * len(parts)
    waiting = sorted(range(len(parts)), key=need.__getitem__)
    while waiting:
        number = waiting.pop(0)
        shares[number] = min(need[number], room // (len(waiting) + 1))
        room -= shares[number]
    return shares


def _need(part: EvidencePart) -> int:
    return _INTERFACE_BYTES + int(block_sizes(part.kept.frames).sum())


def _interfaces_described(path: Path) -> int:
    """Interface Description Blocks (section 4.2) of a file of ours."""
    data = path.read_bytes()
    found = offset = 0
    while offset + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, offset)
        if length < 12:
            break
        found += kind == INTERFACE_DESCRIPTION
        offset += length
    return found


def _fitting(part: EvidencePart, room: int) -> NDArray[np.intp]:
    """Positions, ascending, of the packets that fit: those that matter most first, then the newest."""
    order = np.lexsort((-part.kept.frames.timestamp_ns, ~part.is_preferred))
    fit = int(np.searchsorted(np.cumsum(block_sizes(part.kept.frames)[order]), room, side="right"))
    chosen: NDArray[np.intp] = np.sort(order[:fit])
    return chosen

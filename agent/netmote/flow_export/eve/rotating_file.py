"""A file of lines with a bounded size and a bounded number of predecessors. Blocking; whole blocks of lines or nothing.

A block is with the kernel when `write` returns, so it outlives this process; the disk has it when the kernel writes it back, or at
the latest when the file is closed or its turn is over (fdatasync). A power cut can cost the last seconds of flows, never a half line
before them: what a cut left of a line is removed when the file is opened.
"""

import os
from pathlib import Path

_MODE = 0o640
_TAIL_BYTES = 65_536


class RotatingFile:
    """`path`, and `path.1` (newest) to `path.<max_files - 1>` (oldest). Raises OSError; nothing of the block is then in the file."""

    def __init__(self, path: Path, *, max_size: int, max_files: int) -> None:
        """`max_size` in bytes: a block that would go beyond it begins the next file."""
        self.path = path
        self.rotations = 0
        self._max_size, self._max_files = max_size, max_files
        self._descriptor: int | None = None
        self._size = 0

    def open(self) -> None:
        """Open for appending; make the directory when it is not there."""
        if self._descriptor is not None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        try:
            size = os.fstat(descriptor).st_size
            whole = _whole_lines(descriptor, size)
            if whole != size:
                os.ftruncate(descriptor, whole)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor, self._size = descriptor, whole

    def write(self, block: bytes) -> None:
        """Append a block of whole lines."""
        if self._was_moved():
            self.close()  # by somebody who rotates it himself
        self.open()
        if self._size and self._size + len(block) > self._max_size:
            self._rotate()
        assert self._descriptor is not None
        written = 0
        try:
            while written < len(block):
                written += os.write(self._descriptor, block[written:])
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(block)

    def close(self) -> None:
        """Bring what was written to the disk and close."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def _rotate(self) -> None:
        self.close()
        self._place(self._max_files - 1).unlink(missing_ok=True)
        for number in range(self._max_files - 2, -1, -1):
            if self._place(number).exists():
                self._place(number).rename(self._place(number + 1))
        self.rotations += 1
        self.open()

    def _place(self, number: int) -> Path:
        return self.path if number == 0 else self.path.with_name(f"{self.path.name}.{number}")

    def _was_moved(self) -> bool:
        if self._descriptor is None:
            return False
        ours = os.fstat(self._descriptor)
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return True
        return (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)


def _whole_lines(descriptor: int, size: int) -> int:
    """Bytes up to and with the last newline. A line longer than the tail looked at is none of ours and stays."""
    start = max(0, size - _TAIL_BYTES)
    tail = os.pread(descriptor, size - start, start)
    place = tail.rfind(b"\n")
    if place < 0:
        return size if start else 0
    return start + place + 1

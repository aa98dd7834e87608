"""A file of lines with a bounded size and a bounded number of predecessors, on the disk when told so. Blocking.

    write(block): all of its lines are there, or none    path  <- path.1 <- path.2 ... at most `max_files`

A line that a kill or a power cut left in half is removed when the file is opened: its batch was never reported as written.
Somebody else may rotate it (logrotate without copytruncate): the next block then begins a new file. Two writers are refused
by a lock, since each would cut the other's lines.
"""

import errno
import fcntl
import os
import stat
from pathlib import Path

from netmote.durable_file import sync_directory

_MODE = 0o640
_TAIL_BYTES = 1 << 17


class LineFile:
    """`path`, and `path.1` (newest) to `path.<max_files - 1>` (oldest). Raises OSError; nothing of the block is then in the file."""

    def __init__(self, path: Path, *, max_size: int, max_files: int, is_synced: bool) -> None:
        """`max_size` in bytes: a block that would go beyond it begins the next file."""
        self.path = path
        self._max_size, self._max_files, self._is_synced = max_size, max_files, is_synced
        self._descriptor: int | None = None
        self._size = 0

    def open(self) -> None:
        """Open for appending; make the directory when it is not there."""
        if self._descriptor is not None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # O_NONBLOCK: a pipe at this place is refused below instead of being waited for.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags, _MODE)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(self.path))
            _lock(descriptor, self.path)
            whole = _whole_lines(descriptor, status.st_size)
            if whole != status.st_size:
                os.ftruncate(descriptor, whole)
            if status.st_size == 0:
                sync_directory(self.path.parent)  # else a power cut could take the name with all that was acknowledged
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor, self._size = descriptor, whole

    def write(self, block: bytes) -> None:
        """Append a block of whole lines."""
        if self._was_moved():
            self.close()
        self.open()
        if self._size and self._size + len(block) > self._max_size:
            self._rotate()
        assert self._descriptor is not None
        try:
            written = 0
            while written < len(block):
                written += os.write(self._descriptor, block[written:])
            if self._is_synced:
                os.fdatasync(self._descriptor)
        except OSError:
            # After a failed fdatasync the kernel may have dropped what it could not write: all of the block counts as not written.
            try:
                os.ftruncate(self._descriptor, self._size)
            finally:
                self._drop()
            raise
        self._size += len(block)

    def close(self) -> None:
        """Bring what was written to the disk and close."""
        if self._descriptor is not None:
            try:
                os.fdatasync(self._descriptor)
            finally:
                self._drop()

    def _drop(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _rotate(self) -> None:
        self.close()
        self._place(self._max_files - 1).unlink(missing_ok=True)
        for number in range(self._max_files - 2, -1, -1):
            if self._place(number).exists():
                self._place(number).rename(self._place(number + 1))
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


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(errno.EBUSY, "another process writes it", str(path)) from error


def _whole_lines(descriptor: int, size: int) -> int:
    """Bytes up to and with the last newline. A line longer than the tail looked at is none of ours and stays."""
    start = max(0, size - _TAIL_BYTES)
    tail = os.pread(descriptor, size - start, start)
    place = tail.rfind(b"\n")
    if place < 0:
        return size if start else 0
    return start + place + 1

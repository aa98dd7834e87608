"""The lock of the state directory: one daemon, or one state-changing command, at a time.

The kernel drops the lock (flock) when the holder dies, so there is no stale lock to clean up; the pid inside the file
is only for the message. The file stays: removing it would let two holders lock two different inodes.
"""

import fcntl
import os
from pathlib import Path

from netmote.store.faults import StoreInUse

LOCK_NAME = "netmote.lock"


class StateLock:
    """Held from `acquire` to `release`. Releasing is safe without holding, and safe twice."""

    def __init__(self, state_dir: Path, name: str = LOCK_NAME) -> None:
        self._path = state_dir / name
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises StoreInUse naming the holder's pid."""
        if self._descriptor is not None:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreInUse(f"{self._path.parent} is in use by process {holder}") from error
        self._descriptor = descriptor
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            # A full disk must not keep the daemon from starting; only the pid in the message is missing then.
            os.ftruncate(descriptor, 0)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

"""Disk kept back for alerts: a file that is given up when the disk is full, so that the ledger can still commit.

On a full disk SQLite cannot even delete or checkpoint, for both write the log first (measured); room must come from
outside. The reserve is larger than the ledger's log.
"""

import os
from pathlib import Path

RESERVE_NAME = "ledger.reserve"
_MOST = 16 * 2**20
_LEAST = 2**20


class Reserve:
    """The file. `ensure` and `release` may be called in any state."""

    def __init__(self, state_dir: Path, ledger_size: int) -> None:
        self._path = state_dir / RESERVE_NAME
        self.size = min(_MOST, max(_LEAST, ledger_size // 16))

    @property
    def is_held(self) -> bool:
        return self._path.exists()

    def ensure(self, free_bytes: int) -> None:
        """Lay the reserve by, when there is room for it and as much again."""
        if self.is_held or free_bytes < 2 * self.size:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(descriptor, 0, self.size)
        except OSError:
            # The room went while we asked (or the filesystem cannot allocate ahead): no reserve is a state, not a failure.
            self._path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    def release(self) -> bool:
        """Give the room back to the disk. False when there was none to give."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True

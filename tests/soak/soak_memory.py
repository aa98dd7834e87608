"""A limit on the memory of one process, by a control group of its own (cgroup v1 or v2): a small box on a large machine."""

import contextlib
import os
import time
from pathlib import Path
from typing import Self

_TOP = Path("/sys/fs/cgroup")


class MemoryGroup:
    """`enter` is the beginning of a command that runs in it. A limit of 0 makes no group."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._is_v2 = (_TOP / "cgroup.controllers").exists()
        self._place = (_TOP if self._is_v2 else _TOP / "memory") / f"nmsoak{os.getpid()}"
        self.enter: list[str] = []

    @property
    def most(self) -> int:
        """The largest use so far, in bytes; 0 without a group."""
        if not self.enter:
            return 0
        return int((self._place / ("memory.peak" if self._is_v2 else "memory.max_usage_in_bytes")).read_text())

    def __enter__(self) -> Self:
        if self._limit:
            self._place.mkdir()
            (self._place / ("memory.max" if self._is_v2 else "memory.limit_in_bytes")).write_text(str(self._limit))
            self.enter = ["sh", "-c", f'echo $$ > {self._place}/cgroup.procs; exec "$@"', "sh"]
        return self

    def __exit__(self, *_: object) -> None:
        for _ in range(50):
            if not self._place.exists():
                return
            with contextlib.suppress(OSError):  # a process in it is not quite gone
                self._place.rmdir()
            time.sleep(0.1)

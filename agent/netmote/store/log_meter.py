"""How much a database writes to the disk: counted, not estimated, for a memory card wears by what is written, not by what is kept.

Each committed page is a frame of the write-ahead log (https://www.sqlite.org/fileformat2.html section 4); a checkpoint then writes
each distinct page of the log once more, into the file. Both are read off the log's frame headers. SQLite takes no lock on the log
itself, so opening it here drops none (https://www.sqlite.org/howtocorrupt.html section 2.2 forbids that for the other two files).
"""

import os
import struct
from pathlib import Path

_LOG_HEADER, _FRAME_HEADER = 32, 24
_SALTS = slice(16, 24)  # of the log's header; frames of its present round carry the same
_SALTS_OF_FRAME = slice(8, 16)


class LogMeter:
    """Counts for one database. Call `note` after each commit, before the log can begin another round."""

    def __init__(self, log: Path, page_size: int) -> None:
        self._log, self._page_size = log, page_size
        self._descriptor: int | None = None
        self._salts = b""
        self._frames = 0
        self._pages: set[int] = set()  # of this round
        self.bytes = 0

    def begin(self) -> None:
        """Leave out what the log holds already."""
        self.note()
        self.bytes = 0

    def note(self) -> int:
        """Count the frames that came since, and return the bytes they cost, in log and file."""
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:  # nothing was ever written
                return 0
        salts = os.pread(self._descriptor, _LOG_HEADER, 0)[_SALTS]
        if salts != self._salts:  # another round: the log is written from its beginning again
            self._salts, self._frames = salts, 0
            self._pages.clear()
        frames, pages = self._frames, len(self._pages)
        frame_size = _FRAME_HEADER + self._page_size
        while True:
            header = os.pread(self._descriptor, _FRAME_HEADER, _LOG_HEADER + self._frames * frame_size)
            if len(header) < _FRAME_HEADER or header[_SALTS_OF_FRAME] != self._salts:
                break
            self._pages.add(struct.unpack_from(">I", header)[0])
            self._frames += 1
        cost = (self._frames - frames) * frame_size + (len(self._pages) - pages) * self._page_size
        self.bytes += cost
        return cost

    def reopen(self) -> None:
        """Another log lies under the same name now; the count goes on."""
        self.close()
        self._salts = b""

    def close(self) -> None:
        """Safe twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

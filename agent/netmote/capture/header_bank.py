"""Packet headers in rows of one width, allocated once, the oldest overwritten: a bank of the recent headers.

A bank reaches back `REACH_SECONDS` however fast packets come, for an alert is raised some seconds after its packets passed: half
of it may be filled at once, the other half at an even rate, and where more packets come an even random share of them is kept.
`left_out` counts the others, and each kept row says for how many it stands.

One thread writes and never waits. Another may read at any time: it copies, and then leaves out the rows that were being
overwritten meanwhile.
"""

from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import Frames, rows_at
from netmote.clock import NANOSECONDS_PER_SECOND

REACH_SECONDS = 70.0  # a window of 60 s, and the seconds until its alert is committed
_READ_ROWS = 8_192  # a reader copies so many at once: no call of it keeps the interpreter from the writer for long
COLUMNS = {
    "timestamp_ns": "i8",
    "wire_length": "u4",
    "captured": "u2",
    "is_tagged": "?",
    "tag_control": "u2",
    "tag_protocol": "u2",
    "segment_size": "u2",
    "segment_protocol": "u1",
    "stands_for": "f4",
}
Columns = dict[str, NDArray[Any]]  # these, and `data`: (n, width) bytes


class HeaderBank:
    """Rows of one width, the oldest overwritten. Position `p` since the beginning lies in row `p % capacity`."""

    def __init__(self, width: int, size_bytes: int, random: Random) -> None:
        row_bytes = width + sum(np.dtype(kind).itemsize for kind in COLUMNS.values())
        self.capacity = size_bytes // row_bytes
        self.left_out = 0
        self._width = width
        self._data = np.zeros((self.capacity, width), "u1")
        self._column = {name: np.zeros(self.capacity, kind) for name, kind in COLUMNS.items()}
        self._random = random
        self._begun = self._written = 0  # positions: rows from `written` to `begun` are being overwritten
        self._burst = self.capacity // 2
        self._per_ns = (self.capacity - self._burst) / (REACH_SECONDS * NANOSECONDS_PER_SECOND)
        self._allowed = float(self._burst)
        self._latest_ns: int | None = None

    @property
    def nbytes(self) -> int:
        return self._data.nbytes + sum(column.nbytes for column in self._column.values())

    def append(self, frames: Frames, rows: NDArray[np.intp] | None) -> None:
        """Keep these rows of the frames (None: all), or an even share of them."""
        count = len(frames) if rows is None else len(rows)
        if not count:
            return
        kept = self._allow(count, int(frames.timestamp_ns[-1]))
        if kept < count:
            # One of each of `kept` even strata, so that no rhythm of the traffic decides which.
            # One draw a block: an even stride from a random start cannot be foreseen, and numpy's generators cost 7 MB.
            chosen = np.unique(((np.arange(kept) + self._random.random()) * (count / kept)).astype("i8")) if kept else None
            self.left_out += count - (0 if chosen is None else len(chosen))
            if chosen is None:
                return
            rows = chosen if rows is None else rows[chosen]
        elif rows is None:
            rows = np.arange(count)
        self._put(frames, rows, count / len(rows))

    def _allow(self, count: int, now_ns: int) -> int:
        """How many of `count` packets may be kept: never more than a bank in `REACH_SECONDS`."""
        if self._latest_ns is not None and now_ns > self._latest_ns:
            self._allowed = min(float(self._burst), self._allowed + (now_ns - self._latest_ns) * self._per_ns)
        self._latest_ns = now_ns  # a clock set back begins a new reckoning
        kept = min(count, int(self._allowed))
        self._allowed -= kept
        return kept

    def _put(self, frames: Frames, rows: NDArray[np.integer], stands_for: float) -> None:
        self._begun = self._written + len(rows)
        done = 0
        while done < len(rows):
            slot = (self._written + done) % self.capacity
            part = rows[done : done + self.capacity - slot]
            place = slice(slot, slot + len(part))
            column = self._column
            self._data[place] = rows_at(frames.buffer, frames.offset[part], self._width)
            column["timestamp_ns"][place] = frames.timestamp_ns[part]
            column["wire_length"][place] = frames.wire_length[part]
            column["captured"][place] = np.minimum(frames.captured[part], self._width)
            column["stands_for"][place] = stands_for
            if frames.is_tagged is None or frames.tag_control is None or frames.tag_protocol is None:
                column["is_tagged"][place] = False
            else:
                column["is_tagged"][place] = frames.is_tagged[part]
                column["tag_control"][place] = frames.tag_control[part]
                column["tag_protocol"][place] = frames.tag_protocol[part]
            if frames.segment_size is None or frames.segment_protocol is None:
                column["segment_size"][place] = 0
                column["segment_protocol"][place] = 0
            else:
                column["segment_size"][place] = frames.segment_size[part]
                column["segment_protocol"][place] = frames.segment_protocol[part]
            done += len(part)
        self._written = self._begun

    def between(self, start_ns: int, end_ns: int) -> Iterator[Columns]:
        """Copies of the columns of the rows in this span, oldest first, some thousand at a time."""
        last = self._written
        for first in range(max(0, last - self.capacity), last, _READ_ROWS):
            position = np.arange(first, min(first + _READ_ROWS, last))
            time = self._column["timestamp_ns"][position % self.capacity]
            position = position[(time >= start_ns) & (time < end_ns)]
            slot = position % self.capacity
            found = {name: column[slot] for name, column in self._column.items()}
            found["data"] = self._data[slot]
            is_whole = position >= self._begun - self.capacity
            yield found if is_whole.all() else {name: column[is_whole] for name, column in found.items()}

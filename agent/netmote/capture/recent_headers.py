"""The newest packets of one interface, headers only, in memory allocated once: what evidence of an alert is taken from.

    ring ─► frames ─► write ─► two banks of fixed rows ◄─ between (another thread)

Plain packets and those with long headers have a bank each (`snap_filter` keeps one of two lengths). Each bank must reach back
`REACH_SECONDS` however fast packets come, for an alert is raised some seconds after its packets passed: so half of a bank may be
filled at once, the other half at an even rate, and where more packets come an even random share of them is kept. `left_out`
counts the others, and each kept row says for how many it stands.

One thread writes and never waits. Another may read at any time: it copies, and then leaves out the rows that were being
overwritten meanwhile.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import Frames, rows_at
from netmote.capture.pcapng_writer import PcapngWriter
from netmote.capture.snap_filter import LONG_BYTES, PLAIN_BYTES
from netmote.clock import NANOSECONDS_PER_SECOND

REACH_SECONDS = 60.0  # the longest window of the shipped rules whose packets must still be there when it closes
_LEAST_BYTES = 100_000
_READ_ROWS = 8_192  # a reader copies so many at once: no call of it keeps the interpreter from the writer for long
_LONG_SHARE = 4  # one byte in so many is for long headers: DNS, VLAN tags inside the frame, IP options


class RecentHeaders:
    """Takes frames as a tee does (`write`, `write_dropped`, `close`); `between` gives those of a span of time.

    `size_bytes` bounds the memory, at least 100,000. `random` chooses among packets that are too many.
    """

    def __init__(self, *, interface: str, link_type: int, size_bytes: int, random: np.random.Generator) -> None:
        if size_bytes < _LEAST_BYTES:
            raise ValueError(f"{size_bytes} bytes hold too few headers; at least {_LEAST_BYTES}")
        self.interface = interface
        self.link_type = link_type
        self.first_ns: int | None = None
        """When the first packet came; nothing is known of what was before."""
        long_bytes = size_bytes // _LONG_SHARE
        self._plain = _Bank(PLAIN_BYTES, size_bytes - long_bytes, random)
        self._long = _Bank(LONG_BYTES, long_bytes, random)

    @property
    def memory_bytes(self) -> int:
        """Of both banks; touched as packets come."""
        return self._plain.nbytes + self._long.nbytes

    @property
    def capacity(self) -> tuple[int, int]:
        """Packets with plain and with long headers that find room."""
        return self._plain.capacity, self._long.capacity

    @property
    def left_out(self) -> int:
        """Packets not kept since the beginning, because more came than reach back far enough."""
        return self._plain.left_out + self._long.left_out

    def write(self, frames: Frames) -> None:
        """Keep these frames, in their order: the newest `LONG_BYTES` or fewer of each. Never raises on what a frame holds."""
        if self.first_ns is None and len(frames):
            self.first_ns = int(frames.timestamp_ns[0])
        is_long = frames.captured > PLAIN_BYTES
        if not is_long.any():
            self._plain.append(frames, None)
            return
        self._plain.append(frames, np.flatnonzero(~is_long))
        self._long.append(frames, np.flatnonzero(is_long))

    def write_dropped(self, timestamp_ns: int, dropped: int) -> None:
        """Nothing to keep: the record log and the metrics tell what the kernel dropped."""

    def close(self) -> None:
        """What is kept stays readable."""

    def between(self, start_ns: int, end_ns: int, wanted: Callable[[Frames], NDArray[np.bool_]] | None = None) -> "KeptHeaders":
        """Copies of the frames with `start_ns` <= time < `end_ns`, in the order of time. From any thread.

        `wanted` says which of some frames to take, (n,); it is asked for a few thousand at a time.
        """
        parts = []
        for bank in (self._plain, self._long):
            for columns in bank.between(start_ns, end_ns):
                part = self._kept(columns)
                parts.append(part if wanted is None else part.at(np.flatnonzero(wanted(part.frames))))
        return self._joined([part for part in parts if len(part)])

    def _kept(self, columns: "_Columns") -> "KeptHeaders":
        data = columns["data"]
        frames = Frames(
            data.reshape(-1),
            np.arange(len(data)) * data.shape[1],
            captured=columns["captured"].astype("i8"),
            wire_length=columns["wire_length"],
            timestamp_ns=columns["timestamp_ns"],
            link_type=self.link_type,
            is_tagged=columns["is_tagged"],
            tag_control=columns["tag_control"],
            tag_protocol=columns["tag_protocol"],
        )
        return KeptHeaders(frames, columns["stands_for"])

    def _joined(self, parts: list["KeptHeaders"]) -> "KeptHeaders":
        if not parts:
            return self._kept({"data": np.zeros((0, 1), "u1"), **{name: np.zeros(0, kind) for name, kind in _COLUMNS.items()}})
        begin = np.cumsum([0] + [len(part.frames.buffer) for part in parts[:-1]]).tolist()

        def column(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(part.frames, name) for part in parts])

        joined = Frames(
            column("buffer"),
            np.concatenate([part.frames.offset + base for part, base in zip(parts, begin, strict=True)]),
            captured=column("captured"),
            wire_length=column("wire_length"),
            timestamp_ns=column("timestamp_ns"),
            link_type=self.link_type,
            is_tagged=column("is_tagged"),
            tag_control=column("tag_control"),
            tag_protocol=column("tag_protocol"),
        )
        kept = KeptHeaders(joined, np.concatenate([part.stands_for for part in parts]))
        return kept.at(np.argsort(joined.timestamp_ns, kind="stable"))


class KeptHeaders:
    """Frames, and for how many packets of the wire each stands (1.0 where all were kept)."""

    def __init__(self, frames: Frames, stands_for: NDArray[np.float32]) -> None:
        self.frames, self.stands_for = frames, stands_for

    def __len__(self) -> int:
        return len(self.frames)

    def at(self, rows: NDArray[np.integer]) -> "KeptHeaders":
        """Those at these positions."""
        frames = self.frames
        return KeptHeaders(
            Frames(
                frames.buffer,
                frames.offset[rows],
                captured=frames.captured[rows],
                wire_length=frames.wire_length[rows],
                timestamp_ns=frames.timestamp_ns[rows],
                link_type=frames.link_type,
                is_tagged=None if frames.is_tagged is None else frames.is_tagged[rows],
                tag_control=None if frames.tag_control is None else frames.tag_control[rows],
                tag_protocol=None if frames.tag_protocol is None else frames.tag_protocol[rows],
            ),
            self.stands_for[rows],
        )


class HeaderFollowers:
    """What follows a ring, where more than one does: each is told everything."""

    def __init__(self, *followers: "PcapngWriter | RecentHeaders") -> None:
        self._followers = followers

    def write(self, frames: Frames) -> None:
        for follower in self._followers:
            follower.write(frames)

    def write_dropped(self, timestamp_ns: int, dropped: int) -> None:
        for follower in self._followers:
            follower.write_dropped(timestamp_ns, dropped)

    def close(self) -> None:
        for follower in self._followers:
            follower.close()


_COLUMNS = {
    "timestamp_ns": "i8",
    "wire_length": "u4",
    "captured": "u2",
    "is_tagged": "?",
    "tag_control": "u2",
    "tag_protocol": "u2",
    "stands_for": "f4",
}
_Columns = dict[str, NDArray[Any]]  # these, and `data`: (n, width) bytes


class _Bank:
    """Rows of one width, the oldest overwritten. Position `p` since the beginning lies in row `p % capacity`."""

    def __init__(self, width: int, size_bytes: int, random: np.random.Generator) -> None:
        row_bytes = width + sum(np.dtype(kind).itemsize for kind in _COLUMNS.values())
        self.capacity = size_bytes // row_bytes
        self.left_out = 0
        self._width = width
        self._data = np.zeros((self.capacity, width), "u1")
        self._column = {name: np.zeros(self.capacity, kind) for name, kind in _COLUMNS.items()}
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
            chosen = np.unique(((np.arange(kept) + self._random.random(kept)) * (count / kept)).astype("i8")) if kept else None
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
            done += len(part)
        self._written = self._begun

    def between(self, start_ns: int, end_ns: int) -> Iterator[_Columns]:
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

"""The newest packets of one interface, headers only, in memory allocated once: what evidence of an alert is taken from.

    ring ─► frames ─► write ─► two banks of fixed rows ◄─ between (another thread)

Plain packets and those with long headers have a bank each (`snap_filter` keeps one of two lengths). One thread writes and never
waits; another may read at any time (`header_bank` says how).
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from netmote.capture.frames import Frames
from netmote.capture.header_bank import COLUMNS, Columns, HeaderBank
from netmote.capture.pcapng_writer import PcapngWriter
from netmote.capture.snap_filter import LONG_BYTES, PLAIN_BYTES
from netmote.capture.tunnels import Tunnel

_LEAST_BYTES = 100_000
_LONG_SHARE = 4  # one byte in so many is for long headers: DNS, VLAN tags inside the frame, IP options


class HeaderSource(Protocol):
    """Where evidence looks for the packets behind an alert."""

    interface: str
    link_type: int
    tunnels: tuple[Tunnel, ...]

    @property
    def first_ns(self) -> int | None:
        """When the first packet came; nothing is known of what was before."""
        ...

    def between(self, start_ns: int, end_ns: int, wanted: Callable[[Frames], NDArray[np.bool_]] | None = None) -> "KeptHeaders":
        """As RecentHeaders gives them. From any thread."""
        ...


class RecentHeaders:
    """Takes frames as a tee does (`write`, `write_dropped`, `close`); `between` gives those of a span of time.

    `size_bytes` bounds the memory, at least 100,000. `random` chooses among packets that are too many.
    """

    def __init__(
        self, *, interface: str, link_type: int, size_bytes: int, random: Random, tunnels: tuple[Tunnel, ...] = ()
    ) -> None:
        if size_bytes < _LEAST_BYTES:
            raise ValueError(f"{size_bytes} bytes hold too few headers; at least {_LEAST_BYTES}")
        self.interface = interface
        self.link_type = link_type
        self.tunnels = tunnels
        """Tunnels that were opened when these packets were metered: whoever looks for flows among them opens the same."""
        self.first_ns: int | None = None
        """When the first packet came; nothing is known of what was before."""
        long_bytes = size_bytes // _LONG_SHARE
        self._plain = HeaderBank(PLAIN_BYTES, size_bytes - long_bytes, random)
        self._long = HeaderBank(LONG_BYTES, long_bytes, random)

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
        """Keep these frames, in their order: the first `LONG_BYTES` or fewer of each. Never raises on what a frame holds."""
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
                part = _kept(columns, self.link_type)
                parts.append(part if wanted is None else part.at(np.flatnonzero(wanted(part.frames))))
        return joined_headers(parts, self.link_type)


class KeptHeaders:
    """Frames, and for how many packets of the wire each stands (1.0 where all were kept)."""

    def __init__(self, frames: Frames, stands_for: NDArray[np.float32]) -> None:
        self.frames, self.stands_for = frames, stands_for

    def __len__(self) -> int:
        return len(self.frames)

    def at(self, rows: NDArray[np.integer]) -> "KeptHeaders":
        """Those at these positions."""
        return KeptHeaders(self.frames.at(rows), self.stands_for[rows])


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


def joined_headers(parts: "Iterable[KeptHeaders]", link_type: int) -> "KeptHeaders":
    """All of them, in the order of time."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return _kept({"data": np.zeros((0, 1), "u1"), **{name: np.zeros(0, kind) for name, kind in COLUMNS.items()}}, link_type)
    begin = np.cumsum([0] + [len(part.frames.buffer) for part in parts[:-1]]).tolist()

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part.frames, name) for part in parts])

    joined = Frames(
        column("buffer"),
        np.concatenate([part.frames.offset + base for part, base in zip(parts, begin, strict=True)]),
        captured=column("captured"),
        wire_length=column("wire_length"),
        timestamp_ns=column("timestamp_ns"),
        link_type=link_type,
        is_tagged=column("is_tagged"),
        tag_control=column("tag_control"),
        tag_protocol=column("tag_protocol"),
        segment_size=column("segment_size"),
        segment_protocol=column("segment_protocol"),
    )
    kept = KeptHeaders(joined, np.concatenate([part.stands_for for part in parts]))
    return kept.at(np.argsort(joined.timestamp_ns, kind="stable"))


def _kept(columns: Columns, link_type: int) -> "KeptHeaders":
    data = columns["data"]
    frames = Frames(
        data.reshape(-1),
        np.arange(len(data)) * data.shape[1],
        captured=columns["captured"].astype("i8"),
        wire_length=columns["wire_length"],
        timestamp_ns=columns["timestamp_ns"],
        link_type=link_type,
        is_tagged=columns["is_tagged"],
        tag_control=columns["tag_control"],
        tag_protocol=columns["tag_protocol"],
        segment_size=columns["segment_size"],
        segment_protocol=columns["segment_protocol"],
    )
    return KeptHeaders(frames, columns["stands_for"])

"""The EVE exporter: blocks of JSON lines into a rotating file or a Unix socket. Encoding and writing run in a thread."""

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from netmote.clock import Clock
from netmote.errors import Retryable
from netmote.flow_export.eve.config import EveConfig
from netmote.flow_export.eve.encoding import eve_lines
from netmote.flow_export.eve.line_socket import LineSocket
from netmote.flow_export.eve.rotating_file import RotatingFile
from netmote.flow_export.exporter import Parcel
from netmote.flow_export.flow_queue import FlowChunk


class EveExporter:
    """See `netmote.flow_export.exporter.FlowExporter` for its life."""

    def __init__(self, config: EveConfig, *, clock: Clock, state_dir: Path, free_space_floor: int = 0) -> None:
        """`free_space_floor`: with less free disk (bytes) nothing is written, so that alerts still can be."""
        self.name = config.name
        self._clock, self._seed = clock, config.community_id_seed
        self._floor = free_space_floor if config.filetype == "regular" else 0
        self._lines = _lines_of(config, state_dir / config.path)
        # A thread goes on when the task that waits for it is cancelled: the next one waits, and writes no block twice.
        self._lock = threading.Lock()
        self._written: Parcel | None = None

    async def open(self) -> None:
        await asyncio.to_thread(self._guarded, self._lines.open)

    async def prepare(self, chunk: FlowChunk) -> Sequence[Parcel]:
        """One block of lines."""
        block = await asyncio.to_thread(self._block, chunk)
        return [Parcel(chunk.interface, block, len(chunk.records))] if block else []

    async def send(self, parcel: Parcel) -> int:
        """Append a block."""
        await asyncio.to_thread(self._guarded, lambda: self._write(parcel))
        return len(parcel.octets)

    async def tend(self) -> int:
        """A file needs nothing."""
        return 0

    async def close(self) -> None:
        await asyncio.to_thread(self._guarded, self._lines.close)

    def _block(self, chunk: FlowChunk) -> bytes:
        has_packets = (chunk.records["initiator_packets"] | chunk.records["responder_packets"]) != 0
        lines = eve_lines(chunk.records[has_packets], interface=chunk.interface, now_ns=self._clock.now_ns(), seed=self._seed)
        return "".join(lines).encode("ascii")

    def _write(self, parcel: Parcel) -> None:
        if parcel is self._written:
            return
        if self._floor:
            disk = os.statvfs(self._lines.path.parent)
            if disk.f_bavail * disk.f_frsize < self._floor:
                raise Retryable(f"{self._lines.path}: the disk is nearly full")
        self._lines.write(parcel.octets)
        self._written = parcel

    def _guarded(self, action: Callable[[], None]) -> None:
        with self._lock:
            try:
                action()
            except OSError as error:
                raise Retryable(f"{self._lines.path}: {error.strerror or error}") from error


def _lines_of(config: EveConfig, path: Path) -> RotatingFile | LineSocket:
    if config.filetype == "regular":
        return RotatingFile(path, max_size=config.max_size, max_files=config.max_files)
    return LineSocket(path, config.filetype)

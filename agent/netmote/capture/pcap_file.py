"""Capture files to packet columns: pcap and pcapng, gzip, zstd, standard input. Owns opening and recognising; the formats stand beside it.

What can be read is read. Damage inside a capture is a packet counted as `bad_record` or `cut_off`; a file that is no capture raises.
"""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from netmote.capture.packet_filter import PacketFilter
from netmote.capture.packets import PacketColumns, Undecodable
from netmote.capture.pcap_classic import LONGEST_PACKET, byte_order, read_pcap
from netmote.capture.pcapng_reader import LONGEST_BLOCK, PcapngReader
from netmote.capture.read_ahead import CHUNK_BYTES, ByteSource, ReadAhead
from netmote.capture.tunnels import Tunnel
from netmote.capture.zstd_stream import ZstdMissing, ZstdStream, is_zstd
from netmote.errors import Permanent

_GZIP = b"\x1f\x8b"
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_DAMAGE = {Undecodable.BAD_RECORD: "a record contradicts itself", Undecodable.CUT_OFF: "the file ends inside a record"}


class UnreadableCapture(Permanent):
    """The file cannot be opened, or is no capture. The message names it."""


class CaptureFile:
    """One capture file: iterate it once, inside `with`.

    Blocks are of one interface each (`PacketColumns.interface`: the name the file gives, empty where it gives none), at most 65,536
    packets, in order within an interface; interfaces of a pcapng file come side by side, so each needs a meter of its own. Memory
    is bounded by `chunk_bytes` and the longest record. `packet_filter` leaves out what it does not want; iterating then raises its errors.
    Of `tunnels` the packets inside are given.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        chunk_bytes: int = CHUNK_BYTES,
        packet_filter: PacketFilter | None = None,
        tunnels: tuple[Tunnel, ...] = (),
    ) -> None:
        self.name = "standard input" if str(path) == "-" else str(path)
        self._path = str(path)
        self._chunk_bytes = chunk_bytes
        self._filter, self._tunnels = packet_filter, tunnels
        self._stream: io.RawIOBase | io.BufferedIOBase | None = None
        self._blocks: Iterator[PacketColumns] = iter(())
        self.interfaces: list[str] = []
        """Interface names met so far, in the order of their first packet."""
        self.damage = ""
        """What is wrong with the file, known once it has been read; empty when it is whole."""

    def __enter__(self) -> Self:
        """Open and recognise. Raises UnreadableCapture."""
        try:
            if self._path == "-":
                self._blocks = self._recognise(cast("ByteSource", sys.stdin.buffer))
            else:
                self._stream = Path(self._path).open("rb", buffering=0)
                self._blocks = self._recognise(cast("ByteSource", self._stream))
        except (OSError, EOFError, zlib.error) as error:
            self._close()
            raise UnreadableCapture(f"{self.name}: {getattr(error, 'strerror', None) or error}") from error
        except ZstdMissing as error:
            self._close()
            raise UnreadableCapture(f"{self.name}: {error}") from error
        except UnreadableCapture:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def __iter__(self) -> Iterator[PacketColumns]:
        for packets in self._blocks:
            if packets.interface not in self.interfaces:
                self.interfaces.append(packets.interface)
            for reason in packets.undecodable_reason[packets.undecodable_reason >= min(_DAMAGE)].tolist():
                self.damage = _DAMAGE[Undecodable(reason)]
            yield packets

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _recognise(self, stream: ByteSource) -> Iterator[PacketColumns]:
        head = _first_bytes(stream, 4)
        if head.startswith(_GZIP):
            stream = cast("ByteSource", _Unzipped(fileobj=io.BufferedReader(_Rejoined(head, stream), 1 << 20)))
            head = _first_bytes(stream, 4)
        elif is_zstd(head):
            stream = cast("ByteSource", ZstdStream(cast("ByteSource", _Rejoined(head, stream))))
            head = _first_bytes(stream, 4)
        order = byte_order(head) if len(head) == 4 else None
        if order is not None:
            ahead = ReadAhead(stream, longest=LONGEST_PACKET + 24, chunk=self._chunk_bytes, head=head)
            return read_pcap(ahead, order, self._filter, tunnels=self._tunnels)
        if head == _PCAPNG:
            ahead = ReadAhead(stream, longest=LONGEST_BLOCK, chunk=self._chunk_bytes, head=head)
            return iter(PcapngReader(ahead, self._filter, tunnels=self._tunnels))
        begin = f"it begins with {head.hex(' ')}" if head else "it is empty"
        raise UnreadableCapture(f"{self.name}: no capture file: {begin}, which is neither pcap nor pcapng")


def read_capture(
    path: str | Path,
    *,
    chunk_bytes: int = CHUNK_BYTES,
    packet_filter: PacketFilter | None = None,
    tunnels: tuple[Tunnel, ...] = (),
) -> Iterator[PacketColumns]:
    """Yield the blocks of a capture file, as `CaptureFile` gives them. Raises UnreadableCapture before the first one."""
    with CaptureFile(path, chunk_bytes=chunk_bytes, packet_filter=packet_filter, tunnels=tunnels) as blocks:
        yield from blocks


def _first_bytes(stream: ByteSource, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = stream.read(count - len(found))
        if not more:
            break
        found += more
    return found


class _Unzipped(gzip.GzipFile):
    """Reads hand on what is there, so that a file cut short loses only what cannot be unpacked."""

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        return self.readinto1(buffer)


class _Rejoined(io.RawIOBase):
    """A stream with the bytes already taken from it put back in front."""

    def __init__(self, head: bytes, rest: ByteSource) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int | None:  # type: ignore[override]
        if self._head:
            count = min(len(self._head), len(buffer))
            buffer[:count] = self._head[:count]
            self._head = self._head[count:]
            return count
        return self._rest.readinto(buffer)

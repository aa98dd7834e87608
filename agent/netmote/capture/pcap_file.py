"""Capture files to packet columns: pcap and pcapng, gzip, standard input. Owns opening and recognising; the formats stand beside it.

What can be read is read. Damage inside a capture is a packet counted as `bad_record` or `cut_off`; a file that is no capture raises.
"""

import gzip
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from netmote.capture.packets import PacketColumns
from netmote.capture.pcap_classic import LONGEST_PACKET, byte_order, read_pcap
from netmote.capture.pcapng_reader import LONGEST_BLOCK, PcapngReader
from netmote.capture.read_ahead import CHUNK_BYTES, ReadAhead
from netmote.errors import Permanent

_GZIP = b"\x1f\x8b"
_PCAPNG = b"\x0a\x0d\x0d\x0a"


class UnreadableCapture(Permanent):
    """The file cannot be opened, or is no capture. The message names it."""


def read_capture(path: str | Path, *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[PacketColumns]:
    """Yield the packets of a capture file in order, in blocks of one interface and at most 65,536 packets.

    `path` "-" is standard input. Memory is bounded by `chunk_bytes` and the longest record. `PacketColumns.interface` is the name
    the file gives (pcapng if_name), empty where it gives none. Raises UnreadableCapture before the first block.
    """
    if str(path) == "-":
        yield from _read(sys.stdin.buffer, "standard input", chunk_bytes)
        return
    try:
        stream = Path(path).open("rb", buffering=0)  # noqa: SIM115  (closed below; opening has its own errors)
    except OSError as error:
        raise UnreadableCapture(f"{path}: {error.strerror or error}") from error
    with stream:
        yield from _read(stream, str(path), chunk_bytes)


def _read(stream: BinaryIO | io.RawIOBase, name: str, chunk_bytes: int) -> Iterator[PacketColumns]:
    try:
        head = _first_bytes(stream, 4)
        if head.startswith(_GZIP):
            joined = io.BufferedReader(_Rejoined(head, stream), 1 << 20)
            stream = gzip.GzipFile(fileobj=joined)
            head = _first_bytes(stream, 4)
    except (OSError, EOFError) as error:
        raise UnreadableCapture(f"{name}: {error}") from error
    order = byte_order(head) if len(head) == 4 else None
    if order is not None:
        yield from read_pcap(ReadAhead(stream, longest=LONGEST_PACKET + 24, chunk=chunk_bytes, head=head), order)
    elif head == _PCAPNG:
        yield from PcapngReader(ReadAhead(stream, longest=LONGEST_BLOCK, chunk=chunk_bytes, head=head))
    else:
        raise UnreadableCapture(f"{name}: no capture file: it begins with {head.hex(' ') or 'nothing'}, neither pcap nor pcapng")


def _first_bytes(stream: BinaryIO | io.RawIOBase, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = stream.read(count - len(found))
        if not more:
            break
        found += more
    return found


class _Rejoined(io.RawIOBase):
    """A stream with the bytes already taken from it put back in front."""

    def __init__(self, head: bytes, rest: BinaryIO | io.RawIOBase) -> None:
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

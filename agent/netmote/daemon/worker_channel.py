"""What a capture worker tells the daemon over their socket pair: messages of a kind, a length, and bytes. No I/O.

    kind (u8)  length (u32, little-endian)  payload

PANE: one pane of flow slices. PROGRESS: how far the worker has come, several times a second. GONE: the interface is. NOTE: the copy of
headers cannot be written. CLAIMS: who says it has which address. HEADERS: what the daemon asked for, the recent headers of a span of time. The daemon's questions are two
int64 each; otherwise it says nothing but the end: it closes its side, and the worker flushes and ends.
"""

import io
import json
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np

from netmote.capture.frames import Frames
from netmote.capture.packets import ClaimColumns
from netmote.capture.recent_headers import KeptHeaders
from netmote.records.flow import FLOW_DTYPE, CaptureLoss, FlowBatch

_FRAME = struct.Struct("<BI")
_PANE = struct.Struct("<qqI")
_PROGRESS = struct.Struct("<qQIIBq")
QUESTION = struct.Struct("<qq")
"""From when, until when."""
_COUNT = struct.Struct("<I")
_CLAIM = np.dtype([("timestamp_ns", "<i8"), ("kind", "u1"), ("segment", "<u4"), ("hardware", "<u8"), ("address", "V16")])
_SMALL_BYTES = 1 << 20  # more than any message without slices


class Kind(IntEnum):
    """Of message."""

    PANE = 1
    PROGRESS = 2
    GONE = 3
    NOTE = 4
    HEADERS = 5
    CLAIMS = 6


class BrokenChannelError(Exception):
    """A message that no worker sends: the worker is to be ended."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a worker has come."""

    watermark_ns: int  # every pane that ends by then was sent, where it had one
    received: int  # packets accounted in the pane that is open: lost, should the worker die now
    flows_held: int
    clock_set_back: int  # times so far
    is_up: bool  # the link
    first_header_ns: int = 0  # of the headers kept; 0: none was


def most_bytes(max_flows: int, header_bytes: int = 0) -> int:
    """The longest message of a worker with so large a flow table and so many bytes of recent headers.

    A pane tells each flow once, and each that gave way in it. Headers travel with their columns.
    """
    return _SMALL_BYTES + max(2 * max_flows * FLOW_DTYPE.itemsize, 3 * header_bytes)


def framed(kind: Kind, payload: bytes) -> bytes:
    """One message."""
    return _FRAME.pack(kind, len(payload)) + payload


def encode_pane(batch: FlowBatch) -> bytes:
    """A message with this pane. Source and interface are known to both."""
    loss = json.dumps(asdict(batch.loss)).encode()
    head = _PANE.pack(batch.start_ns, batch.end_ns, len(loss))
    return framed(Kind.PANE, head + loss + batch.slices.tobytes())


def decode_pane(payload: bytes, *, source: str, interface: str) -> FlowBatch:
    """The pane; its slices are a view of `payload`. Raises BrokenChannelError."""
    try:
        start_ns, end_ns, loss_bytes = _PANE.unpack_from(payload)
        begin = _PANE.size + loss_bytes
        told: dict[str, Any] = json.loads(payload[_PANE.size : begin])
        # JSON has no tuples.
        values: dict[str, Any] = {name: _pairs(value) if isinstance(value, list) else int(value) for name, value in told.items()}
        return FlowBatch(
            source, start_ns, end_ns, interface, np.frombuffer(payload, FLOW_DTYPE, offset=begin), CaptureLoss(**values)
        )
    except (struct.error, ValueError, TypeError) as error:
        raise BrokenChannelError(f"not a pane: {error}") from error


def encode_progress(progress: Progress) -> bytes:
    """A message with this progress."""
    told = (progress.watermark_ns, progress.received, progress.flows_held, progress.clock_set_back, progress.is_up)
    return framed(Kind.PROGRESS, _PROGRESS.pack(*told, progress.first_header_ns))


def decode_progress(payload: bytes) -> Progress:
    """The progress. Raises BrokenChannelError."""
    try:
        watermark_ns, received, flows_held, clock_set_back, is_up, first_ns = _PROGRESS.unpack(payload)
    except struct.error as error:
        raise BrokenChannelError(f"not a progress: {error}") from error
    return Progress(watermark_ns, received, flows_held, clock_set_back, bool(is_up), first_ns)


def encode_claims(claims: ClaimColumns, passed_over: int) -> bytes:
    """A message with these claims, at most 16,384, and how many were left out before them."""
    rows = np.zeros(len(claims), _CLAIM)
    for name in _CLAIM.names or ():
        rows[name] = getattr(claims, name)
    return framed(Kind.CLAIMS, _COUNT.pack(passed_over) + rows.tobytes())


def decode_claims(payload: bytes) -> tuple[ClaimColumns, int]:
    """The claims, and how many were left out. Raises BrokenChannelError."""
    try:
        (passed_over,) = _COUNT.unpack_from(payload)
        rows = np.frombuffer(payload, _CLAIM, offset=_COUNT.size)
    except (struct.error, ValueError) as error:
        raise BrokenChannelError(f"not claims: {error}") from error
    columns = (np.ascontiguousarray(rows[name]) for name in _CLAIM.names or ())
    return ClaimColumns(np.zeros(len(rows), "i8"), *columns), passed_over


def encode_headers(kept: KeptHeaders) -> bytes:
    """A message with these headers: their columns, as numpy writes several arrays into one file."""
    columns = {each.name: getattr(kept.frames, each.name) for each in fields(Frames) if each.name != "link_type"}
    stream = io.BytesIO()
    np.savez(stream, stands_for=kept.stands_for, **columns)
    return framed(Kind.HEADERS, stream.getvalue())


def decode_headers(payload: bytes, *, link_type: int) -> KeptHeaders:
    """The headers. Raises BrokenChannelError."""
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as columns:
            told = {name: columns[name] for name in columns.files}
        stands_for = told.pop("stands_for")
        return KeptHeaders(Frames(**told, link_type=link_type), stands_for)
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BrokenChannelError(f"no headers: {error}") from error


class MessageReader:
    """Cuts a stream of bytes into messages; `limit` bounds one of them, and so what is held."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """The messages that are complete now. Raises BrokenChannelError."""
        self._buffer += data
        while len(self._buffer) >= _FRAME.size:
            number, length = _FRAME.unpack_from(self._buffer)
            if length > self._limit:
                raise BrokenChannelError(f"a message of {length} bytes; the longest has {self._limit}")
            end = _FRAME.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(memoryview(self._buffer)[_FRAME.size : end])
            del self._buffer[:end]
            try:
                kind = Kind(number)
            except ValueError as error:
                raise BrokenChannelError(f"message kind {number}") from error
            yield kind, payload


def sum_of_losses(losses: list[CaptureLoss]) -> CaptureLoss:
    """What became of the packets of all of them; every field is a number or counts by name."""
    total: dict[str, Any] = {}
    for each in fields(CaptureLoss):
        values = [getattr(loss, each.name) for loss in losses]
        if isinstance(each.default, tuple):
            counts: Counter[str] = Counter()
            for pairs in values:
                counts.update(dict(pairs))
            total[each.name] = tuple(sorted(counts.items()))
        else:
            total[each.name] = sum(values)
    return CaptureLoss(**total)


def _pairs(value: list[Any]) -> Any:
    return tuple((str(name), int(count)) for name, count in value)

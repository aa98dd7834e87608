"""The exporter protocol: one encoding and one way out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from netmote.flow_export.flow_queue import FlowChunk


@dataclass(frozen=True, slots=True)
class Parcel:
    """What goes out at once: the sets of an IPFIX message, a block of lines."""

    interface: str
    octets: bytes
    records: int  # data records, lines


class FlowExporter(Protocol):
    """One way out for flow records.

    Life: construct (no I/O) -> `open` (acquire, return soon) -> `prepare`, `send`* and `tend` -> `close` (safe without open,
    safe twice). `open`, `send` and `tend` raise `Retryable` when they may work later; the parcel is then sent again, after a new
    `open`, so nothing is lost between two sessions. Cancellation at any await leaves the exporter usable after `close`.
    """

    name: str

    async def open(self) -> None: ...

    async def prepare(self, chunk: FlowChunk) -> Sequence[Parcel]:
        """Encode. Touches nothing outside; what takes long runs beside the loop."""
        ...

    async def send(self, parcel: Parcel) -> int:
        """Send one parcel, and before it what is due. Returns the octets that left."""
        ...

    async def tend(self) -> int:
        """Nothing waits: send what is due by time. Returns the octets that left."""
        ...

    async def close(self) -> None: ...

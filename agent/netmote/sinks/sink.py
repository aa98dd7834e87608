"""The sink protocol."""

from collections.abc import Sequence
from typing import Protocol

from netmote.alerts.alert import Committed
from netmote.telemetry.heartbeat import Heartbeat


class Sink(Protocol):
    """One way upstream.

    Life: construct (no I/O) -> `open` (acquire, return soon) -> `deliver`* -> `close` (safe without open, safe twice).
    `deliver` returns when the receiver has accepted the whole batch, and raises:
    `Retryable` when nothing is known to be accepted and a later try may work (the same batch comes again, same ids);
    `PartialDelivery` when some rows are refused for ever and all others are accepted;
    `Permanent` when the batch as a whole is refused and splitting it may help find the row.
    `beat` sends one sign of life, best effort: it raises `Retryable` or `Permanent` for the caller to count, and is never repeated.
    `deliver` and `beat` are never under way at the same time. Cancellation at any await leaves the sink usable.
    """

    name: str

    async def open(self) -> None: ...

    async def deliver(self, batch: Sequence[Committed]) -> None: ...

    async def beat(self, heartbeat: Heartbeat) -> None: ...

    async def close(self) -> None: ...

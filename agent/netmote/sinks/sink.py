"""The sink protocol, and what some sinks can beside it."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class StateSink(Protocol):
    """A sink whose receiver keeps the present state in memory only, and must be told it again and again.

    `learn` is called with the latest revision of each alert that is firing and not silenced, right before each `deliver` and `resend`:
    the ledger is the one place that knows. `resend` is called when delivery starts, then every `resend_interval` seconds, never
    while `deliver` or `beat` is under way. It raises `Retryable` for the caller to try again; what the receiver refuses for ever is the
    sink's to leave out and to say. `deliver` tells what its rows' alerts have become, and nothing of those that are history.
    """

    resend_interval: float  # seconds

    async def learn(self, active: Sequence[Committed]) -> None: ...

    async def resend(self) -> None: ...


@runtime_checkable
class CertifiedSink(Protocol):
    """A sink over TLS that knows when the certificates it uses end."""

    def certificate_expiries(self) -> Mapping[str, int]:
        """The notAfter in UTC nanoseconds by kind of certificate: `client`, `authority`. Empty while none is loaded."""
        ...

"""The third leg: the ledger's alerts to each sink, at least once, through outages.

Each sink has a cursor in the ledger and a task of its own, so that a slow one holds nobody back. A cursor moves only when
the receiver has accepted. A row that is refused for ever is found by halving the batch, quarantined with the reason, and
the rest goes on. There is no limit of tries: what is in the ledger waits.
"""

import asyncio
import logging
from random import Random

from netmote.alerts.alert import Committed
from netmote.backoff import Backoff
from netmote.clock import Clock
from netmote.errors import PartialDelivery, Permanent, Retryable
from netmote.sinks.sink import Sink
from netmote.store.store import Store
from netmote.telemetry.health import Health, Level
from netmote.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

# Also the longest that a lost wake-up can delay an alert.
_POLL_SECONDS = 5.0
_BACKOFF_BASE, _BACKOFF_CAP = 0.5, 60.0


class Deliver:
    """Delivery to one sink."""

    def __init__(
        self, sink: Sink, store: Store, *, batch_limit: int, clock: Clock, random: Random, health: Health, metrics: Metrics
    ) -> None:
        self.sink = sink
        self.component = f"sink:{sink.name}"
        self.last_error: str | None = None
        self.delivered = 0
        self._store, self._batch_limit, self._clock = store, batch_limit, clock
        self._health, self._metrics = health, metrics
        self._backoff = Backoff(base=_BACKOFF_BASE, cap=_BACKOFF_CAP, random=random)
        self._committed = asyncio.Event()
        self._is_open = False

    def wake(self) -> None:
        """Something was committed."""
        self._committed.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        await self._store.register_sink(self.sink.name)
        try:
            while True:
                self._committed.clear()
                if not await self._deliver_some():
                    await self._wait_committed()
        finally:
            self._is_open = False
            await self.sink.close()

    async def drain(self, deadline: float) -> None:
        """One last attempt at what waits, within `deadline` seconds; what is not accepted stays in the ledger."""
        try:
            async with asyncio.timeout(deadline):
                while rows := await self._store.pending(self.sink.name, limit=self._batch_limit):
                    await self._open()
                    await self._offer(rows)
        except (TimeoutError, Retryable):
            log.info("alerts wait in the ledger for the next start", extra={"component": self.component})
        finally:
            self._is_open = False
            await self.sink.close()

    async def _wait_committed(self) -> None:
        try:
            async with asyncio.timeout(_POLL_SECONDS):
                await self._committed.wait()
        except TimeoutError:
            return

    async def _deliver_some(self) -> bool:
        """Offer one batch. Returns whether it is worth looking for more at once."""
        rows = await self._store.pending(self.sink.name, limit=self._batch_limit)
        if not rows:
            return False
        try:
            await self._open()
            await self._offer(rows)
        except Retryable as error:
            self._failed(error)
            await asyncio.sleep(self._backoff.next_delay(after=error.after))
        else:
            self._succeeded()
        return True

    async def _open(self) -> None:
        if not self._is_open:
            await self.sink.open()
            self._is_open = True

    async def _offer(self, rows: list[Committed]) -> None:
        """Deliver rows in order; on return each is acknowledged or quarantined. Raises Retryable with the rest untouched."""
        try:
            await self._timed(rows)
        except PartialDelivery as error:
            for position, reason in sorted(error.rejected.items()):
                await self._quarantine(rows[position], reason)
            await self._acknowledge([row for position, row in enumerate(rows) if position not in error.rejected])
        except Permanent as error:
            if len(rows) == 1:
                await self._quarantine(rows[0], str(error))
                return
            middle = len(rows) // 2
            await self._offer(rows[:middle])
            await self._offer(rows[middle:])
        else:
            await self._acknowledge(rows)

    async def _timed(self, rows: list[Committed]) -> None:
        began = self._clock.monotonic()
        try:
            await self.sink.deliver(rows)
        finally:
            self._metrics.delivery_duration_seconds.observe(self._clock.monotonic() - began, sink=self.sink.name)

    async def _acknowledge(self, rows: list[Committed]) -> None:
        await self._store.acknowledge(self.sink.name, [row.seq for row in rows])
        self._metrics.delivery_attempts_total.inc(sink=self.sink.name, outcome="accepted")
        self._metrics.delivered_alerts_total.inc(len(rows), sink=self.sink.name)
        self.delivered += len(rows)

    async def _quarantine(self, row: Committed, reason: str) -> None:
        await self._store.quarantine(self.sink.name, row.seq, reason)
        self._metrics.quarantined_alerts_total.inc(sink=self.sink.name)
        log.error("alert quarantined: %s", reason, extra={"component": self.component, "alert_id": row.alert.alert_id})

    def _failed(self, error: Retryable) -> None:
        self._metrics.delivery_attempts_total.inc(sink=self.sink.name, outcome="retry")
        if self.last_error is None:
            log.warning("does not accept alerts, they wait in the ledger: %s", error, extra={"component": self.component})
        self.last_error = str(error)
        self._health.degrade(self.component, Level.FULL, f"alerts wait: {error}")

    def _succeeded(self) -> None:
        self._backoff.succeeded()
        if self.last_error is not None:
            log.info("accepts alerts again", extra={"component": self.component})
            self.last_error = None
        self._health.recover(self.component)

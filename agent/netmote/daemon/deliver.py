"""The third leg: the ledger's alerts to each sink, at least once, through outages.

Each sink has a cursor in the ledger and a task of its own, so that a slow one holds nobody back. A cursor moves only when
the receiver has accepted. A row that is refused for ever is found by halving the batch, quarantined with the reason, and
the rest goes on. There is no limit of tries: what is in the ledger waits.

The same task carries the heartbeats, for a sink does one thing at a time: one slot, the newest wins, served between batches and
while the task waits, be it for alerts or for the end of a back-off. A heartbeat that cannot be sent is counted, never repeated.
"""

import asyncio
import logging
from random import Random

from netmote.alerts.alert import Committed
from netmote.backoff import Backoff
from netmote.clock import Clock
from netmote.daemon.state_telling import StateTelling
from netmote.errors import PartialDelivery, Permanent, Retryable
from netmote.sinks.sink import CertifiedSink, Sink
from netmote.store.store import Store
from netmote.telemetry.health import Health, Level
from netmote.telemetry.heartbeat import Heartbeat
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
        self._telling = StateTelling(sink, store, clock=clock)
        self._stirred = asyncio.Event()  # there may be something to deliver, or a heartbeat waits
        self._beat_waits = asyncio.Event()
        self._beat: Heartbeat | None = None
        self._is_beat_lost = False
        self._is_open = False

    def wake(self) -> None:
        """Something was committed, or is to be sent again."""
        self._stirred.set()

    def offer_beat(self, heartbeat: Heartbeat) -> None:
        """Send this heartbeat as soon as the sink is free; one that still waits is superseded and counted as such."""
        if self._beat is not None:
            self._count_beat("superseded")
        self._beat = heartbeat
        self._beat_waits.set()
        self._stirred.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        await self._store.register_sink(self.sink.name)
        self._telling.begin()
        try:
            while True:
                self._stirred.clear()
                await self._send_beat()
                if not await self._deliver_some():
                    await self._wait_stirred()
        finally:
            self._is_open = False
            await self.sink.close()

    async def drain(self, deadline: float) -> None:
        """One last attempt at what waits, within `deadline` seconds; alerts that are not accepted stay in the ledger."""
        try:
            async with asyncio.timeout(deadline):
                while rows := await self._store.pending(self.sink.name, limit=self._batch_limit):
                    await self._open()
                    await self._offer(rows)
                await self._send_beat()
        except (TimeoutError, Retryable):
            log.info("alerts wait in the ledger for the next start", extra={"component": self.component})
        finally:
            if self._beat is not None:
                self._beat = None
                self._count_beat("failed")
            self._is_open = False
            await self.sink.close()

    async def _wait_stirred(self) -> None:
        try:
            async with asyncio.timeout(max(0.0, min(_POLL_SECONDS, self._telling.seconds_until_due))):
                await self._stirred.wait()
        except TimeoutError:
            return

    async def _back_off(self, seconds: float) -> None:
        """Wait that long, whatever is committed meanwhile; a heartbeat goes out at once."""
        due = asyncio.get_running_loop().time() + seconds
        while True:
            self._beat_waits.clear()
            await self._send_beat()
            try:
                async with asyncio.timeout_at(due):
                    await self._beat_waits.wait()
            except TimeoutError:
                return

    async def _deliver_some(self) -> bool:
        """Offer one batch, and what is active where it is due. Returns whether it is worth looking for more at once."""
        rows = await self._store.pending(self.sink.name, limit=self._batch_limit)
        if not rows and not self._telling.is_due:
            return False
        try:
            await self._open()
            await self._telling.tell_if_due()
            if rows:
                await self._offer(rows)
        except Retryable as error:
            self._failed(error)
            await self._back_off(self._backoff.next_delay(after=error.after))
        else:
            self._succeeded()
        return True

    async def _open(self) -> None:
        if not self._is_open:
            await self.sink.open()
            self._is_open = True
        if isinstance(self.sink, CertifiedSink):
            for certificate, ends_ns in self.sink.certificate_expiries().items():
                self._metrics.certificate_expiry_timestamp_seconds.set(
                    ends_ns / 1e9, sink=self.sink.name, certificate=certificate
                )

    async def _offer(self, rows: list[Committed]) -> None:
        """Deliver rows in order; on return each is acknowledged or quarantined. Raises Retryable with the rest untouched."""
        await self._send_beat()
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

    async def _send_beat(self) -> None:
        beat, self._beat = self._beat, None
        if beat is None:
            return
        outcome = "failed"
        try:
            await self._open()
            await self.sink.beat(beat)
            outcome = "sent"
        except (Retryable, Permanent) as error:
            if not self._is_beat_lost:
                log.warning("does not take heartbeats: %s", error, extra={"component": self.component})
        finally:
            self._is_beat_lost = outcome == "failed"
            self._count_beat(outcome)

    def _count_beat(self, outcome: str) -> None:
        self._metrics.heartbeats_total.inc(sink=self.sink.name, outcome=outcome)

    async def _timed(self, rows: list[Committed]) -> None:
        began = self._clock.monotonic()
        try:
            await self._telling.learn()
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

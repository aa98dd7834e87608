"""Delivery to all sinks of the configuration: one supervised task each, begun anew alone when its own settings change."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import Random

from netmote.clock import Clock
from netmote.daemon.components import build_sink
from netmote.daemon.config import SinkConfig
from netmote.daemon.deliver import Deliver
from netmote.daemon.supervisor import Supervise, Supervised
from netmote.sinks.sink import Sink
from netmote.store.store import Store
from netmote.telemetry.health import Health
from netmote.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


class Deliveries:
    """The third leg as a whole."""

    def __init__(
        self,
        store: Store,
        *,
        supervise: Supervise,
        clock: Clock,
        random: Random,
        health: Health,
        metrics: Metrics,
        conceal: Callable[[Sink], Sink] = lambda sink: sink,
    ) -> None:
        """`conceal` puts before a sink what hides addresses from its receiver."""
        self._store, self._supervise, self._conceal = store, supervise, conceal
        self._clock, self._random, self._health, self._metrics = clock, random, health, metrics
        self._running: dict[str, tuple[SinkConfig, Deliver, Supervised]] = {}

    @property
    def delivers(self) -> list[Deliver]:
        """One a sink, in the order of the configuration."""
        return [deliver for _, deliver, _ in self._running.values()]

    def wake(self) -> None:
        """Something was committed."""
        for deliver in self.delivers:
            deliver.wake()

    async def apply(self, group: asyncio.TaskGroup, sinks: Sequence[SinkConfig], *, deadline: float) -> None:
        """Deliver to these sinks from now on; those that are as before are not touched. What waits, waits in the ledger."""
        wanted = {sink.name: sink for sink in sinks}
        await self._end([name for name, (config, _, _) in self._running.items() if wanted.get(name) != config], deadline)
        for name, config in wanted.items():
            if name not in self._running:
                # Before anything can be committed: a sink's books begin at the ledger's tail.
                await self._store.register_sink(name)
                self._begin(group, config)
        self._running = {name: self._running[name] for name in wanted}
        for books in await self._store.outbox():
            if books.sink not in wanted and books.queued:
                log.warning(
                    "%d alerts wait for a sink that is not configured", books.queued, extra={"component": f"sink:{books.sink}"}
                )

    async def stop(self, *, deadline: float) -> None:
        """Stop all, then one last attempt at what waits, side by side and within `deadline` seconds each."""
        delivers = self.delivers
        await self._end(list(self._running), deadline)
        results = await asyncio.gather(*(deliver.drain(deadline) for deliver in delivers), return_exceptions=True)
        for deliver, result in zip(delivers, results, strict=True):
            if isinstance(result, Exception):
                log.error("failed in the last attempt", exc_info=result, extra={"component": deliver.component})

    def _begin(self, group: asyncio.TaskGroup, config: SinkConfig) -> None:
        deliver = Deliver(
            self._conceal(build_sink(config)),
            self._store,
            batch_limit=config.batch_size,
            clock=self._clock,
            random=self._random,
            health=self._health,
            metrics=self._metrics,
        )
        supervised = self._supervise(deliver.component, deliver.run)
        self._running[config.name] = (config, deliver, supervised)
        supervised.start(group)

    async def _end(self, names: Sequence[str], deadline: float) -> None:
        ending = [self._running.pop(name) for name in names]
        await asyncio.gather(*(supervised.stop(deadline) for _, _, supervised in ending))
        for _, deliver, _ in ending:
            self._health.recover(deliver.component)

"""Keeps components alive: a crash is logged once, counted, and followed by a restart with back-off. It never gives up."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from random import Random

from netmote.backoff import Backoff
from netmote.clock import Clock
from netmote.errors import Unavailable
from netmote.telemetry.health import Health, Level
from netmote.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

# A component that ran this long before it failed starts again from the shortest delay.
_HEALTHY_SECONDS = 60.0


class Supervised:
    """One component: `run` is called again and again until `stop`. A normal return ends it for good."""

    def __init__(
        self,
        name: str,
        run: Callable[[], Awaitable[None]],
        *,
        health: Health,
        metrics: Metrics,
        clock: Clock,
        random: Random,
        level: Level = Level.FULL,
    ) -> None:
        self.name = name
        self.restarts = 0
        self._run, self._level = run, level
        self._health, self._metrics, self._clock = health, metrics, clock
        self._backoff = Backoff(base=0.5, cap=60.0, random=random)
        self._task: asyncio.Task[None] | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        """Run within the group. Safe once per instance."""
        self._task = group.create_task(self._supervise(), name=self.name)

    async def stop(self, deadline: float) -> None:
        """Cancel and wait at most `deadline` seconds. Safe without start, safe twice."""
        task, self._task = self._task, None
        if task is None or task.done():
            return
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=deadline)
        if not done:
            log.error("did not stop in time", extra={"component": self.name, "seconds": deadline})

    async def _supervise(self) -> None:
        while True:
            began = self._clock.monotonic()
            try:
                await self._run()
            except Unavailable as error:
                # Not a crash: this part of the machine cannot be used now. Said once, tried again.
                if self._health.degrade(self.name, self._level, str(error)):
                    log.warning("unavailable: %s", error, extra={"component": self.name})
            except Exception as error:
                self.restarts += 1
                self._metrics.component_restarts_total.inc(component=self.name)
                self._health.degrade(self.name, self._level, f"restarted after {type(error).__name__}: {error}")
                log.exception("failed, starts again", extra={"component": self.name})
            else:
                return
            if self._clock.monotonic() - began > _HEALTHY_SECONDS:
                self._backoff.succeeded()
            await asyncio.sleep(self._backoff.next_delay())

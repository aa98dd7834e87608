"""Keeps components alive: a crash is logged once, counted, and followed by a restart with back-off. It never gives up."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol

from netmote.backoff import Backoff
from netmote.clock import Clock
from netmote.errors import Retryable, Unavailable
from netmote.telemetry.health import Health, Level
from netmote.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

# A component that ran this long is well again: its reason is withdrawn.
WELL_SECONDS = 10.0
# One that ran this long before it failed starts again from the shortest delay.
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
        well_seconds: float = WELL_SECONDS,
    ) -> None:
        """`level` is the rung on which the agent stands while this component is being restarted."""
        self.name = name
        self.restarts = 0
        self.is_waiting = False
        """Whether it failed and waits for its next try."""
        self._run, self._level, self._well_seconds = run, level, well_seconds
        self._health, self._metrics, self._clock = health, metrics, clock
        self._backoff = Backoff(base=0.5, cap=60.0, random=random)
        self._task: asyncio.Task[None] | None = None
        self._reason: str | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        """Run within the group. Safe once per instance."""
        self._task = group.create_task(self._supervise(), name=self.name)

    async def stop(self, deadline: float) -> None:
        """Cancel and wait at most `deadline` seconds; its reason goes with it. Safe without start, safe twice."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=deadline)
            if not done:
                log.error("did not stop in time", extra={"component": self.name, "seconds": deadline})
        self._withdraw()

    async def _supervise(self) -> None:
        while True:
            began = self._clock.monotonic()
            well = asyncio.get_running_loop().call_later(self._well_seconds, self._withdraw)
            after = None
            try:
                await self._run()
            except (Retryable, Unavailable) as error:
                # Not a crash: something outside does not let it work now. Said once, tried again.
                after = error.after if isinstance(error, Retryable) else None
                if self._report(str(error)):
                    log.warning("unavailable: %s", error, extra={"component": self.name})
            except Exception as error:
                self.restarts += 1
                self._metrics.component_restarts_total.inc(component=self.name)
                self._report(f"restarted after {type(error).__name__}: {error}")
                log.exception("failed, starts again", extra={"component": self.name})
            else:
                self._withdraw()
                return
            finally:
                well.cancel()
            if self._clock.monotonic() - began > _HEALTHY_SECONDS:
                self._backoff.succeeded()
            self.is_waiting = True
            await asyncio.sleep(self._backoff.next_delay(after=after))
            self.is_waiting = False

    def _report(self, reason: str) -> bool:
        self._reason = reason
        return self._health.degrade(self.name, self._level, reason)

    def _withdraw(self) -> None:
        """Only what was said here: the component may have a reason of its own under the same name."""
        reason, self._reason = self._reason, None
        if reason is not None and any(each.component == self.name and each.text == reason for each in self._health.reasons):
            self._health.recover(self.name)
            log.info("runs again", extra={"component": self.name})


class Supervise(Protocol):
    """How the daemon wraps a component."""

    def __call__(self, name: str, run: Callable[[], Awaitable[None]]) -> Supervised: ...

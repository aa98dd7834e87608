"""The observation points of one daemon: which interfaces are captured now, and what becomes of that when the machine or the document changes.

Refuses to decide anything about packets. `auto` is looked at again every few seconds, for a link may come up long after the agent.
"""

import asyncio
import logging
from collections.abc import Callable

from netmote.capture.config import CaptureConfig
from netmote.capture.interfaces import AUTO, select_interfaces
from netmote.clock import Clock
from netmote.daemon.observation import Observation, refuse_if_not_permitted
from netmote.daemon.supervisor import Supervise, Supervised
from netmote.errors import Unavailable
from netmote.metering.config import MeteringConfig
from netmote.records.batch import Batch
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.telemetry.health import Health, Level

log = logging.getLogger(__name__)

COMPONENT = "capture"
# Each has a ring and a flow table of its own; where more interfaces are up than this, the document must name the ones wanted.
MAX_AUTOMATIC = 8
LOOK_SECONDS = 10.0
# An interface found by `auto` and gone for this long is not waited for any more.
_FORGET_SECONDS = 300.0
_STOP_SECONDS = 5.0


class Captures:
    """Starts and stops Observations."""

    def __init__(
        self,
        *,
        sensor: str,
        emit: Callable[[Batch], None],
        supervise: Supervise,
        clock: Clock,
        health: Health,
        select: Callable[[tuple[str, ...]], tuple[str, ...]] = select_interfaces,
        look_seconds: float = LOOK_SECONDS,
        on_worker_death: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_worker_death` is told the name of a capture worker that died, in its capture thread."""
        self._sensor, self._emit, self._supervise = sensor, emit, supervise
        self._clock, self._health = clock, health
        self._select, self._look_seconds = select, look_seconds
        self._on_worker_death = on_worker_death
        self._capture, self._metering = CaptureConfig(), MeteringConfig()
        self._running: dict[str, tuple[Observation, Supervised]] = {}
        self._following: Supervised | None = None
        self._is_permitted = False

    @property
    def observations(self) -> list[Observation]:
        """Those that run, by interface name."""
        return [self._running[name][0] for name in sorted(self._running)]

    def start(self, group: asyncio.TaskGroup, capture: CaptureConfig, metering: MeteringConfig) -> None:
        """Capture what the configuration names. Without permission that is said once, and nothing else is tried."""
        self._capture, self._metering = capture, metering
        self._health.recover(COMPONENT)
        self._is_permitted = False
        if not capture.interfaces:
            return
        try:
            refuse_if_not_permitted()
        except Unavailable as error:
            self._health.degrade(COMPONENT, Level.FULL, str(error))
            log.warning("no capture: %s", error, extra={"component": COMPONENT})
            self._emit(self._unavailable(1.0, reason=str(error)))
            return
        self._is_permitted = True
        self._emit(self._unavailable(0.0))
        self._begin(group, self._wanted())
        if AUTO in capture.interfaces:
            self._following = self._supervise("capture_auto", lambda: self._follow(group))
            self._following.start(group)

    async def apply(self, group: asyncio.TaskGroup, capture: CaptureConfig, metering: MeteringConfig) -> None:
        """Take up a new configuration. Where only the list of interfaces differs, those in both lists go on without a gap."""
        names = {"interfaces": self._capture.interfaces}
        is_same = self._is_permitted and capture.model_copy(update=names) == self._capture and metering == self._metering
        await self._stop_following()
        chosen = set(self._select(capture.interfaces)) if is_same else set()
        await self._end([name for name in self._running if name not in chosen], _STOP_SECONDS)
        self.start(group, capture, metering)

    async def stop(self, deadline: float) -> None:
        """Stop all, side by side."""
        await self._stop_following()
        await self._end(list(self._running), deadline)
        self._health.recover(COMPONENT)

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            wanted = self._wanted()
            self._begin(group, wanted)
            await self._end([name for name in self._running if name not in wanted and self._is_forgotten(name)], _STOP_SECONDS)

    def _is_forgotten(self, name: str) -> bool:
        gone_since = self._running[name][0].gone_since
        return gone_since is not None and self._clock.monotonic() - gone_since > _FORGET_SECONDS

    def _wanted(self) -> list[str]:
        named = [name for name in self._capture.interfaces if name != AUTO]
        found = [name for name in self._select(self._capture.interfaces) if name not in named]
        # Those already captured keep their place.
        found.sort(key=lambda name: name not in self._running)
        left_out = found[MAX_AUTOMATIC:]
        if left_out:
            text = f"{len(left_out)} interfaces are not captured ({', '.join(left_out[:3])} ...): `auto` takes at most {MAX_AUTOMATIC}, name the ones wanted"
            self._degrade(text)
        elif not named and not found and not self._running:
            self._degrade("no interface is up that could be captured; looked for again every few seconds")
        else:
            self._health.recover(COMPONENT)
        return named + found[:MAX_AUTOMATIC]

    def _degrade(self, text: str) -> None:
        if self._health.degrade(COMPONENT, Level.FULL, text):
            log.warning("%s", text, extra={"component": COMPONENT})

    def _begin(self, group: asyncio.TaskGroup, names: list[str]) -> None:
        for name in names:
            if name not in self._running:
                observation = Observation(
                    name,
                    self._capture,
                    self._metering,
                    sensor=self._sensor,
                    clock=self._clock,
                    emit=self._emit,
                    health=self._health,
                    on_worker_death=self._on_worker_death,
                )
                supervised = self._supervise(observation.source, observation.run)
                self._running[name] = (observation, supervised)
                supervised.start(group)

    async def _end(self, names: list[str], deadline: float) -> None:
        ending = [self._running.pop(name) for name in names]
        await asyncio.gather(*(supervised.stop(deadline) for _, supervised in ending))
        for observation, _ in ending:
            self._health.recover(observation.source)
            self._health.recover(f"tee:{observation.interface}")
            self._health.recover(f"ring:{observation.interface}")

    async def _stop_following(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            await following.stop(_STOP_SECONDS)

    def _unavailable(self, value: float, **annotations: str) -> FactBatch:
        now = self._clock.now_ns()
        fact = Fact(Entity(EntityKind.SENSOR, self._sensor), "capture_unavailable", now, value, annotations)
        return FactBatch(COMPONENT, now, now, (fact,))

"""The collectors of one daemon: started, stopped, and begun anew one by one when their configuration changes."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any, Protocol

from netmote.capture.interfaces import select_interfaces
from netmote.clock import Clock
from netmote.daemon.config import Config
from netmote.daemon.observation import Observation, refuse_if_unavailable
from netmote.daemon.supervisor import Supervised
from netmote.errors import Unavailable
from netmote.host.collector import HostCollector
from netmote.records.batch import Batch
from netmote.snmp.collector import SnmpCollector
from netmote.snmp.target import TargetStatus
from netmote.telemetry.health import Health, Level

log = logging.getLogger(__name__)


class Supervise(Protocol):
    """How the daemon wraps a component."""

    def __call__(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> Supervised: ...


class Collectors:
    """Captures, the SNMP poller and the host reader. Each input degrades alone."""

    def __init__(
        self,
        *,
        sensor: str,
        state_dir: Path,
        emit: Callable[[Batch], None],
        supervise: Supervise,
        clock: Clock,
        random: Random,
        health: Health,
    ) -> None:
        self._sensor, self._state_dir, self._emit = sensor, state_dir, emit
        self._supervise, self._clock, self._random, self._health = supervise, clock, random, health
        self.observations: list[Observation] = []
        self.snmp: SnmpCollector | None = None
        self.host: HostCollector | None = None
        self._running: dict[str, list[Supervised]] = {"capture": [], "snmp": [], "host": []}

    def start(self, group: asyncio.TaskGroup, config: Config) -> None:
        """Start every collector of the configuration."""
        self._start_host(group, config)
        self._start_snmp(group, config)
        self._start_capture(group, config)

    async def stop(self, deadline: float) -> None:
        """Stop all, side by side."""
        await asyncio.gather(*(self._stop(part, deadline) for part in self._running))

    async def apply(self, group: asyncio.TaskGroup, config: Config, parts: tuple[str, ...]) -> None:
        """Begin anew those among `parts` that are collectors; the others keep their schedule."""
        for part, start in (("host", self._start_host), ("snmp", self._start_snmp), ("capture", self._start_capture)):
            if part in parts:
                await self._stop(part, 5.0)
                start(group, config)

    async def _stop(self, part: str, deadline: float) -> None:
        running, self._running[part] = self._running[part], []
        await asyncio.gather(*(each.stop(deadline) for each in running))
        for each in running:
            self._health.recover(each.name)

    def _launch(self, group: asyncio.TaskGroup, part: str, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        supervised = self._supervise(name, run)
        self._running[part].append(supervised)
        supervised.start(group)

    def _start_capture(self, group: asyncio.TaskGroup, config: Config) -> None:
        self.observations = []
        self._health.recover("capture")
        try:
            interfaces = select_interfaces(config.capture.interfaces)
            for interface in interfaces:
                refuse_if_unavailable(interface, config.capture)
        except Unavailable as error:
            self._health.degrade("capture", Level.FULL, str(error))
            log.warning("no capture: %s", error, extra={"component": "capture"})
            return
        for interface in interfaces:
            observation = Observation(
                interface,
                config.capture,
                config.metering,
                sensor=self._sensor,
                clock=self._clock,
                emit=self._emit,
                noted=lambda name: self._health.recover(f"capture:{name}"),
            )
            self.observations.append(observation)
            self._launch(group, "capture", observation.source, observation.run)

    def _start_snmp(self, group: asyncio.TaskGroup, config: Config) -> None:
        self.snmp = None
        if config.snmp.targets:
            self.snmp = SnmpCollector(config.snmp, clock=self._clock, random=self._random, emit=self._emit)
            self._launch(group, "snmp", "snmp", self.snmp.run)

    def snmp_status(self, name: str) -> TargetStatus | None:
        """How the poller sees one device; None while it does not."""
        return None if self.snmp is None else self.snmp.target_status(name)

    def _start_host(self, group: asyncio.TaskGroup, config: Config) -> None:
        self.host = HostCollector(config.host, sensor=self._sensor, state_dir=self._state_dir, clock=self._clock, emit=self._emit)
        self._launch(group, "host", "host", self.host.run)

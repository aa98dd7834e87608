"""The collectors of one daemon: started, stopped, and begun anew one by one when their configuration changes."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

from netmote.alerts.alert import Committed
from netmote.clock import Clock
from netmote.daemon.captures import Captures
from netmote.daemon.config import Config
from netmote.daemon.evidence import COMPONENT as EVIDENCE
from netmote.daemon.evidence import Evidence
from netmote.daemon.evidence_files import EvidenceFiles
from netmote.daemon.observation import Observation
from netmote.daemon.supervisor import Supervise, Supervised
from netmote.host.collector import HostCollector
from netmote.records.batch import Batch
from netmote.snmp.collector import SnmpCollector
from netmote.snmp.config import SnmpConfig
from netmote.snmp.device_memory import FILE_NAME as DEVICE_MEMORY
from netmote.snmp.device_memory import DeviceMemory
from netmote.snmp.native.channel import EngineClock
from netmote.snmp.notification import Notification
from netmote.snmp.notification_listener import COMPONENT as NOTIFICATIONS
from netmote.snmp.notification_listener import NotificationListener
from netmote.snmp.target_status import TargetStatus
from netmote.telemetry.health import Health
from netmote.telemetry.metrics import Metrics

_STOP_SECONDS = 5.0


class Collectors:
    """Captures with the evidence taken from them, the SNMP poller and the host reader. Each input degrades alone."""

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
        metrics: Metrics,
    ) -> None:
        self._sensor, self._state_dir, self._emit = sensor, state_dir, emit
        self._supervise, self._clock, self._random = supervise, clock, random
        self.captures = Captures(
            sensor=sensor,
            emit=emit,
            supervise=supervise,
            clock=clock,
            health=health,
            on_worker_death=lambda name: metrics.component_restarts_total.inc(component=name),
        )
        self.evidence = Evidence(
            EvidenceFiles(state_dir),
            sensor=sensor,
            recents=lambda: [each.recent for each in self.observations if each.recent is not None],
            clock=clock,
            health=health,
            metrics=metrics,
        )
        self._snmp: SnmpCollector | None = None
        self._notifications: NotificationListener | None = None
        self._notified_by: SnmpConfig | None = None  # what the listener was begun with
        self._running: dict[str, Supervised] = {}

    @property
    def observations(self) -> list[Observation]:
        return self.captures.observations

    def start(self, group: asyncio.TaskGroup, config: Config) -> None:
        """Start every collector of the configuration."""
        self.evidence.apply(config.capture, free_space_floor=config.store.free_space_floor)
        self._running[EVIDENCE] = self._supervise(EVIDENCE, self.evidence.run)
        self._running[EVIDENCE].start(group)
        self._start_host(group, config)
        self._start_snmp(group, config)
        self._start_notifications(group, config.snmp)
        self.captures.start(group, config.capture, config.metering)

    async def stop(self, deadline: float) -> None:
        """Stop all, side by side."""
        await asyncio.gather(self.captures.stop(deadline), *(self._stop(name, deadline) for name in tuple(self._running)))

    async def apply(self, group: asyncio.TaskGroup, config: Config, parts: tuple[str, ...]) -> None:
        """Take up those among `parts` that are collectors; the others keep their schedule."""
        if "host" in parts:
            await self._stop("host", _STOP_SECONDS)
            self._start_host(group, config)
        if "snmp" in parts:
            if self._snmp is not None and config.snmp.targets:
                self._snmp.apply(config.snmp)
            else:
                await self._stop("snmp", _STOP_SECONDS)
                self._start_snmp(group, config)
            if config.snmp != self._notified_by:
                await self._stop(NOTIFICATIONS, _STOP_SECONDS)
                self._start_notifications(group, config.snmp)
        if "capture" in parts:
            self.evidence.apply(config.capture, free_space_floor=config.store.free_space_floor)
            await self.captures.apply(group, config.capture, config.metering)

    def note_alerts(self, rows: list[Committed]) -> None:
        """What was committed: the packets behind it are looked for. Never waits."""
        self.evidence.note(rows)

    def snmp_status(self, name: str) -> TargetStatus | None:
        """How the poller sees one device; None while it does not."""
        return None if self._snmp is None else self._snmp.target_status(name)

    def snmp_ignored(self) -> Mapping[str, int]:
        """Datagrams from devices that were not believed, or lost on this machine, by reason."""
        return {} if self._snmp is None else self._snmp.ignored()

    def snmp_engine_changes(self) -> Mapping[str, int]:
        """How often a device's SNMPv3 engine restarted, went back or was replaced, by kind."""
        changes = Counter({} if self._snmp is None else self._snmp.engine_changes())
        if self._notifications is not None:
            changes.update({f"trap_{kind}": count for kind, count in self._notifications.engine_changes.items()})
        return changes

    def snmp_notifications(self) -> Mapping[str, int]:
        """Traps and informs passed on to the poller, by kind."""
        return {} if self._notifications is None else self._notifications.received

    def snmp_notifications_dropped(self) -> Mapping[str, int]:
        """What came to the port for notifications and went no further, by reason."""
        return {} if self._notifications is None else self._notifications.dropped

    def _start_notifications(self, group: asyncio.TaskGroup, config: SnmpConfig) -> None:
        self._notifications, self._notified_by = None, config
        if config.notifications.address:
            self._notifications = NotificationListener(
                config,
                state_dir=self._state_dir,
                clock=self._clock,
                random=self._random,
                notify=self._notify_device,
                clocks_of=self._clocks_of,
            )
            self._running[NOTIFICATIONS] = self._supervise(NOTIFICATIONS, self._notifications.run)
            self._running[NOTIFICATIONS].start(group)

    def _notify_device(self, name: str, notification: Notification) -> bool:
        return self._snmp is not None and self._snmp.notify(name, notification)

    def _clocks_of(self, engine_id: bytes) -> Sequence[EngineClock]:
        return () if self._snmp is None else self._snmp.clocks_of(engine_id)

    def _start_host(self, group: asyncio.TaskGroup, config: Config) -> None:
        host = HostCollector(config.host, sensor=self._sensor, state_dir=self._state_dir, clock=self._clock, emit=self._emit)
        self._running["host"] = self._supervise("host", host.run)
        self._running["host"].start(group)

    def _start_snmp(self, group: asyncio.TaskGroup, config: Config) -> None:
        self._snmp = None
        if config.snmp.targets:
            self._snmp = SnmpCollector(
                config.snmp,
                clock=self._clock,
                random=self._random,
                emit=self._emit,
                memory=DeviceMemory(self._state_dir / DEVICE_MEMORY, free_space_floor=config.store.free_space_floor),
            )
            self._running["snmp"] = self._supervise("snmp", self._snmp.run)
            self._running["snmp"].start(group)

    async def _stop(self, name: str, deadline: float) -> None:
        supervised = self._running.pop(name, None)
        if supervised is not None:
            await supervised.stop(deadline)

"""The host collector: reads this machine at every interval and hands on what changed.

Owns: the schedule, the facts (new listener, clock step, own interface down) and the order of what is emitted.
Refuses: the arithmetic, which is pure and stands beside it. psutil blocks, so each reading runs in a thread.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.host.config import HostConfig
from netmote.host.gauges import Totals, established_connections, in_order, rates, read_levels, read_totals
from netmote.host.listeners import Listener, Sockets, ephemeral_ports, read_sockets
from netmote.host.network_interfaces import NicReading, interface_batch, read_nics
from netmote.records.batch import Batch
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.records.host import HostRecord
from netmote.records.interface import OperStatus, is_link_fault

SOURCE = "host"
# Wall against monotonic clock; NTP slews by at most 500 ppm (adjtimex(2)), 0.005 s in 10 s, so 2 s is a step.
CLOCK_STEP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class HostReading:
    """Everything read at one instant."""

    wall_ns: int
    monotonic: float
    totals: Totals
    levels: dict[str, float]
    sockets: Sockets
    nics: dict[str, NicReading]


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What `netmote status` shows of this collector."""

    readings: int
    skipped: int  # intervals without a reading because the one before still ran
    last_reading_age_seconds: float | None
    last_reading_duration_seconds: float


class HostCollector:
    """Emits per interval, in this order: InterfaceBatch, FactBatch (when there are facts), HostRecord.

    The first reading is only the baseline. `run` ends by cancellation alone; anything psutil raises that is not expected
    is a bug and propagates to the supervisor.
    """

    def __init__(self, config: HostConfig, *, sensor: str, state_dir: Path, clock: Clock, emit: Callable[[Batch], None]) -> None:
        self._interval = config.interval
        self._sensor, self._state_dir, self._clock, self._emit = sensor, state_dir, clock, emit
        self._process = psutil.Process()
        self._ephemeral = ephemeral_ports()
        self._previous: HostReading | None = None
        self._fault: dict[str, bool] = {}  # interfaces seen up (False) or announced down (True)
        self._readings = self._skipped = 0
        self._duration = 0.0

    async def run(self) -> None:
        """Read at every interval until cancelled; a slot that passed while a reading ran is skipped, not queued."""
        slot = self._clock.monotonic()
        while True:
            began = self._clock.monotonic()
            reading = await asyncio.to_thread(self.read)
            self._duration = self._clock.monotonic() - began
            for batch in self.observe(reading):
                self._emit(batch)
            slot += self._interval
            behind = self._clock.monotonic() - slot
            if behind >= 0:
                missed = int(behind // self._interval) + 1
                self._skipped += missed
                slot += missed * self._interval
            await asyncio.sleep(max(0.0, slot - self._clock.monotonic()))

    def read(self) -> HostReading:
        """One reading. Blocks for tens of milliseconds (socket tables)."""
        wall_ns, monotonic = self._clock.now_ns(), self._clock.monotonic()
        return HostReading(
            wall_ns=wall_ns,
            monotonic=monotonic,
            totals=read_totals(self._process),
            levels=read_levels(self._process, self._state_dir),
            sockets=read_sockets(self._ephemeral),
            nics=read_nics(),
        )

    def observe(self, now: HostReading) -> list[Batch]:
        """Compare with the reading before and return what to emit. No I/O."""
        before, self._previous = self._previous, now
        self._readings += 1
        sensor = Entity(EntityKind.SENSOR, self._sensor)
        if before is None:
            facts = self._link_facts({}, now)
            return [FactBatch(SOURCE, now.wall_ns, now.wall_ns, tuple(facts))] if facts else []
        seconds = now.monotonic - before.monotonic
        step = (now.wall_ns - before.wall_ns) / NANOSECONDS_PER_SECOND - seconds
        duration_ns = round(seconds * NANOSECONDS_PER_SECOND)
        # Intervals touch, unless the wall clock was stepped between: then the interval ends now and is as long as it was.
        start_ns = before.wall_ns if abs(step) <= CLOCK_STEP_SECONDS else now.wall_ns - duration_ns
        facts = [
            Fact(
                sensor,
                "new_listener",
                now.wall_ns,
                float(listener.port),
                {"transport": listener.transport, "address": listener.address, "process": now.sockets.listeners[listener]},
            )
            for listener in _new_listeners(before.sockets, now.sockets)
        ]
        if abs(step) > CLOCK_STEP_SECONDS:
            facts.append(Fact(sensor, "clock_step", now.wall_ns, step))
        facts.extend(self._link_facts(before.nics, now))
        batches: list[Batch] = [
            interface_batch(
                before.nics, now.nics, sensor=self._sensor, start_ns=start_ns, end_ns=now.wall_ns, duration_ns=duration_ns
            )
        ]
        if facts:
            batches.append(FactBatch(SOURCE, start_ns, now.wall_ns, tuple(facts)))
        gauges = now.levels | rates(before.totals, now.totals, seconds)
        gauges["tcp_connections"] = established_connections(now.sockets.tcp_states)
        batches.append(HostRecord(SOURCE, start_ns, now.wall_ns, sensor, in_order(gauges)))
        return batches

    def _link_facts(self, before: dict[str, NicReading], now: HostReading) -> list[Fact]:
        """`interface_down` begins only for an interface that was seen up, and ends when it is up, switched off or gone."""
        facts: list[Fact] = []

        def fact(name: str, kind: str, value: float, **annotations: str) -> None:
            facts.append(Fact(Entity(EntityKind.INTERFACE, f"{self._sensor}/{name}"), kind, now.wall_ns, value, annotations))

        for name, nic in sorted(now.nics.items()):
            was = self._fault.get(name)
            is_fault = is_link_fault(nic.admin_status, nic.oper_status)
            if is_fault and was is False:
                self._fault[name] = True
                fact(name, "interface_down", 1.0, oper_status=nic.oper_status.name.lower(), if_alias=nic.if_alias)
            elif is_fault is False and was is not False and (was or nic.oper_status is OperStatus.UP):
                self._fault[name] = False
                fact(name, "interface_down", 0.0, oper_status=nic.oper_status.name.lower(), if_alias=nic.if_alias)
            if before and name not in before:
                fact(name, "interface_appeared", 1.0)
        for name in sorted(before.keys() - now.nics.keys()):
            if self._fault.pop(name, False):
                fact(name, "interface_down", 0.0, oper_status="gone")
            fact(name, "interface_vanished", 1.0)
        return facts

    def status(self) -> HostStatus:
        previous = self._previous
        return HostStatus(
            readings=self._readings,
            skipped=self._skipped,
            last_reading_age_seconds=None if previous is None else self._clock.monotonic() - previous.monotonic,
            last_reading_duration_seconds=self._duration,
        )


def _new_listeners(before: Sockets, now: Sockets) -> list[Listener]:
    return sorted(now.listeners.keys() - before.listeners.keys())

"""The SNMP collector: all configured devices, each on its own schedule, side by side.

Owns the back end and the bound on what is in flight. Refuses everything that concerns one device (`target`).
"""

import asyncio
from collections.abc import Callable
from random import Random

from netmote.clock import Clock
from netmote.records.batch import Batch
from netmote.snmp.config import SnmpConfig
from netmote.snmp.paced_session import SendWindow
from netmote.snmp.target import Backend, Target, TargetStatus


class SnmpCollector:
    """Polls until cancelled; one device's silence, bad credentials or bug never delays or stops the others.

    `emit` is called on the event loop, per poll with InterfaceBatch, FactBatch, DeviceRecord, in this order.
    """

    def __init__(
        self,
        config: SnmpConfig,
        *,
        clock: Clock,
        random: Random,
        emit: Callable[[Batch], None],
        backend: Backend | None = None,
    ) -> None:
        self._config, self._clock, self._random, self._emit, self._backend = config, clock, random, emit, backend
        self._targets: dict[str, Target] = {}

    async def run(self) -> None:
        """Poll every target until cancelled. Without targets it only waits, and pysnmp is never imported."""
        if not self._config.targets:
            await asyncio.Event().wait()
        backend = self._backend
        if backend is None:
            backend = await asyncio.to_thread(_pysnmp_backend, self._clock)
        window = SendWindow(self._config.max_in_flight)
        self._targets = {
            target.name: Target(
                target,
                interval=target.interval or self._config.interval,
                backend=backend,
                window=window,
                clock=self._clock,
                random=self._random,
                emit=self._emit,
            )
            for target in self._config.targets
        }
        try:
            async with asyncio.TaskGroup() as group:
                for target in self._targets.values():
                    group.create_task(target.run(), name=f"snmp:{target.config.name}")
        finally:
            await backend.close()

    def status(self) -> tuple[TargetStatus, ...]:
        """One entry a device, in the order of the configuration; empty before `run`."""
        return tuple(target.status() for target in self._targets.values())

    def target_status(self, name: str) -> TargetStatus | None:
        """The status of one device; None when it is not polled (yet)."""
        target = self._targets.get(name)
        return None if target is None else target.status()


def _pysnmp_backend(clock: Clock) -> Backend:
    """Imported in a thread and only when there is something to poll: it takes a fifth of a second and 15 MB."""
    from netmote.snmp.pysnmp_session import PysnmpBackend  # noqa: PLC0415

    return PysnmpBackend(clock=clock)

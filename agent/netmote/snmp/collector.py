"""The SNMP collector: all configured devices, each on its own schedule, side by side.

Owns the back end and the bound on what is in flight. Refuses everything that concerns one device (`target`).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from netmote.clock import Clock
from netmote.records.batch import Batch
from netmote.snmp.backends import Backends
from netmote.snmp.config import SnmpConfig, TargetConfig
from netmote.snmp.details.details_reader import DetailsReader
from netmote.snmp.device_line import Backend
from netmote.snmp.device_memory import DeviceMemory, RememberedDevice
from netmote.snmp.host_probe import HostProbe
from netmote.snmp.native.channel import EngineClock
from netmote.snmp.notification import Notification
from netmote.snmp.paced_session import SendWindow
from netmote.snmp.profiles.document import Profile
from netmote.snmp.profiles.loader import ProfileSet, load_profiles
from netmote.snmp.steady_train import SteadyTrain
from netmote.snmp.target import Target, schedule_phase
from netmote.snmp.target_status import TargetStatus

DETAILS_BEGUN_A_SECOND = 50  # devices; the first reading asks for everything
_DEVICES_A_TURN = 200  # of the loop, when what is known of them is gathered: a few milliseconds
SAVE_SECONDS = 300.0  # between two writes of what is known of devices, besides the one at the end


# Polls under way at once that have everything to learn: thousands of new devices would otherwise make each other late. One takes 3 ms of work
# and forty round trips; a device that is far away, or silent, gives its place to the next after a while.
FIRST_POLLS = 32
FIRST_POLL_HOLD_SECONDS = 0.5


class _Settings(NamedTuple):
    """What a device is polled with."""

    target: TargetConfig
    interval: float
    max_in_flight: int
    details: tuple[float, int, tuple[Profile, ...]]  # interval, bound on gauges, profiles


class _Polling(NamedTuple):
    """A device that is polled, and what it was begun with."""

    settings: _Settings
    window: SendWindow
    task: asyncio.Task[None]


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
        memory: DeviceMemory | None = None,
    ) -> None:
        """`memory` keeps what is learnt of devices over a restart; without it every start begins with nothing."""
        self._config, self._clock, self._random, self._emit, self._backend = config, clock, random, emit, backend
        self._memory = memory
        self._remembered: dict[str, RememberedDevice] | None = None  # of earlier targets, by name; None before it was loaded
        self._targets: dict[str, Target] = {}
        self._polling: dict[str, _Polling] = {}
        self._applied = asyncio.Event()
        self._own: Backends | None = None
        self._host_probe = HostProbe()
        self._gate = SendWindow(FIRST_POLLS, hold=FIRST_POLL_HOLD_SECONDS)
        self._train = SteadyTrain(SendWindow(config.max_in_flight), clock=clock)

    def apply(self, config: SnmpConfig) -> None:
        """Take up another configuration while running: only devices whose own settings changed are begun anew."""
        self._config = config
        self._applied.set()

    async def run(self) -> None:
        """Poll every target until cancelled."""
        self._targets, self._polling = {}, {}
        self._applied.set()
        backend = self._backend
        if backend is None:
            backend = self._own = Backends(clock=self._clock, random=self._random)
        try:
            self._remembered = {} if self._memory is None else dict(await asyncio.to_thread(self._memory.load))
            async with asyncio.TaskGroup() as group:
                if self._memory is not None:
                    group.create_task(self._remember(self._memory), name="snmp:memory")
                group.create_task(self._train.run(), name="snmp:train")
                while True:
                    await self._applied.wait()
                    self._applied.clear()
                    await self._settle(group, backend)
        finally:
            await backend.close()
            if self._memory is not None and self._remembered is not None:
                await asyncio.to_thread(self._memory.save, self._known())

    async def _remember(self, memory: DeviceMemory) -> None:
        """Write down what is known, from time to time. What could not be written is tried again then."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            for number, (name, target) in enumerate(tuple(self._targets.items())):
                if self._remembered is not None and (device := target.remembered) is not None:
                    self._remembered[name] = device
                if number % _DEVICES_A_TURN == 0:
                    await asyncio.sleep(0)
            await asyncio.to_thread(memory.save, dict(self._remembered or {}))

    def _known(self) -> dict[str, RememberedDevice]:
        """Of the devices of the configuration, what their targets know, or what was known before they were polled."""
        known = dict(self._remembered or {})
        known |= {name: device for name, target in self._targets.items() if (device := target.remembered) is not None}
        configured = {target.name for target in self._config.targets}
        return {name: device for name, device in known.items() if name in configured}

    async def _settle(self, group: asyncio.TaskGroup, backend: Backend) -> None:
        """Let what is polled be what the configuration names."""
        config = self._config
        profiles = await asyncio.to_thread(load_profiles, config.profiles if config.max_gauges else ())
        wanted = {
            each.name: _Settings(
                config.resolved(each),
                each.interval or config.interval,
                config.max_in_flight,
                (config.details_interval, config.max_gauges, profiles.profiles),
            )
            for each in config.targets
        }
        ending = [name for name, polling in self._polling.items() if wanted.get(name) != polling.settings]
        self._remembered = self._known()
        tasks = [self._polling.pop(name).task for name in ending]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        window = next((polling.window for polling in self._polling.values()), None) or SendWindow(config.max_in_flight)
        self._train.window = window
        for name, settings in wanted.items():
            if name not in self._polling:
                target = Target(
                    settings.target,
                    interval=settings.interval,
                    backend=backend,
                    window=window,
                    clock=self._clock,
                    random=self._random,
                    emit=self._emit,
                    details=None if not config.max_gauges else self._details_of(name, config, profiles),
                    host_probe=self._host_probe,
                    remembered=self._remembered.get(name),
                    train=self._train,
                    gate=self._gate,
                )
                self._targets[name] = target
                self._polling[name] = _Polling(settings, window, group.create_task(target.run(), name=f"snmp:{name}"))
        self._targets = {name: self._targets[name] for name in wanted}

    def _details_of(self, name: str, config: SnmpConfig, profiles: ProfileSet) -> Callable[[], DetailsReader]:
        """Many devices begin one after the other, each at its place in the interval of details ever after."""
        spread = min(config.details_interval, len(config.targets) / DETAILS_BEGUN_A_SECOND)
        return lambda: DetailsReader(
            name,
            interval=config.details_interval,
            profiles=profiles,
            max_gauges=config.max_gauges,
            clock=self._clock,
            keeps_stations=False,  # nobody asks for them here
            first_after=schedule_phase(name) * spread,
        )

    @property
    def steady_devices(self) -> int:
        """Devices that are polled together now, since each answers as it did."""
        return len(self._train)

    def notify(self, name: str, notification: Notification) -> bool:
        """Pass on what a device sent by itself; False when it is not polled (yet)."""
        target = self._targets.get(name)
        if target is None:
            return False
        target.notify(notification)
        return True

    def ignored(self) -> Mapping[str, int]:
        """Datagrams that were not believed or never arrived, by reason, since `run` began."""
        return {} if self._own is None else self._own.ignored

    def engine_changes(self) -> Mapping[str, int]:
        """How often what is known of a v3 engine was changed by its own authenticated word, by kind, since `run` began."""
        return {} if self._own is None else self._own.learnt

    def clocks_of(self, engine_id: bytes) -> Sequence[EngineClock]:
        """Clocks that a v3 engine of this id showed to polls, with the right digest."""
        return () if self._own is None else self._own.clocks_of(engine_id)

    def status(self) -> tuple[TargetStatus, ...]:
        """One entry a device, in the order of the configuration; empty before `run`."""
        return tuple(target.status() for target in self._targets.values())

    def target_status(self, name: str) -> TargetStatus | None:
        """The status of one device; None when it is not polled (yet)."""
        target = self._targets.get(name)
        return None if target is None else target.status()

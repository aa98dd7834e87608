"""The input for traps and informs: a port, what is believed of what comes there, and whose device it is about.

    socket ─► NotificationReceiver ─► queue (bounded) ─► device by address, proxied address or engine ─► Target.notify

Owns the loop between them, credentials that may change, and the addresses of devices. Refuses the meaning (`notifications`). Whoever
sends for no polled device is counted and ignored.
"""

import asyncio
import logging
import socket
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from netmote.clock import Clock
from netmote.snmp.config import SnmpConfig, TargetConfig
from netmote.snmp.credentials import Community, SecretMissing, UsmUser, reveal_community, reveal_credentials, reveal_user
from netmote.snmp.native.channel import EngineClock
from netmote.snmp.native.notification_receiver import NotificationReceiver, Received
from netmote.snmp.native.notification_socket import NotificationSocket, Source, host_of
from netmote.snmp.native.sender_limits import Remembered, SenderLimits
from netmote.snmp.notifications import Notify
from netmote.snmp.own_engine import begin_engine

if TYPE_CHECKING:
    from netmote.snmp.native.usm.receiver import OwnEngine, UsmReceiver

log = logging.getLogger(__name__)

COMPONENT: Final = "snmp_notifications"
QUEUE_ENTRIES: Final = 1_024
BURST_SECONDS: Final = 10.0  # of the rate, at once: a switch that restarts tells of all its ports
REFRESH_SECONDS: Final = 300.0  # secrets and host names are looked up again
_DATAGRAMS_A_WAKE: Final = 64  # about 2 ms of v3
_NOTICES_A_TURN: Final = 128  # more than come in a turn, so that the queue only holds what a stall leaves
_MOST_ENGINES: Final = 4_096


class _Credentials(NamedTuple):
    communities: frozenset[str]
    users: tuple[UsmUser, ...]


class NotificationListener:
    """Receives until cancelled. `notify` is called on the event loop, with the name of the device."""

    def __init__(
        self,
        config: SnmpConfig,
        *,
        state_dir: Path,
        clock: Clock,
        random: Random,
        notify: Notify,
        clocks_of: Callable[[bytes], Sequence[EngineClock]] = lambda _: (),
    ) -> None:
        """`clocks_of` gives the clocks that a v3 engine showed to polls: a sender whose clock went back is followed by them."""
        self._clocks_of = clocks_of
        self._config, self._state_dir, self._clock, self._random, self._notify = config, state_dir, clock, random, notify
        rate = config.notifications.rate
        self._receiver = NotificationReceiver(
            (),
            None,
            limits=SenderLimits(rate=rate, burst=rate * BURST_SECONDS),
            remembered=Remembered(),
            monotonic=clock.monotonic,
        )
        self._socket: NotificationSocket | None = None
        self._queue: deque[Received] = deque()
        self._arrived = asyncio.Event()
        self._own: OwnEngine | None = None
        self._credentials: _Credentials | None = None
        self._device_of: dict[str, str] = {}  # numeric address -> name
        self._engine_device: OrderedDict[bytes, str] = OrderedDict()
        # Devices whose word counts only with a digest.
        self._authenticated_only = frozenset(
            target.name for target in config.targets if target.user is not None and target.user.auth_protocol != "none"
        )
        self.received: Counter[str] = Counter()
        """Notifications passed on: trap, inform."""
        self._dropped: Counter[str] = Counter()
        self._kernel_drops = 0

    @property
    def port(self) -> int | None:
        """The port listened on; None while there is none."""
        return None if self._socket is None else self._socket.port

    @property
    def dropped(self) -> Mapping[str, int]:
        """Datagrams and notifications that went no further, by reason, since this object was made."""
        if self._socket is not None:
            self._kernel_drops = max(self._kernel_drops, self._socket.datagrams_dropped)
        kernel = Counter({"receive_buffer_full": self._kernel_drops} if self._kernel_drops else {})
        return self._receiver.dropped + self._dropped + kernel

    @property
    def engine_changes(self) -> Mapping[str, int]:
        """Senders of v3 traps whose clock or boots went back and were followed, by kind."""
        return self._receiver.resynchronised

    async def run(self) -> None:
        """Receive until cancelled. Raises Unavailable when the port or the state directory cannot be used."""
        loop = asyncio.get_running_loop()
        opened = NotificationSocket(self._config.notifications.address, self._config.notifications.port)
        try:
            await self._refresh()
            self._socket = opened
            loop.add_reader(opened.fileno(), self._drain, opened)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_fresh(), name=f"{COMPONENT}:refresh")
                group.create_task(self._pass_on(), name=f"{COMPONENT}:pass_on")
        finally:
            loop.remove_reader(opened.fileno())
            self._kernel_drops = max(self._kernel_drops, opened.datagrams_dropped)
            self._socket = None
            opened.close()

    def _drain(self, opened: NotificationSocket) -> None:
        receive, queue = self._receiver.receive, self._queue
        for _ in range(_DATAGRAMS_A_WAKE):
            try:
                came = opened.receive()
            except OSError:  # an ICMP error for an answer of ours: nobody waits for it any more
                self._dropped["answer_returned"] += 1
                continue
            if came is None:
                return
            datagram, source = came
            outcome = receive(datagram, host_of(source), has_room=len(queue) < QUEUE_ENTRIES)
            if outcome.reply:
                self._reply(opened, outcome.reply, source)
            if outcome.received is not None:
                queue.append(outcome.received)
                self._arrived.set()

    def _reply(self, opened: NotificationSocket, reply: bytes, source: Source) -> None:
        if not opened.send(reply, source):
            self._dropped["answer_not_sent"] += 1

    async def _pass_on(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                for _ in range(min(_NOTICES_A_TURN, len(self._queue))):
                    self._deliver(self._queue.popleft())
                await asyncio.sleep(0)

    def _deliver(self, received: Received) -> None:
        name = self._device(received)
        if name is None:
            self._dropped["unknown_device"] += 1
        elif name in self._authenticated_only and not received.is_authenticated:
            self._dropped["security_level"] += 1
        elif not self._notify(name, received.notification):
            self._dropped["not_polled"] += 1
        else:
            self.received["inform" if received.notification.is_confirmed else "trap"] += 1

    def _device(self, received: Received) -> str | None:
        """By the address it came from, else by the one that a proxy names (RFC 3584 section 3.1), else by an engine seen before."""
        name = self._device_of.get(received.source)
        if name is None:
            name = self._device_of.get(received.notification.trap_address)
        if not received.engine_id:
            return name
        if name is None:
            return self._engine_device.get(received.engine_id)
        if len(self._engine_device) >= _MOST_ENGINES and received.engine_id not in self._engine_device:
            self._engine_device.popitem(last=False)
        self._engine_device[received.engine_id] = name
        return name

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await self._refresh()

    async def _refresh(self) -> None:
        """Credentials and addresses as they are now. Raises Unavailable."""
        credentials = await asyncio.to_thread(self._reveal)
        if credentials != self._credentials:
            usm = await asyncio.to_thread(self._usm, credentials.users) if credentials.users else None
            self._receiver.renew(credentials.communities, usm)
            self._credentials = credentials
        self._device_of = await _addresses(self._config.targets)

    def _reveal(self) -> _Credentials:
        """All that can be had now: a secret that is missing is said, and stops only who needs it."""
        config = self._config.notifications
        communities: set[str] = set()
        users: dict[str, UsmUser] = {}
        missing: list[str] = []
        for reference in config.communities:
            try:
                communities.add(reveal_community(reference))
            except SecretMissing as error:
                missing.append(str(error))
        for each in config.users:
            try:
                users.setdefault(each.security_name, reveal_user(each))
            except SecretMissing as error:
                missing.append(str(error))
        for target in self._config.targets:
            try:
                revealed = reveal_credentials(target)
            except SecretMissing as error:
                missing.append(str(error))
                continue
            if isinstance(revealed, Community):
                communities.add(revealed.name)
            else:
                users.setdefault(revealed.security_name, revealed)
        if missing:
            log.warning("notifications under these are refused: %s", "; ".join(missing[:5]), extra={"component": COMPONENT})
        return _Credentials(frozenset(communities), tuple(users.values()))

    def _usm(self, users: Sequence[UsmUser]) -> "UsmReceiver":
        """Imported when there is a user: cryptography weighs 8 MB. Raises Unavailable."""
        from netmote.snmp.native.usm.keys import KeyRing  # noqa: PLC0415
        from netmote.snmp.native.usm.privacy import SaltCounter  # noqa: PLC0415
        from netmote.snmp.native.usm.receiver import OwnEngine, UsmReceiver  # noqa: PLC0415

        if self._own is None:
            engine_id, boots = begin_engine(self._state_dir)
            self._own = OwnEngine(engine_id, boots, self._clock.monotonic())
        return UsmReceiver(
            users,
            own=self._own,
            keys=KeyRing(),
            salts=SaltCounter(self._random),
            monotonic=self._clock.monotonic,
            clocks_of=self._clocks_of,
        )


async def _addresses(targets: Sequence[TargetConfig]) -> dict[str, str]:
    """Numeric addresses of the devices; of several devices at one address the first counts. A name without an address has none now."""
    loop = asyncio.get_running_loop()
    found: dict[str, str] = {}
    for target in targets:
        try:
            rows = await loop.getaddrinfo(target.address, target.port, type=socket.SOCK_DGRAM)
        except OSError:
            continue  # its poller says so
        for _, _, _, _, sockaddr in rows:
            found.setdefault(str(sockaddr[0]).partition("%")[0], target.name)
    return found

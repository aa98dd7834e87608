"""The NATS JetStream sink: each alert a message, delivered when the stream has acknowledged every one of a batch."""

import asyncio
from collections.abc import Mapping, Sequence

from nats.errors import Error as NatsError

from netmote.alerts.alert import Committed
from netmote.clock import Clock, SystemClock
from netmote.config.section import SecretReference
from netmote.errors import NetmoteError, PartialDelivery, Permanent, Retryable
from netmote.sinks.nats.config import NatsConfig
from netmote.sinks.nats.connection import Access, Connection, checked_seed
from netmote.sinks.nats.message import Message, alert_message, heartbeat_message
from netmote.sinks.tls import ClientTls, explained
from netmote.telemetry.heartbeat import Heartbeat

_SYSTEM_CLOCK = SystemClock()


class NatsSink:
    """Publishes CloudEvents to a stream. See `netmote.sinks.sink.Sink` for its life."""

    def __init__(self, config: NatsConfig, *, clock: Clock = _SYSTEM_CLOCK) -> None:
        self.name = config.name
        self._config = config
        self._clock = clock
        self._tls = ClientTls(config, sink=config.name)
        self._access: Access | None = None
        self._connection: Connection | None = None
        self._next_server = 0

    async def open(self) -> None:
        """Read secrets and certificates. Connects nowhere. Raises Retryable when one of them is not there (yet)."""
        if self._access is None:
            self._access = await asyncio.to_thread(self._read_access)

    async def deliver(self, batch: Sequence[Committed]) -> None:
        if not batch:
            return
        messages = []
        for committed in batch:
            messages.append(alert_message(committed, subject=self._config.subject, stream=self._config.stream))
            await asyncio.sleep(0)  # the loop gets its turn after each event
        verdicts = await self._within_timeout(messages)
        waiting = next((verdict for verdict in verdicts if isinstance(verdict, Retryable)), None)
        if waiting is not None:
            raise waiting
        rejected = {position: str(verdict) for position, verdict in enumerate(verdicts) if verdict is not None}
        if len(rejected) == len(batch):
            raise Permanent(rejected[0])
        if rejected:
            raise PartialDelivery(rejected)

    async def beat(self, heartbeat: Heartbeat) -> None:
        await self._within_timeout([heartbeat_message(heartbeat, subject=self._config.heartbeat_subject)], is_beat=True)

    def certificate_expiries(self) -> Mapping[str, int]:
        return self._tls.expiries

    async def close(self) -> None:
        self._access = None
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _within_timeout(self, messages: Sequence[Message], *, is_beat: bool = False) -> list[NetmoteError | None]:
        try:
            async with asyncio.timeout(self._config.timeout):
                connection = await self._connected()
                if is_beat:
                    await connection.announce(messages[0], within=self._config.timeout)
                    return []
                return await connection.publish(messages)
        except TimeoutError as error:
            raise await self._failed(f"{self._where} has not acknowledged within {self._config.timeout:g} s") from error
        except (Retryable, NatsError, OSError) as error:
            raise await self._failed(f"{self._where}: {explained(error, self._clock.now_ns())}") from error

    async def _failed(self, text: str) -> Retryable:
        """The next try reads secrets and certificates anew, and begins with the next server."""
        await self.close()
        self._next_server = (self._next_server + 1) % len(self._config.servers)
        return Retryable(text)

    @property
    def _where(self) -> str:
        return self._config.servers[self._next_server]

    async def _connected(self) -> Connection:
        """The connection, made anew when there is none to use. Tries each server once, beginning with the last that worked."""
        is_changed = self._config.is_encrypted and self._tls.is_changed()
        if self._connection is not None and self._connection.is_usable and not is_changed:
            return self._connection
        await self.close()
        within = self._config.timeout / len(self._config.servers)
        for _ in self._config.servers[1:]:
            try:
                return await self._connect(within)
            except (NatsError, OSError, Retryable) as error:
                await self._failed(str(error))
        return await self._connect(within)

    async def _connect(self, within: float) -> Connection:
        await self.open()
        assert self._access is not None
        # Kept before it is open: cancelled on the way, the next try closes it.
        connection = self._connection = Connection()
        await connection.open(self._where, self._access, name=self.name, within=within)
        return connection

    def _read_access(self) -> Access:
        """Blocks: runs in a thread."""
        config = self._config
        return Access(
            user=config.user,
            password=None if config.password is None else SecretReference(config.password).reveal(),
            nkey_seed=None if config.nkey_seed is None else checked_seed(SecretReference(config.nkey_seed).reveal().strip()),
            context=self._tls.context() if config.is_encrypted else None,
        )

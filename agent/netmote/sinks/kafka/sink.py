"""The Kafka sink: each alert a record, delivered when all in-sync replicas have acknowledged every one of a batch."""

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka.errors import KafkaError

from netmote.alerts.alert import Committed
from netmote.clock import Clock, SystemClock
from netmote.config.section import SecretReference
from netmote.errors import NetmoteError, PartialDelivery, Permanent, Retryable
from netmote.sinks.kafka.config import KafkaConfig
from netmote.sinks.kafka.connection import Access, Connection
from netmote.sinks.kafka.message import Message, alert_message, heartbeat_message
from netmote.sinks.tls import ClientTls, explained
from netmote.telemetry.heartbeat import Heartbeat

_SYSTEM_CLOCK = SystemClock()


class KafkaSink:
    """Produces CloudEvents. See `netmote.sinks.sink.Sink` for its life."""

    def __init__(self, config: KafkaConfig, *, clock: Clock = _SYSTEM_CLOCK) -> None:
        self.name = config.name
        self._config = config
        self._clock = clock
        self._is_encrypted = config.encryption == "tls"
        self._tls = ClientTls(config, sink=config.name)
        self._connection: Connection | None = None

    async def open(self) -> None:
        """Read password and certificates. Connects nowhere. Raises Retryable when one of them is not there (yet)."""
        await asyncio.to_thread(self._read_access)

    async def deliver(self, batch: Sequence[Committed]) -> None:
        if not batch:
            return
        messages = []
        for committed in batch:
            messages.append(alert_message(committed, topic=self._config.topic))
            await asyncio.sleep(0)  # the loop gets its turn after each event
        verdicts = await self._send(messages)
        rejected = {position: str(verdict) for position, verdict in enumerate(verdicts) if verdict is not None}
        if len(rejected) == len(batch):
            raise Permanent(rejected[0])
        if rejected:
            raise PartialDelivery(rejected)

    async def beat(self, heartbeat: Heartbeat) -> None:
        for verdict in await self._send([heartbeat_message(heartbeat, topic=self._config.heartbeat_topic)]):
            if verdict is not None:
                raise verdict

    def certificate_expiries(self) -> Mapping[str, int]:
        return self._tls.expiries

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _send(self, messages: Sequence[Message]) -> list[NetmoteError | None]:
        """A verdict for each message: none, or Permanent. Raises Retryable when any of them is to come again."""
        where = ", ".join(self._config.servers)
        try:
            async with asyncio.timeout(self._config.timeout):
                verdicts = await (await self._connected()).send_all(messages)
        except TimeoutError as error:
            await self.close()
            raise Retryable(f"{where}: not acknowledged within {self._config.timeout:g} s") from error
        except (KafkaError, OSError) as error:
            await self.close()
            raise Retryable(f"{where}: {explained(error, self._clock.now_ns())}") from error
        waiting = next((verdict for verdict in verdicts if isinstance(verdict, Retryable)), None)
        if waiting is not None:
            await self.close()
            raise waiting
        return verdicts

    async def _connected(self) -> Connection:
        """The connection, made anew when there is none to use: a batch that was cancelled leaves one that is not."""
        if self._connection is not None and self._connection.is_usable and not (self._is_encrypted and self._tls.is_changed()):
            return self._connection
        await self.close()
        connection = self._connection = Connection(self._config, await asyncio.to_thread(self._read_access))
        await connection.open()
        return connection

    def _read_access(self) -> Access:
        """Blocks: runs in a thread."""
        password = None if self._config.password is None else SecretReference(self._config.password).reveal()
        return Access(password, self._tls.context() if self._is_encrypted else None)

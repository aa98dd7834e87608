"""The MQTT sink: each alert a message with QoS 1, delivered when the broker has acknowledged every one of a batch with success."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence

import aiomqtt

from netmote.alerts.alert import Committed
from netmote.clock import Clock, SystemClock
from netmote.config.section import SecretReference
from netmote.errors import NetmoteError, PartialDelivery, Permanent, Retryable
from netmote.sinks.mqtt.config import MqttConfig
from netmote.sinks.mqtt.connection import Connection
from netmote.sinks.mqtt.message import Message, alert_message, heartbeat_message
from netmote.sinks.tls import ClientTls, explained
from netmote.telemetry.heartbeat import Heartbeat

_SYSTEM_CLOCK = SystemClock()


class MqttSink:
    """Publishes CloudEvents. See `netmote.sinks.sink.Sink` for its life."""

    def __init__(self, config: MqttConfig, *, clock: Clock = _SYSTEM_CLOCK) -> None:
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
        verdicts = await self._publish(messages)
        rejected = {position: str(verdict) for position, verdict in enumerate(verdicts) if verdict is not None}
        if len(rejected) == len(batch):
            raise Permanent(rejected[0])
        if rejected:
            raise PartialDelivery(rejected)

    async def beat(self, heartbeat: Heartbeat) -> None:
        for verdict in await self._publish([heartbeat_message(heartbeat, topic=self._config.heartbeat_topic)]):
            if verdict is not None:
                raise verdict

    def certificate_expiries(self) -> Mapping[str, int]:
        return self._tls.expiries

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _publish(self, messages: Sequence[Message]) -> list[NetmoteError | None]:
        """A verdict for each message: none, or Permanent. Raises Retryable when any of them is to come again."""
        where = self._config.destination
        try:
            async with asyncio.timeout(self._config.timeout):
                verdicts = await (await self._connected()).publish_all(messages)
        except TimeoutError as error:
            self._abort()
            raise Retryable(f"{where} has not acknowledged within {self._config.timeout:g} s") from error
        except (aiomqtt.MqttError, Retryable, OSError) as error:
            self._abort()
            raise Retryable(f"{where}: {explained(error, self._clock.now_ns())}") from error
        except asyncio.CancelledError:
            self._abort()  # acknowledgements would come to a batch that nobody asks for any more
            raise
        waiting = next((verdict for verdict in verdicts if isinstance(verdict, Retryable)), None)
        if waiting is not None:
            raise waiting
        return verdicts

    async def _connected(self) -> Connection:
        if self._connection is not None and self._connection.is_usable and not (self._is_encrypted and self._tls.is_changed()):
            return self._connection
        await self.close()
        password, context = await asyncio.to_thread(self._read_access)
        where = self._config.destination
        # Kept before it is open: cancelled on the way, `_abort` ends it.
        self._connection = Connection(
            where.host,
            where.port,
            client_id=self._config.client_id,
            user=self._config.user,
            password=password,
            context=context,
            within=self._config.timeout,
        )
        await self._connection.open()
        return self._connection

    def _abort(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def _read_access(self) -> tuple[str | None, ssl.SSLContext | None]:
        """Password and TLS context. Blocks: runs in a thread."""
        password = None if self._config.password is None else SecretReference(self._config.password).reveal()
        return password, self._tls.context() if self._is_encrypted else None

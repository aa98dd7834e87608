"""One producer's life: the only door to aiokafka.

aiokafka 0.14 tries for ever below `send`, waits for ever in `stop` when a broker is gone, and tells only its log why a broker could
not be reached. So a server is asked first by a connection of our own, everything is waited for within the sink's time-out, and
a producer that failed is taken apart (`close`) and replaced. What is reached into is named with SLF001 and held by tests.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordTooLargeError

from netmote.errors import NetmoteError, Permanent, Retryable
from netmote.sinks.byte_stream import ByteStream
from netmote.sinks.destination import Destination
from netmote.sinks.kafka.config import KafkaConfig
from netmote.sinks.kafka.message import HEADERS, Message

_CLOSE_SECONDS = 1.0
_TOO_LARGE = (MessageSizeTooLargeError, RecordTooLargeError)


@dataclass(frozen=True, slots=True)
class Access:
    """How this sensor shows who it is. Never printed."""

    password: str | None = None
    context: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return "Access(REDACTED)"


class Connection:
    """Sends messages and waits for their acknowledgements. For one use: `open`, `send_all`*, `close`."""

    def __init__(self, config: KafkaConfig, access: Access) -> None:
        self._config, self._access = config, access
        self._producer: Any = None
        self.is_usable = False

    async def open(self) -> None:
        """Connect. Raises KafkaError or OSError; call `close` in any case."""
        # Whatever it logs is raised to us as well, and it would say it at each of many tries.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        await _reach(self._config.destinations, self._access.context)
        config, access = self._config, self._access
        protocol = ("SASL_" if config.user is not None else "") + ("SSL" if access.context is not None else "PLAINTEXT")
        self._producer = AIOKafkaProducer(
            bootstrap_servers=[str(each) for each in config.destinations],
            client_id="netmote",
            acks="all",
            enable_idempotence=True,
            compression_type=None if config.compression == "none" else config.compression,
            max_request_size=config.max_message_size,
            request_timeout_ms=round(config.timeout * 1_000),
            security_protocol=protocol,
            ssl_context=access.context,
            sasl_mechanism=config.mechanism,
            sasl_plain_username=config.user,
            sasl_plain_password=access.password,
        )
        await self._producer.start()
        self.is_usable = True

    async def send_all(self, messages: Sequence[Message]) -> list[NetmoteError | None]:
        """A verdict for each message, in order. After any failure or cancellation this connection is not usable any more."""
        self.is_usable = False
        sent: list[asyncio.Future[Any] | NetmoteError] = []
        for message in messages:
            try:
                future = await self._producer.send(message.topic, message.value, key=message.key, headers=HEADERS)
            except _TOO_LARGE:
                sent.append(self._too_large(message))
            else:
                future.add_done_callback(_look_at)
                sent.append(future)
        verdicts = [
            each if isinstance(each, NetmoteError) else await self._verdict(each, message)
            for each, message in zip(sent, messages, strict=True)
        ]
        self.is_usable = not any(isinstance(verdict, Retryable) for verdict in verdicts)
        return verdicts

    async def close(self) -> None:
        """Within a second, whatever the brokers do. What was not acknowledged is not sent any more."""
        self.is_usable = False
        producer, self._producer = self._producer, None
        if producer is None:
            return
        producer._closed = True  # noqa: SLF001 - `stop` would wait until everything is sent
        sender = producer._sender.sender_task  # noqa: SLF001
        if sender is not None:
            sender.cancel()
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await producer.client.close()
                if sender is not None:
                    await asyncio.wait([sender])

    async def _verdict(self, future: asyncio.Future[Any], message: Message) -> NetmoteError | None:
        try:
            await asyncio.shield(future)
        except _TOO_LARGE:
            return self._too_large(message)
        except KafkaError as error:
            return Retryable(f"{type(error).__name__}: {str(error)[:200]}")
        return None

    def _too_large(self, message: Message) -> Permanent:
        return Permanent(f"{len(message.value)} bytes are more than the brokers take for one record")


async def _reach(servers: Sequence[Destination], context: ssl.SSLContext | None) -> None:
    """Until one accepts a connection. Raises the OSError of the last that does not: it says what is wrong with a certificate."""
    failure: OSError | None = None
    for server in servers:
        try:
            stream = await ByteStream.connect(server, context)
        except OSError as error:
            failure = error
        else:
            stream.abort()
            return
    if failure is not None:
        raise failure


def _look_at(done: asyncio.Future[Any]) -> None:
    """The failure of a record that nobody waits for any more is not lost: its batch comes again."""
    if not done.cancelled():
        done.exception()

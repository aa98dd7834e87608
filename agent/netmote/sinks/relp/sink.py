"""The RELP sink: RFC 5424 messages, delivered when the server has answered each one of a batch."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from netmote import __version__
from netmote.alerts.alert import Committed
from netmote.clock import Clock, SystemClock
from netmote.errors import Retryable
from netmote.sinks.byte_stream import ByteStream
from netmote.sinks.relp.config import RelpConfig
from netmote.sinks.relp.protocol import ProtocolError, Session
from netmote.sinks.syslog_message import alert_message, heartbeat_message
from netmote.sinks.tls import ClientTls, explained
from netmote.telemetry.heartbeat import Heartbeat

_SYSTEM_CLOCK = SystemClock()
_CLOSE_SECONDS = 1.0
# librelp's default window: a client that sends more unanswered frames only fills buffers.
_WINDOW = 128


class RelpSink:
    """Sends messages in one kept session. See `netmote.sinks.sink.Sink` for its life."""

    def __init__(self, config: RelpConfig, *, clock: Clock = _SYSTEM_CLOCK) -> None:
        self.name = config.name
        self._config = config
        self._clock = clock
        self._tls = ClientTls(config, sink=config.name)
        self._stream: ByteStream | None = None
        self._session = Session("")

    async def open(self) -> None:
        """Read the certificates. Connects nowhere. Raises Retryable when they are not there (yet)."""
        if self._config.encryption == "tls":
            await asyncio.to_thread(self._tls.context)

    async def deliver(self, batch: Sequence[Committed]) -> None:
        if not batch:
            return
        messages = []
        for committed in batch:
            messages.append(
                alert_message(committed, facility=self._config.facility_number, enterprise=self._config.enterprise_number)
            )
            await asyncio.sleep(0)  # the loop gets its turn after each message
        await self._send(messages)

    async def beat(self, heartbeat: Heartbeat) -> None:
        await self._send(
            [heartbeat_message(heartbeat, facility=self._config.facility_number, enterprise=self._config.enterprise_number)]
        )

    def certificate_expiries(self) -> Mapping[str, int]:
        return self._tls.expiries

    async def close(self) -> None:
        """End the session in order, so that the server need not wonder."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    with contextlib.suppress(OSError):
                        await stream.write(self._session.close())
                    await stream.close()
            except TimeoutError:
                stream.abort()

    async def _send(self, messages: Sequence[bytes]) -> None:
        try:
            async with asyncio.timeout(self._config.timeout):
                stream = await self._connected()
                for begin in range(0, len(messages), _WINDOW):
                    window = messages[begin : begin + _WINDOW]
                    await stream.write(b"".join(self._session.syslog(message) for message in window))
                    await self._wait_answered(stream)
        except TimeoutError as error:
            self._abort()
            raise Retryable(f"{self._config.destination} has not answered within {self._config.timeout:g} s") from error
        except (OSError, ProtocolError) as error:
            self._abort()
            raise Retryable(f"{self._config.destination}: {explained(error, self._clock.now_ns())}") from error
        except asyncio.CancelledError:
            self._abort()  # answers would come to a batch that nobody asks for any more
            raise

    async def _connected(self) -> ByteStream:
        is_encrypted = self._config.encryption == "tls"
        if self._stream is not None and self._stream.is_usable and not (is_encrypted and self._tls.is_changed()):
            return self._stream
        await self.close()
        context = await asyncio.to_thread(self._tls.context) if is_encrypted else None
        stream = self._stream = await ByteStream.connect(self._config.destination, context)
        self._session = Session(f"netmote,{__version__}")
        await stream.write(self._session.open())
        await self._wait_answered(stream)
        return stream

    async def _wait_answered(self, stream: ByteStream) -> None:
        while self._session.unanswered:
            self._session.receive(await stream.read())

    def _abort(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort()

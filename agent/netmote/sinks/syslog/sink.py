"""The syslog sink: RFC 5424 messages with the octet-counting frames of RFC 5425 section 4.3.1 (and RFC 6587 section 3.4.1).

There is no answer in this protocol. A batch counts as delivered when the receiver's machine has acknowledged its bytes and
has not ended the connection; a receiver that dies before it read them loses them. `relp` has acknowledgements.
"""

import asyncio
from collections.abc import Mapping, Sequence

from netmote.alerts.alert import Committed
from netmote.clock import Clock, SystemClock
from netmote.errors import Retryable
from netmote.sinks.byte_stream import ByteStream
from netmote.sinks.syslog.config import SyslogConfig
from netmote.sinks.syslog_message import alert_message, heartbeat_message
from netmote.sinks.tls import ClientTls, explained
from netmote.telemetry.heartbeat import Heartbeat

_SYSTEM_CLOCK = SystemClock()
_CLOSE_SECONDS = 1.0


class SyslogSink:
    """Sends syslog messages over one kept connection. See `netmote.sinks.sink.Sink` for its life."""

    def __init__(self, config: SyslogConfig, *, clock: Clock = _SYSTEM_CLOCK) -> None:
        self.name = config.name
        self._config = config
        self._clock = clock
        self._tls = ClientTls(config, sink=config.name)
        self._stream: ByteStream | None = None

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
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await stream.close()
            except TimeoutError:
                stream.abort()

    async def _send(self, messages: Sequence[bytes]) -> None:
        try:
            async with asyncio.timeout(self._config.timeout):
                stream = await self._connected()
                for message in messages:
                    await stream.write(framed(message))
                await stream.wait_taken()
        except TimeoutError as error:
            self._abort()
            raise Retryable(f"{self._config.destination} has not taken a batch within {self._config.timeout:g} s") from error
        except OSError as error:
            self._abort()
            raise Retryable(f"{self._config.destination}: {explained(error, self._clock.now_ns())}") from error
        except asyncio.CancelledError:
            self._abort()  # half a frame may be on its way: the next batch begins with a new connection
            raise

    async def _connected(self) -> ByteStream:
        is_encrypted = self._config.encryption == "tls"
        if self._stream is not None and self._stream.is_usable and not (is_encrypted and self._tls.is_changed()):
            return self._stream
        await self.close()
        context = await asyncio.to_thread(self._tls.context) if is_encrypted else None
        self._stream = await ByteStream.connect(self._config.destination, context)
        return self._stream

    def _abort(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort()


def framed(message: bytes) -> bytes:
    """RFC 5425 section 4.3: MSG-LEN SP SYSLOG-MSG."""
    return b"%d %s" % (len(message), message)

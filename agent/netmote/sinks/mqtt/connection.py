"""One connection to an MQTT broker: the only door to aiomqtt and the paho client inside it.

aiomqtt 2.5 reports success whatever reason code a PUBACK carries, never reconnects, and leaves the socket open when connecting
fails half-way. So the acknowledgements are taken here, below its `publish`; a connection that failed is replaced by a new one;
and `abort` closes the socket. What is reached into is named with SLF001 and held by tests against a real broker.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from typing import Any

import aiomqtt
from paho.mqtt.client import MQTT_ERR_SUCCESS, error_string
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from netmote.errors import NetmoteError, Permanent, Retryable
from netmote.sinks.mqtt.message import Message, judge

MEDIA_TYPE = "application/cloudevents+json"  # CloudEvents MQTT protocol binding 1.0, structured content mode
_CLOSE_SECONDS = 1.0
# Fixed header, packet identifier, property lengths and the content type: what a PUBLISH has beside topic and payload.
_OVERHEAD = 64
# So many are with paho at once: it writes them, and reads their acknowledgements, without giving the loop its turn (0.1 ms each).
_WINDOW = 64


class Connection(aiomqtt.Client):
    """Publishes messages with QoS 1 and waits for their acknowledgements. For one use: `open`, `publish_all`*, `close`."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        client_id: str,
        user: str | None,
        password: str | None,
        context: ssl.SSLContext | None,
        within: float,
    ) -> None:
        """`within`: seconds for each step of connecting."""
        super().__init__(
            host,
            port,
            username=user,
            password=password,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            tls_context=context,
            timeout=within,
            keepalive=30,
            max_queued_incoming_messages=1,  # nothing is subscribed to
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        self._client.connect_timeout = within
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._maximum_packet: int | None = None
        self._refusal: OSError | None = None
        self._is_given_up = False
        self._is_up = False
        self._is_proven = False

    @property
    def is_usable(self) -> bool:
        """Whether it was opened and has not been lost since."""
        return self._is_up and not self._disconnected.done()

    async def open(self) -> None:
        """Connect. Raises aiomqtt.MqttError or OSError; call `close` in any case, also when cancelled."""
        try:
            await self.__aenter__()
        except aiomqtt.MqttError as error:
            # aiomqtt keeps only the words of what failed, and so hides a certificate that is wrong by this machine's clock.
            if self._refusal is not None:
                raise self._refusal from error
            raise
        self._is_up = True

    async def publish_all(self, messages: Sequence[Message]) -> list[NetmoteError | None]:
        """A verdict for each message, in order. Raises Retryable when the connection is lost before all are there.

        The first one of a connection goes alone: a broker that refuses it (mosquitto 2.0 ends the connection then) can say why, and
        one that throws alerts away because nobody subscribes is not sent the rest.
        """
        head: list[NetmoteError | None] = []
        if not self._is_proven:
            head = await self._publish_together(messages[:1])
            if isinstance(head[0], Retryable):
                raise head[0]
            self._is_proven = True
        verdicts = head
        for begin in range(len(head), len(messages), _WINDOW):
            verdicts += await self._publish_together(messages[begin : begin + _WINDOW])
        return verdicts

    async def _publish_together(self, messages: Sequence[Message]) -> list[NetmoteError | None]:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = MEDIA_TYPE
        answers: list[asyncio.Future[int] | NetmoteError] = []
        try:
            for message in messages:
                answers.append(self._publish_one(message, properties))  # noqa: PERF401 - kept up to the one that fails
            return [
                each if isinstance(each, NetmoteError) else judge(await each, topic=message.topic)
                for each, message in zip(answers, messages, strict=True)
            ]
        finally:
            self._answers.clear()
            for each in answers:
                if isinstance(each, asyncio.Future) and not each.cancel() and not each.cancelled():
                    each.exception()  # seen: the first failure was raised

    async def close(self) -> None:
        """Say good-bye when there is somebody to hear it; the socket is closed within a second."""
        if self.is_usable:
            with contextlib.suppress(aiomqtt.MqttError, TimeoutError, OSError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self.__aexit__(None, None, None)
        self.abort()

    def abort(self) -> None:
        """Close the socket at once, or as soon as the thread that still connects has one."""
        self._is_given_up, self._is_up = True, False
        if self._client.socket() is not None:
            self._client._sock_close()  # noqa: SLF001
        if self._disconnected.done():
            self._disconnected.exception()  # seen

    def _publish_one(self, message: Message, properties: Properties) -> "asyncio.Future[int] | NetmoteError":
        size = len(message.payload) + len(message.topic.encode()) + _OVERHEAD
        if self._maximum_packet is not None and size > self._maximum_packet:
            return Permanent(f"{size} bytes, and the broker takes packets of {self._maximum_packet}")
        info = self._client.publish(message.topic, message.payload, 1, False, properties)
        if info.rc != MQTT_ERR_SUCCESS:
            raise Retryable(error_string(info.rc))
        answer = self._answers[info.mid] = asyncio.get_running_loop().create_future()
        return answer

    def _client_connect(self) -> None:
        """Runs in a thread of aiomqtt's `__aenter__`, which cannot be cancelled."""
        try:
            super()._client_connect()
        except OSError as error:
            self._refusal = error
            raise
        if self._is_given_up:
            self._loop.call_soon_threadsafe(self.abort)

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        self._maximum_packet = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:  # noqa: ARG002
        answer = self._answers.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result(int(reason_code.value))

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        if not self._connected.done():  # aiomqtt would wait for its time-out
            self._connected.set_exception(aiomqtt.MqttError(f"the broker has ended the connection: {reason_code}"))
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Retryable(f"the broker has ended the connection: {reason_code}"))

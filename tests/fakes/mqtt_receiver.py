"""The MQTT sink, a real mosquitto and a subscriber, for the contract suite."""

import asyncio
import ssl
from typing import Any

from mosquitto_broker import Mosquitto, Subscriber
from sink_certificates import Pair
from sink_receiver import Receiver, TlsReceiver

from netmote.sinks.mqtt.config import MqttConfig
from netmote.sinks.mqtt.sink import MqttSink


class MqttReceiver(Receiver):
    can_restart = True

    async def start(self) -> None:
        self.broker = self.make_broker()
        self.broker.start()
        self.subscriber = Subscriber(self.broker.port, tls=self.trust())
        await self.subscriber.start()
        where = f"127.0.0.1:{self.broker.port}"
        self.sink = MqttSink(MqttConfig(type="mqtt", server=where, timeout=self.timeout, **self.fields()))

    def make_broker(self, port: int = 0) -> Mosquitto:
        return Mosquitto(self.folder / "mosquitto", port=port)

    def trust(self) -> ssl.SSLContext | None:
        """How the subscriber connects."""
        return None

    def fields(self) -> dict[str, Any]:
        return {"encryption": "none"}

    async def stop(self) -> None:
        self.broker.kill()
        await self.subscriber.stop()

    async def restart(self) -> None:
        self.broker.kill()
        await self.subscriber.wait_lost()
        self.broker.start()
        await self.subscriber.wait_subscribed()

    async def _events(self) -> list[dict[str, Any]]:
        """The broker acknowledges before the subscriber has it: wait until nothing more comes."""
        count, quiet = 0, 0
        while quiet < 10:
            await asyncio.sleep(0.01)
            quiet = quiet + 1 if count == len(self.subscriber.events) else 0
            count = len(self.subscriber.events)
        return self.subscriber.events

    async def received(self) -> list[str]:
        return list(dict.fromkeys(event["id"] for event in await self._events() if ".alert." in event["type"]))

    async def beats(self) -> list[int]:
        return [event["data"]["number"] for event in await self._events() if ".heartbeat." in event["type"]]

    async def hang(self) -> None:
        self.broker.freeze()

    async def be_slow(self) -> None:
        self.broker.freeze()
        self.broker.thaw_later(self.timeout / 3)

    async def fail(self) -> None:
        self.broker.kill()
        await self.subscriber.wait_lost()

    async def recover(self) -> None:
        if not self.broker.is_running:
            self.broker.start()
        self.broker.thaw()
        await self.subscriber.wait_subscribed()


class TlsMqttReceiver(MqttReceiver, TlsReceiver):
    def make_broker(self, port: int = 0) -> Mosquitto:
        return Mosquitto(self.folder / "mosquitto", port=port, pair=self.certificate)

    def trust(self) -> ssl.SSLContext | None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def fields(self) -> dict[str, Any]:
        return {"ca_file": self.authority.file}

    async def present(self, certificate: Pair) -> None:
        self.certificate = certificate
        self.broker.kill()
        await self.subscriber.wait_lost()
        self.broker = self.make_broker(self.broker.port)
        self.broker.start()
        await self.subscriber.wait_subscribed()

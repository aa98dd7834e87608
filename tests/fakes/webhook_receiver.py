"""The webhook and a collector that commits before it answers, for the contract suite."""

from collections.abc import Sequence

from collector import Collector
from sink_certificates import Pair
from sink_receiver import Receiver, TlsReceiver

from netmote.sinks.webhook.config import WebhookConfig
from netmote.sinks.webhook.sink import WebhookSink


class WebhookReceiver(Receiver):
    can_refuse = can_refuse_some = can_restart = True

    async def start(self) -> None:
        self.collector = Collector(self.folder / "collector.db")
        await self.collector.start()
        self.sink = WebhookSink(WebhookConfig(type="webhook", url=self.collector.url, timeout=self.timeout))

    async def stop(self) -> None:
        await self.collector.stop()

    async def restart(self) -> None:
        await self.collector.stop()
        await self.collector.start()

    async def received(self) -> list[str]:
        return [event["id"] for event in self.collector.events if event["type"].startswith("io.netmote.alert.")]

    async def beats(self) -> list[int]:
        return [event["data"]["number"] for event in self.collector.events if event["type"] == "io.netmote.heartbeat.v1"]

    async def hang(self) -> None:
        self.collector.behave(delay=30.0, times=-1)

    async def be_slow(self) -> None:
        self.collector.behave(delay=self.timeout / 3, times=-1)

    async def recover(self) -> None:
        self.collector.behave(times=0)

    async def refuse(self, *, ids: Sequence[str] | None = None) -> None:
        if ids is None:
            self.collector.behave(status=400, body="no", times=-1)
        else:
            self.collector.behave(reject=list(ids), times=-1)

    async def fail(self) -> None:
        self.collector.behave(status=503, times=-1)


class TlsWebhookReceiver(TlsReceiver, WebhookReceiver):
    async def start(self) -> None:
        self.collector = Collector(self.folder / "collector.db", ssl_context=self.authority.context_of(self.certificate))
        await self.collector.start()
        config = WebhookConfig(type="webhook", url=self.collector.url, timeout=self.timeout, ca_file=self.authority.file)
        self.sink = WebhookSink(config)

    async def present(self, certificate: Pair) -> None:
        await self.collector.stop()
        self.collector.ssl_context = self.authority.context_of(certificate)
        await self.collector.start()

"""The OTLP sink and a receiver, for the contract suite."""

import json
from collections.abc import Sequence

from otlp_server import OtlpServer, attributes
from sink_certificates import Pair
from sink_receiver import Receiver, TlsReceiver

from netmote.sinks.otlp.config import OtlpConfig
from netmote.sinks.otlp.sink import OtlpSink


class OtlpReceiver(Receiver):
    can_refuse = can_restart = True

    async def start(self) -> None:
        self.server = OtlpServer()
        await self.server.start()
        self.sink = OtlpSink(OtlpConfig(type="otlp", url=self.server.url, timeout=self.timeout))

    async def stop(self) -> None:
        await self.server.stop()

    async def restart(self) -> None:
        await self.server.stop()
        await self.server.start()

    async def received(self) -> list[str]:
        ids = [attributes(record).get("event.id") for record in self.server.records]
        return list(dict.fromkeys(each for each in ids if each is not None))

    async def beats(self) -> list[int]:
        beats = [record for record in self.server.records if record.event_name == "io.netmote.heartbeat"]
        return [json.loads(record.body.string_value)["number"] for record in beats]

    async def hang(self) -> None:
        self.server.delay = 30.0

    async def be_slow(self) -> None:
        self.server.delay = self.timeout / 3

    async def fail(self) -> None:
        self.server.status = 503

    async def refuse(self, *, ids: Sequence[str] | None = None) -> None:
        """OTLP cannot name the rows it rejects."""
        assert ids is None
        self.server.status = 400

    async def recover(self) -> None:
        self.server.status, self.server.delay = 200, 0.0


class TlsOtlpReceiver(TlsReceiver, OtlpReceiver):
    async def start(self) -> None:
        self.server = OtlpServer(ssl_context=self.authority.context_of(self.certificate))
        await self.server.start()
        config = OtlpConfig(type="otlp", url=self.server.url, timeout=self.timeout, ca_file=self.authority.file)
        self.sink = OtlpSink(config)

    async def present(self, certificate: Pair) -> None:
        await self.server.stop()
        self.server.ssl_context = self.authority.context_of(certificate)
        await self.server.start()

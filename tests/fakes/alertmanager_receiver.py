"""The Alertmanager sink and Debian's Alertmanager, for the contract suite."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from alertmanager_server import HEARTBEAT, AlertmanagerServer
from sink_certificates import Pair
from sink_receiver import Receiver, TlsReceiver

from netmote.alerts.alert import Committed
from netmote.sinks.alertmanager.config import AlertmanagerConfig
from netmote.sinks.alertmanager.sink import AlertmanagerSink


class TellingSink(AlertmanagerSink):
    """What delivery does beside `deliver`: it says what is active before. Every alert of the suite that it was given is."""

    def __init__(self, config: AlertmanagerConfig) -> None:
        super().__init__(config)
        self._given: dict[str, Committed] = {}

    async def deliver(self, batch: Sequence[Committed]) -> None:
        self._given |= {row.alert.alert_id: row for row in batch}
        await self.learn(list(self._given.values()))
        await super().deliver(batch)


class AlertmanagerReceiver(Receiver):
    can_restart = True

    async def start(self) -> None:
        self.server = self._made()
        await asyncio.to_thread(self.server.start)
        self.sink = TellingSink(self._config())

    def _made(self) -> AlertmanagerServer:
        return AlertmanagerServer(self.folder / "alertmanager")

    def _config(self, **fields: Path) -> AlertmanagerConfig:
        return AlertmanagerConfig(type="alertmanager", url=self.server.url, timeout=self.timeout, **fields)

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.kill)

    async def restart(self) -> None:
        """In good order it keeps nothing either: alerts are in its memory. So it is told them again, as delivery does."""
        held = self.sink
        await self.stop()
        await asyncio.to_thread(self.server.start)
        await held.resend()

    async def received(self) -> list[str]:
        alerts = await asyncio.to_thread(self.server.alerts)
        return [each["annotations"]["event_id"] for each in alerts if each["labels"]["alertname"] != HEARTBEAT]

    async def beats(self) -> list[int]:
        """The last one only: it is the state."""
        alerts = await asyncio.to_thread(self.server.alerts)
        return [int(each["annotations"]["number"]) for each in alerts if each["labels"]["alertname"] == HEARTBEAT]

    async def hang(self) -> None:
        self.server.freeze()

    async def be_slow(self) -> None:
        self.server.freeze()
        self.server.thaw_later(self.timeout / 3)

    async def fail(self) -> None:
        self.server.kill()

    async def recover(self) -> None:
        self.server.thaw()
        if not self.server.is_running:
            await asyncio.to_thread(self.server.start)


class TlsAlertmanagerReceiver(TlsReceiver, AlertmanagerReceiver):
    def _made(self) -> AlertmanagerServer:
        files = {"cert_file": str(self.certificate.certificate), "key_file": str(self.certificate.key)}
        return AlertmanagerServer(self.folder / "alertmanager", web_config={"tls_server_config": files})

    def _config(self, **fields: Path) -> AlertmanagerConfig:
        return super()._config(ca_file=self.authority.file, **fields)

    async def present(self, certificate: Pair) -> None:
        """Its own files, replaced: it reads them for each connection."""
        self.certificate.certificate.write_bytes(certificate.certificate.read_bytes())
        self.certificate.key.write_bytes(certificate.key.read_bytes())

"""The syslog and the RELP sink with a real rsyslogd, for the contract suite."""

import asyncio
import re
from typing import Any, ClassVar

from rsyslog_server import RsyslogServer
from sink_certificates import Pair
from sink_receiver import Receiver, TlsReceiver

from netmote.sinks.relp.config import RelpConfig
from netmote.sinks.relp.sink import RelpSink
from netmote.sinks.sink import Sink
from netmote.sinks.syslog.config import SyslogConfig
from netmote.sinks.syslog.sink import SyslogSink

_BEAT = re.compile(rb'\[heartbeat@\d+ number="(\d+)"')


class RelpReceiver(Receiver):
    can_restart = True
    module: ClassVar[str] = "imrelp"

    async def start(self) -> None:
        self.server = self.make_server()
        self.server.start()
        self.sink = self.make_sink({"server": f"127.0.0.1:{self.server.port}", "timeout": self.timeout, **self.fields()})

    def make_server(self, port: int = 0) -> RsyslogServer:
        return RsyslogServer(self.folder / "rsyslog", self.module, port=port)

    def make_sink(self, fields: dict[str, Any]) -> Sink:
        return RelpSink(RelpConfig(type="relp", **fields))

    def fields(self) -> dict[str, Any]:
        return {"encryption": "none"}

    async def stop(self) -> None:
        self.server.kill()

    async def restart(self) -> None:
        self.server.kill()
        self.server.start()

    async def received(self) -> list[str]:
        return list(dict.fromkeys(self.server.event_ids))

    async def beats(self) -> list[int]:
        return [int(match[1]) for message in self.server.messages if (match := _BEAT.search(message))]

    async def hang(self) -> None:
        self.server.freeze()

    async def be_slow(self) -> None:
        self.server.freeze()
        self.server.thaw_later(self.timeout / 3)

    async def fail(self) -> None:
        self.server.kill()

    async def recover(self) -> None:
        if not self.server.is_running:
            self.server.start()
        self.server.thaw()


class SyslogReceiver(RelpReceiver):
    """Without acknowledgements: what was delivered may be written a moment later, and a receiver that hangs takes it all the same."""

    can_hang = False
    module = "imtcp"

    def make_sink(self, fields: dict[str, Any]) -> Sink:
        return SyslogSink(SyslogConfig(type="syslog", **fields))

    async def received(self) -> list[str]:
        await self._quiet()
        return await super().received()

    async def beats(self) -> list[int]:
        await self._quiet()
        return await super().beats()

    async def restart(self) -> None:
        await self._quiet()
        await super().restart()

    async def _quiet(self) -> None:
        """Until nothing more was written for a moment."""
        last, since = -1, 0
        while since < 10:
            await asyncio.sleep(0.005)
            size = self.server.output.stat().st_size if self.server.output.exists() else 0
            last, since = size, since + 1 if size == last else 0


class TlsRelpReceiver(RelpReceiver, TlsReceiver):
    """The server asks for a certificate too."""

    def make_server(self, port: int = 0) -> RsyslogServer:
        return RsyslogServer(
            self.folder / "rsyslog", self.module, port=port, authority=self.authority.file, pair=self.certificate
        )

    def fields(self) -> dict[str, Any]:
        client = self.authority.issue("sensor")
        return {"ca_file": self.authority.file, "client_certificate": client.certificate, "client_key": client.key}

    async def present(self, certificate: Pair) -> None:
        self.certificate = certificate
        self.server.kill()
        self.server = self.make_server(self.server.port)
        self.server.start()


class TlsSyslogReceiver(SyslogReceiver, TlsRelpReceiver):
    """The same without acknowledgements."""

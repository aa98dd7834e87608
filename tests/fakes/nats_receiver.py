"""The NATS sink and a real server, for the contract suite."""

import json
import ssl
from collections.abc import Sequence
from typing import Any

from nats_servers import STREAM, NatsServer, connected, make_stream, stored_events
from sink_certificates import Pair
from sink_receiver import Receiver, TlsReceiver

from netmote.sinks.nats.config import NatsConfig
from netmote.sinks.nats.sink import NatsSink

_BEATS = "BEATS"


class NatsReceiver(Receiver):
    can_refuse = True
    can_restart = True

    async def start(self) -> None:
        self.server = NatsServer(self.folder / "nats", extra=self.extra())
        self.server.start()
        await make_stream(self.server.url, **self.access())
        async with connected(self.server.url, **self.access()) as client:
            await client.jetstream().add_stream(name=_BEATS, subjects=["netmote.heartbeats.>"])
        self.sink = NatsSink(NatsConfig(type="nats", **self.fields()))

    def extra(self) -> str:
        """More of the server's configuration."""
        return ""

    def access(self) -> dict[str, Any]:
        """How the test itself connects."""
        return {}

    def fields(self) -> dict[str, Any]:
        """The sink's configuration."""
        return {"servers": (self.server.url,), "timeout": self.timeout}

    async def stop(self) -> None:
        self.server.kill()

    async def restart(self) -> None:
        self.server.kill()
        self.server.start()

    async def received(self) -> list[str]:
        return [str(event["id"]) for event in await stored_events(self.server.url, **self.access())]

    async def beats(self) -> list[int]:
        async with connected(self.server.url, **self.access()) as client:
            stream = client.jetstream()
            state = (await stream.stream_info(_BEATS)).state
            found = [await stream.get_msg(_BEATS, number) for number in range(state.first_seq, state.last_seq + 1)]
        return [json.loads(message.data)["data"]["number"] for message in found if message.data]

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
        await self._set(max_msg_size=100_000)

    async def refuse(self, *, ids: Sequence[str] | None = None) -> None:
        """No alert is small enough. A real server refuses by size and not by id."""
        assert ids is None
        await self._set(max_msg_size=100)

    async def _set(self, **changes: object) -> None:
        async with connected(self.server.url, **self.access()) as client:
            stream = client.jetstream(timeout=2)
            await stream.update_stream((await stream.stream_info(STREAM)).config, **changes)


class TlsNatsReceiver(NatsReceiver, TlsReceiver):
    def extra(self) -> str:
        return f'tls {{ cert_file: "{self.certificate.certificate}", key_file: "{self.certificate.key}" }}'

    def access(self) -> dict[str, Any]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return {"tls": context}

    def fields(self) -> dict[str, Any]:
        url = self.server.url.replace("nats://", "tls://")
        return {"servers": (url,), "timeout": self.timeout, "ca_file": self.authority.file}

    async def present(self, certificate: Pair) -> None:
        self.certificate = certificate
        self.server.kill()
        self.server = NatsServer(self.folder / "nats", port=self.server.port, extra=self.extra())
        self.server.start()

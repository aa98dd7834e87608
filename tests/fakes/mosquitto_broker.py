"""A real mosquitto on loopback, and a subscriber that keeps what it gets over restarts of the broker."""

import asyncio
import contextlib
import json
import logging
import shutil
import ssl
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from server_process import ServerProcess, low_port
from sink_certificates import Pair


class Mosquitto(ServerProcess):
    """One broker that writes its state after every message it queues: as durable as it gets."""

    def __init__(
        self, folder: Path, *, port: int = 0, pair: Pair | None = None, authority: Path | None = None, extra: str = ""
    ) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        if not Path(program).exists():
            pytest.skip("mosquitto is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        port = port or low_port()
        lines = [
            f"listener {port} 127.0.0.1",
            "allow_anonymous true" if "password_file" not in extra else "",
            f"persistence true\npersistence_location {folder}/\nautosave_interval 1\nautosave_on_changes true",
            "user root\nmax_queued_messages 0\nset_tcp_nodelay true\nlog_type error\nlog_type warning",
            f"certfile {pair.certificate}\nkeyfile {pair.key}" if pair else "",
            f"cafile {authority}\nrequire_certificate true" if pair and authority else "",
            extra,
        ]
        configuration = folder / "mosquitto.conf"
        configuration.write_text("\n".join(lines) + "\n")
        super().__init__([program, "-c", str(configuration)], port=port, log=folder / "mosquitto.log")


class Subscriber:
    """Collects every event under `netmote/`, in a session that outlives connections."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None, **access: Any) -> None:
        self.events: list[dict[str, Any]] = []
        self._port, self._tls, self._access = port, tls, access
        self._subscribed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._listen())
        await self.wait_subscribed()

    async def wait_subscribed(self) -> None:
        await asyncio.wait_for(self._subscribed.wait(), 60)

    async def wait_lost(self) -> None:
        """Until it has noticed that the broker is gone."""
        async with asyncio.timeout(60):
            while self._subscribed.is_set():  # noqa: ASYNC110 - an event has no wait for the opposite
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3_600
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1",
                    self._port,
                    identifier="collector",
                    protocol=aiomqtt.ProtocolVersion.V5,
                    clean_start=False,
                    properties=session,
                    tls_context=self._tls,
                    timeout=2,
                    logger=logging.getLogger("subscriber"),
                    **self._access,
                ) as client:
                    await client.subscribe("netmote/#", qos=1)
                    self._subscribed.set()
                    async for message in client.messages:
                        self.events.append(json.loads(message.payload))
            self._subscribed.clear()
            await asyncio.sleep(0.02)

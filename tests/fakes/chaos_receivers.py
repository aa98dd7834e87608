"""What the chaos run delivers to: real servers in processes of their own, and what each of them has in the end."""

import asyncio
import contextlib
import re
import sqlite3
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nats
from alertmanager_server import HEARTBEAT, AlertmanagerServer
from chaos_daemon import POISON
from nats.js.api import AckPolicy, ConsumerConfig
from nats_servers import STREAM, NatsCluster, NatsServer, connected, make_stream
from rsyslog_server import RsyslogServer
from sample_alert import sample_alert
from server_process import ServerProcess, low_port

from netmote.alerts.alert import Committed
from netmote.sinks.cloudevents import encode_event

FAKES = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Arrival:
    """One alert revision as a receiver has it."""

    event_id: str
    ledger_epoch: str
    seq: int


class ChaosReceiver(ABC):
    """Some servers that are killed, the sink that delivers to them, and what arrived."""

    name: str
    refuses_poison = True
    # Whether the receiver itself drops repetitions, so that none may be in what arrived.
    drops_repetitions = False
    servers: dict[str, ServerProcess]
    # Processes that are needed and never killed.
    helpers: Sequence[ServerProcess] = ()
    # Its connections are broken and its server lives on: see `chaos_brokers`. By freezing it, where nothing stands in between.
    only_disconnects = False
    is_frozen = False
    # Of one that is told the present state: how often.
    resend_seconds: float | None = None

    @property
    @abstractmethod
    def sink(self) -> dict[str, Any]:
        """Its part of the configuration."""

    async def prepare(self) -> None:  # noqa: B027 - most need nothing
        """Once, when the servers run for the first time."""

    async def arrivals(self) -> list[Arrival]:
        """All that it has."""
        raise NotImplementedError

    def dropped(self) -> int:
        """Repetitions that it dropped itself, where it counts them."""
        return 0


class ChaosWebhook(ChaosReceiver):
    name = "webhook"
    drops_repetitions = True

    def __init__(self, folder: Path, seed: int) -> None:
        self._database, self._port = folder / "webhook.db", low_port()
        command = [sys.executable, str(FAKES / "chaos_collector.py"), "--port", str(self._port)]
        command += ["--database", str(self._database), "--seed", str(seed)]
        self.servers = {"collector": ServerProcess(command, port=self._port, log=folder / "webhook.log")}

    @property
    def sink(self) -> dict[str, Any]:
        return {"type": "webhook", "name": self.name, "url": f"http://127.0.0.1:{self._port}/", "timeout": "2s"}

    async def arrivals(self) -> list[Arrival]:
        return [Arrival(*row) for row in self._query("SELECT id, body ->> 'ledgerepoch', body ->> 'seq' FROM event")]

    def dropped(self) -> int:
        return self._query("SELECT value - (SELECT count(*) FROM event) FROM tally WHERE name = 'received'")[0][0]

    def _query(self, statement: str) -> list[Any]:
        connection = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()


class ChaosNats(ChaosReceiver):
    drops_repetitions = True
    replicas = 1
    name = "nats"

    def __init__(self, folder: Path, _seed: int) -> None:
        self.servers = self.make_servers(folder)

    def make_servers(self, folder: Path) -> dict[str, ServerProcess]:
        return {"nats": NatsServer(folder / "nats")}

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers.values() if isinstance(server, NatsServer)]

    @property
    def sink(self) -> dict[str, Any]:
        return {"type": "nats", "name": self.name, "servers": self.urls, "timeout": "2s"}

    async def prepare(self) -> None:
        """A stream that takes every alert but the poisonous ones."""
        await make_stream(self.urls[0], replicas=self.replicas, max_msg_size=_between_alert_and_poison())

    async def arrivals(self) -> list[Arrival]:
        """A cluster that has just come together may still change its leader while it is read: then from the beginning."""
        for _ in range(20):
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                return await self._read()
            await asyncio.sleep(0.5)
        return await self._read()

    async def _read(self) -> list[Arrival]:
        async with connected(self.urls[0]) as client:
            stream = client.jetstream(timeout=10)
            count = (await stream.stream_info(STREAM)).state.messages
            plan = ConsumerConfig(ack_policy=AckPolicy.NONE, num_replicas=1)
            subscription = await stream.pull_subscribe("", stream=STREAM, config=plan)
            found: list[Arrival] = []
            while len(found) < count:
                for message in await subscription.fetch(500, timeout=10):
                    epoch, seq = _epoch_and_seq(message.data)
                    found.append(Arrival((message.headers or {})["Nats-Msg-Id"], epoch, seq))
            return found


class ChaosNatsCluster(ChaosNats):
    replicas = 3
    name = "nats-r3"

    def make_servers(self, folder: Path) -> dict[str, ServerProcess]:
        return {f"nats-r3-{n}": server for n, server in enumerate(NatsCluster(folder / "r3").servers)}


class ChaosRelp(ChaosReceiver):
    name = "relp"
    refuses_poison = False

    def __init__(self, folder: Path, _seed: int) -> None:
        self._server = RsyslogServer(folder / "relp", "imrelp")
        self.servers = {"rsyslog": self._server}

    @property
    def sink(self) -> dict[str, Any]:
        where = f"127.0.0.1:{self._server.port}"
        return {"type": "relp", "name": self.name, "server": where, "encryption": "none", "timeout": "2s"}

    async def arrivals(self) -> list[Arrival]:
        """A kill can cut a line, and the next message then stands behind the cut: looked for by their elements, not by lines."""
        content = self._server.output.read_bytes() if self._server.output.exists() else b""
        found = re.finditer(rb'\[alert@\d+ id="([^"\]]+)"[^\]]* epoch="([^"\]]*)" seq="(\d+)"', content)
        return [Arrival(match[1].decode(), match[2].decode(), int(match[3])) for match in found]


class ChaosAlertmanager(ChaosReceiver):
    """It keeps no history: what counts is that it has what fires in the end, and that somebody was notified of it."""

    name = "alertmanager"
    refuses_poison = False
    resend_seconds = 2.0

    def __init__(self, folder: Path, _seed: int) -> None:
        port, self._notified = low_port(), folder / "notified"
        command = [sys.executable, str(FAKES / "chaos_notified.py"), "--port", str(port), "--file", str(self._notified)]
        self._people = ServerProcess(command, port=port, log=folder / "notified.log")
        self._server = AlertmanagerServer(folder / "alertmanager", notify=f"http://127.0.0.1:{port}/")
        self.servers = {"alertmanager": self._server}
        self.helpers = [self._people]

    @property
    def sink(self) -> dict[str, Any]:
        return {"type": "alertmanager", "name": self.name, "url": self._server.url, "timeout": "2s", "resend": "2s"}

    async def firing(self) -> set[str]:
        """Ids of the alerts that it holds as firing."""
        alerts = await asyncio.to_thread(self._server.alerts)
        return {each["annotations"]["alert_id"] for each in alerts if each["labels"]["alertname"] != HEARTBEAT}

    def notified(self) -> set[str]:
        """Ids of the alerts that somebody was told of."""
        lines = self._notified.read_text().splitlines() if self._notified.exists() else []
        return {line.partition(" ")[2] for line in lines if line.startswith("firing ")}


RECEIVERS: dict[str, type[Any]] = {
    "webhook": ChaosWebhook,
    "nats": ChaosNats,
    "nats-r3": ChaosNatsCluster,
    "relp": ChaosRelp,
    "alertmanager": ChaosAlertmanager,
}


def _epoch_and_seq(event: bytes) -> tuple[str, int]:
    epoch, seq = re.search(rb'"ledgerepoch":"([^"]*)"', event), re.search(rb'"seq":(\d+)', event)
    assert epoch is not None
    assert seq is not None
    return epoch[1].decode(), int(seq[1])


def _between_alert_and_poison() -> int:
    """Bytes: larger than any ordinary event of the run, smaller than any poisonous one."""
    plain = sample_alert(10**7)
    sizes = [
        len(encode_event(Committed("chaos", "0" * 32, 10**9, 2**60, alert)))
        for alert in (plain, replace(plain, title=f"poison-row {POISON}"))
    ]
    return sum(sizes) // 2

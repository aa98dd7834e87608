"""MQTT and Kafka in the chaos run. Their brokers here keep what they have in memory, so they are not killed: their connections are.

mosquitto stands behind a proxy that is killed; librdkafka's mock cluster, which names its own port, is frozen until the sink gives up.
What they lose is a figure of the run and no fault of it.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from chaos_receivers import FAKES, Arrival, ChaosReceiver
from kafka_cluster import records
from mosquitto_broker import Mosquitto
from server_process import ServerProcess, low_port

_LISTENING = re.compile(r"^127\.0\.0\.1:\d+$", re.MULTILINE)


class ChaosMqtt(ChaosReceiver):
    name = "mqtt"
    refuses_poison = False
    only_disconnects = True

    def __init__(self, folder: Path, _seed: int) -> None:
        self._broker, self._port = Mosquitto(folder / "mosquitto"), low_port()
        program = shutil.which("mosquitto_sub") or "/usr/bin/mosquitto_sub"
        # A session that outlives its connection, and lines that outlive the program.
        listen = ["stdbuf", "-oL", program, "-p", str(self._broker.port), "-i", "collector", "-c", "-q", "1", "-V", "mqttv5"]
        self._events = folder / "mqtt.events"
        self._subscriber = ServerProcess(
            [*listen, "-x", "3600", "-t", "netmote/alerts/#"], port=0, log=self._events, ready=lambda: True
        )
        proxy = [sys.executable, str(FAKES / "tcp_proxy.py"), "--listen", str(self._port), "--to", str(self._broker.port)]
        self.servers = {"mqtt": ServerProcess(proxy, port=self._port, log=folder / "mqtt-proxy.log")}
        self.helpers = [self._broker]

    @property
    def sink(self) -> dict[str, Any]:
        return {"type": "mqtt", "name": self.name, "server": f"127.0.0.1:{self._port}", "encryption": "none", "timeout": "2s"}

    async def prepare(self) -> None:
        self.helpers = [self._broker, self._subscriber]
        self._subscriber.start()

    async def arrivals(self) -> list[Arrival]:
        found = []
        for line in self._events.read_text().splitlines():
            event = json.loads(line)
            found.append(Arrival(event["id"], event["ledgerepoch"], event["seq"]))
        return found


class ChaosKafka(ChaosReceiver):
    name = "kafka"
    refuses_poison = False
    only_disconnects = True
    is_frozen = True

    def __init__(self, folder: Path, _seed: int) -> None:
        self._said = folder / "kafka.log"
        command = [sys.executable, str(FAKES / "kafka_cluster.py")]
        self.servers = {"kafka": ServerProcess(command, port=0, log=self._said, ready=lambda: bool(self._address()))}

    def _address(self) -> str:
        found = _LISTENING.search(self._said.read_text()) if self._said.exists() else None
        return found[0] if found else ""

    @property
    def sink(self) -> dict[str, Any]:
        return {"type": "kafka", "name": self.name, "servers": [self._address()], "encryption": "none", "timeout": "2s"}

    async def arrivals(self) -> list[Arrival]:
        events = [event for _, event in await records(self._address(), "netmote.alerts")]
        return [Arrival(event["id"], event["ledgerepoch"], event["seq"]) for event in events]


BROKERS: dict[str, type[Any]] = {"mqtt": ChaosMqtt, "kafka": ChaosKafka}

"""librdkafka's mock cluster in a process of its own: Kafka's wire, in memory, on a port that it chooses; and a reader of topics.

As a process: `python tests/fakes/kafka_cluster.py` prints the bootstrap server and lives until it is killed.
"""

import json
import signal
import subprocess
import sys
from typing import Any

from aiokafka import AIOKafkaConsumer


class KafkaCluster:
    """One that tests freeze and kill. What it had is gone with it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.server = ""

    def start(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.server = self._process.stdout.readline().strip()
        assert self.server, "the mock cluster did not start"

    def freeze(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate(timeout=10)


async def records(server: str, topic: str) -> list[tuple[bytes, dict[str, Any]]]:
    """Key and event of every record of a topic; each partition in its order."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=server, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = sorted(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        found = []
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                for batch in (await consumer.getmany(partition, timeout_ms=1_000)).values():
                    found += [(record.key, json.loads(record.value)) for record in batch]
        return found
    finally:
        await consumer.stop()


if __name__ == "__main__":
    from confluent_kafka import Producer

    cluster = Producer({"test.mock.num.brokers": 1})
    (broker,) = cluster.list_topics(timeout=10).brokers.values()
    print(f"{broker.host}:{broker.port}", flush=True)
    signal.pause()

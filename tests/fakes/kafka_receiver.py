"""The Kafka sink and librdkafka's mock cluster, for the contract suite. It lives in memory only, so it cannot be restarted."""

import asyncio

from kafka_cluster import KafkaCluster, records
from sink_receiver import Receiver

from netmote.sinks.kafka.config import KafkaConfig
from netmote.sinks.kafka.sink import KafkaSink


class KafkaReceiver(Receiver):
    async def start(self) -> None:
        self.cluster = KafkaCluster()
        self.cluster.start()
        self.sink = KafkaSink(KafkaConfig(type="kafka", servers=(self.cluster.server,), encryption="none", timeout=self.timeout))

    async def stop(self) -> None:
        self.cluster.kill()

    async def received(self) -> list[str]:
        return list(dict.fromkeys(event["id"] for _, event in await records(self.cluster.server, "netmote.alerts")))

    async def beats(self) -> list[int]:
        return [event["data"]["number"] for _, event in await records(self.cluster.server, "netmote.heartbeats")]

    async def hang(self) -> None:
        self.cluster.freeze()

    async def be_slow(self) -> None:
        self.cluster.freeze()
        asyncio.get_running_loop().call_later(self.timeout / 3, self.cluster.thaw)

    async def fail(self) -> None:
        self.cluster.freeze()

    async def recover(self) -> None:
        self.cluster.thaw()

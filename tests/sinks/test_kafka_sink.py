"""The Kafka sink against librdkafka's mock cluster: keys, order, refusals, a broker that goes away, and no tasks left behind."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kafka_cluster import KafkaCluster, records
from pydantic import ValidationError
from sink_alerts import committed_alert
from sink_certificates import Authority

from netmote.errors import PartialDelivery, Permanent, Retryable
from netmote.sinks.kafka.config import KafkaConfig
from netmote.sinks.kafka.message import alert_message
from netmote.sinks.kafka.sink import KafkaSink

BATCH = [committed_alert(number) for number in range(1, 4)]


@pytest.fixture
async def cluster() -> AsyncIterator[KafkaCluster]:
    """One that runs."""
    made = KafkaCluster()
    made.start()
    yield made
    made.kill()


def sink(*servers: str, **fields: object) -> KafkaSink:
    return KafkaSink(KafkaConfig(type="kafka", servers=servers, **{"encryption": "none", "timeout": 3.0, **fields}))


@pytest.mark.parametrize("compression", ["gzip", "none"])
async def test_the_sensor_is_the_key_and_its_alerts_keep_their_order(cluster: KafkaCluster, compression: str) -> None:
    """All in one partition, so that a consumer sees firing before resolved."""
    made = sink(cluster.server, compression=compression)
    await made.deliver(BATCH)
    await made.deliver([committed_alert(number) for number in range(4, 60)])
    await made.close()
    found = await records(cluster.server, "netmote.alerts")
    assert {key for key, _ in found} == {b"branch-7"}
    assert [event["seq"] for _, event in found] == list(range(1, 60))


async def test_a_row_too_large_is_named_and_the_others_are_accepted(cluster: KafkaCluster) -> None:
    """It is not sent, and the connection goes on."""
    long = committed_alert(2, title="x" * 1_000, check="y" * 1_000)
    limit = (len(alert_message(BATCH[0], topic="t").value) + len(alert_message(long, topic="t").value)) // 2 + 200
    made = sink(cluster.server, max_message_size=limit, compression="none")
    with pytest.raises(PartialDelivery) as caught:
        await made.deliver([BATCH[0], long, BATCH[2]])
    assert list(caught.value.rejected) == [1]
    with pytest.raises(Permanent, match="more than the brokers take"):
        await made.deliver([long])
    await made.deliver([BATCH[1]])
    await made.close()
    assert sorted(event["seq"] for _, event in await records(cluster.server, "netmote.alerts")) == [1, 2, 3]


async def test_a_broker_that_dies_in_the_middle_is_left_without_a_trace(cluster: KafkaCluster) -> None:
    """The library would wait for ever in `send` and in `stop`, and its tasks would go on trying."""
    made = sink(cluster.server, timeout=1.0)
    before = asyncio.all_tasks()
    await made.deliver(BATCH)
    cluster.kill()
    for _ in range(2):
        with pytest.raises(Retryable):
            await made.deliver(BATCH)
    began = asyncio.get_running_loop().time()
    await made.close()
    assert asyncio.get_running_loop().time() - began < 2.0
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before


async def test_servers_are_tried_in_turn(cluster: KafkaCluster) -> None:
    """One that is down does not matter while another one answers."""
    made = sink("127.0.0.1:9", cluster.server)
    await made.deliver(BATCH)
    await made.close()
    assert len(await records(cluster.server, "netmote.alerts")) == 3


async def test_a_bad_certificate_says_so_and_hears_nothing(tmp_path: Path) -> None:
    """The library tells only its log. The mock cluster has no TLS, so a listener stands for the broker."""
    authority = Authority(tmp_path)
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            heard.extend(await reader.read(1_000))
        writer.close()

    context = authority.context_of(authority.issue("untimely", valid_from_hours=24))
    listener = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with listener:
        made = sink(f"127.0.0.1:{listener.sockets[0].getsockname()[1]}", encryption="tls", ca_file=authority.file)
        with pytest.raises(Retryable, match=r"not yet valid.*this sensor's clock says"):
            await made.deliver(BATCH)
        await made.close()
    assert heard == b""


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"servers": ()}, "at least 1"),
        ({"servers": ("kafka.example",), "encryption": "none"}, "not on this machine"),
        ({"servers": ("kafka://a",)}, "not an address"),
        ({"servers": ("a",), "user": "u"}, "go together"),
        ({"servers": ("a",), "topic": "a b"}, "pattern"),
        ({"servers": ("127.0.0.1",), "encryption": "none", "ca_file": "/ca"}, "means nothing"),
        ({"servers": ("a",), "mechanism": "GSSAPI"}, "SCRAM"),
    ],
)
def test_refused(fields: dict[str, object], word: str) -> None:
    """Each with a sentence that says what is allowed."""
    with pytest.raises(ValidationError, match=word):
        KafkaConfig(type="kafka", **fields)


def test_without_its_library_the_configuration_is_refused_and_names_the_extra() -> None:
    """Before anything runs."""
    program = (
        "import sys; sys.modules['aiokafka'] = None\nfrom netmote.sinks.kafka.config import KafkaConfig\n"
        "try: KafkaConfig(type='kafka', servers=('a',))\nexcept ValueError as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30).stdout
    assert 'pip install "netmote[kafka]"' in told

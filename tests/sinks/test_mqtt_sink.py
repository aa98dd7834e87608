"""The MQTT sink against a real mosquitto: reason codes that the library hides, access, TLS, and what is refused."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from heartbeats import sample_heartbeat
from mosquitto_broker import Mosquitto, Subscriber
from pydantic import ValidationError
from sink_alerts import committed_alert
from sink_certificates import Authority

from netmote.errors import PartialDelivery, Permanent, Retryable
from netmote.sinks.mqtt.config import MqttConfig
from netmote.sinks.mqtt.message import alert_message, judge, level
from netmote.sinks.mqtt.sink import MqttSink

BATCH = [committed_alert(number) for number in range(1, 4)]


@contextlib.contextmanager
def running(broker: Mosquitto) -> Iterator[Mosquitto]:
    """Killed in the end."""
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


@contextlib.asynccontextmanager
async def subscriber(broker: Mosquitto, **access: object):
    """One that listens."""
    made = Subscriber(broker.port, **access)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@contextlib.asynccontextmanager
async def sink(broker: Mosquitto, **fields: object):
    """One that is closed in the end."""
    made = MqttSink(
        MqttConfig(type="mqtt", server=f"127.0.0.1:{broker.port}", **{"timeout": 3.0, "encryption": "none", **fields})
    )
    try:
        await made.open()
        yield made
    finally:
        await made.close()


async def test_without_a_subscriber_nothing_is_delivered(tmp_path: Path) -> None:
    """The broker answers 0x10 and throws it away; the library calls that success, the sink does not."""
    with running(Mosquitto(tmp_path)) as broker:
        async with sink(broker) as made:
            with pytest.raises(Retryable, match="nobody subscribes to netmote/alerts/branch-7/critical"):
                await made.deliver(BATCH)
            with pytest.raises(Retryable, match="nobody subscribes to netmote/heartbeats"):
                await made.beat(sample_heartbeat())
            async with subscriber(broker):
                await made.deliver(BATCH)


@pytest.fixture
def access(tmp_path: Path) -> str:
    """Configuration of a broker on which `collector` may do everything and `sensor` may publish elsewhere only."""
    passwords, rights = tmp_path / "passwords", tmp_path / "rights"
    passwords.touch()
    passwords.chmod(0o600)
    for user, password in (("sensor", "right-one"), ("collector", "c")):
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, password], check=True, timeout=10)
    rights.write_text("user collector\ntopic readwrite #\nuser sensor\ntopic write elsewhere/#\n")
    return f"allow_anonymous false\npassword_file {passwords}\nacl_file {rights}"


async def test_no_right_to_publish_is_no_delivery(tmp_path: Path, access: str) -> None:
    """PUBACK 0x87, which the library calls success too; the sink says what to mend, and never shows the password."""
    secret = tmp_path / "secret"
    secret.write_text("right-one\n")
    with running(Mosquitto(tmp_path / "m", extra=access)) as broker:
        async with subscriber(broker, username="collector", password="c") as listener:
            async with sink(broker, user="sensor", password=f"file:{secret}") as made:
                with pytest.raises(Retryable, match="0x87: not authorized"):
                    await made.deliver(BATCH)
            secret.write_text("wrong-one")
            async with sink(broker, user="sensor", password=f"file:{secret}") as made:
                with pytest.raises(Retryable, match=r"(?i)not authori[sz]ed") as caught:
                    await made.deliver(BATCH)
                assert "wrong-one" not in str(caught.value)
            assert listener.events == []


async def test_a_row_over_the_packet_size_is_not_sent(tmp_path: Path) -> None:
    """The broker says its limit when it is connected to, and would end the connection at a larger packet."""
    long = committed_alert(2, title="x" * 1_000, check="y" * 1_000)
    limit = (len(alert_message(BATCH[0], topic="t").payload) + len(alert_message(long, topic="t").payload)) // 2
    with running(Mosquitto(tmp_path, extra=f"max_packet_size {limit}")) as broker:
        async with subscriber(broker), sink(broker) as made:
            with pytest.raises(PartialDelivery) as caught:
                await made.deliver([BATCH[0], long, BATCH[2]])
            assert "the broker takes packets of" in caught.value.rejected[1]
            with pytest.raises(Permanent):
                await made.deliver([long])
            await made.deliver([BATCH[1]])


async def test_client_certificate(tmp_path: Path) -> None:
    """A broker that asks for one gets it; without it, delivery waits."""
    authority = Authority(tmp_path)
    client = authority.issue("sensor")
    with running(Mosquitto(tmp_path / "m", pair=authority.issue("server"), authority=authority.file)) as broker:
        async with sink(broker, encryption="tls", ca_file=authority.file) as made:
            with pytest.raises(Retryable):
                await made.deliver(BATCH)
        shown = {"client_certificate": client.certificate, "client_key": client.key}
        async with sink(broker, encryption="tls", ca_file=authority.file, **shown) as made:
            with pytest.raises(Retryable, match="nobody subscribes"):
                await made.deliver(BATCH)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (0x00, None),
        (0x10, Retryable),
        (0x80, Retryable),
        (0x87, Retryable),
        (0x90, Retryable),
        (0x97, Retryable),
        (0x95, Permanent),
        (0x99, Permanent),
        (0xFF, Retryable),
    ],
)
def test_reason_codes(reason: int, kind: type[Exception] | None) -> None:
    """Only what this very message can never overcome is Permanent."""
    verdict = judge(reason, topic="t")
    assert verdict is None if kind is None else isinstance(verdict, kind)


@pytest.mark.parametrize(
    ("name", "word"), [("branch-7", "branch-7"), ("a/b", "a_b"), ("+", "_"), ("#", "_"), ("$x", "_x"), ("a\x00", "a_"), ("", "_")]
)
def test_a_sensor_is_one_level_of_the_topic(name: str, word: str) -> None:
    """No name can add levels, or become a wildcard."""
    assert level(name) == word


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"server": "mqtt.example", "encryption": "none"}, "not on this machine"),
        ({"server": "mqtt://mqtt.example"}, "not an address"),
        ({"server": "a", "topic": "a/#"}, "not a topic"),
        ({"server": "a", "topic": "a/+/b"}, "not a topic"),
        ({"server": "a", "topic": "/a"}, "not a topic"),
        ({"server": "a", "heartbeat_topic": "$SYS/a"}, "not a topic"),
        ({"server": "a", "password": "env:P"}, "needs a user"),
        ({"server": "127.0.0.1", "encryption": "none", "ca_file": "/ca"}, "means nothing"),
    ],
)
def test_refused(fields: dict[str, object], word: str) -> None:
    """Each with a sentence that says what is allowed."""
    with pytest.raises(ValidationError, match=word):
        MqttConfig(type="mqtt", **fields)


def test_without_its_library_the_configuration_is_refused_and_names_the_extra() -> None:
    """Before anything runs."""
    program = (
        "import sys; sys.modules['aiomqtt'] = None\nfrom netmote.sinks.mqtt.config import MqttConfig\n"
        "try: MqttConfig(type='mqtt', server='a')\nexcept ValueError as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30).stdout
    assert 'pip install "netmote[mqtt]"' in told

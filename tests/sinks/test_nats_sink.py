"""The NATS sink against real servers: what is stored, who may store it, and what a cluster survives."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import nkeys
import pytest
from heartbeats import sample_heartbeat
from nats_servers import NatsCluster, NatsServer, connected, make_stream, stored_events
from sink_alerts import committed_alert
from sink_certificates import Authority

from netmote.errors import PartialDelivery, Retryable
from netmote.sinks.nats.config import NatsConfig
from netmote.sinks.nats.sink import NatsSink

BATCH = [committed_alert(number) for number in range(1, 4)]
IDS = [row.alert.event_id for row in BATCH]


@contextlib.contextmanager
def server(folder: Path, extra: str = "") -> Iterator[NatsServer]:
    """One that runs."""
    made = NatsServer(folder / "nats", extra=extra)
    try:
        made.start()
        yield made
    finally:
        made.kill()


@contextlib.asynccontextmanager
async def sink(*urls: str, **fields: object):
    """One that is closed in the end."""
    made = NatsSink(NatsConfig(type="nats", servers=urls, **{"timeout": 3.0, **fields}))
    try:
        await made.open()
        yield made
    finally:
        await made.close()


async def test_each_alert_is_stored_once_however_often_it_comes(tmp_path: Path) -> None:
    """The stream drops repetitions by the event's id, and acknowledges them all the same."""
    with server(tmp_path) as one:
        await make_stream(one.url)
        async with sink(one.url) as nats_sink:
            await nats_sink.deliver(BATCH)
            await nats_sink.deliver(BATCH)
        events = await stored_events(one.url)
        assert [event["id"] for event in events] == IDS
        assert [event["seq"] for event in events] == [1, 2, 3]


async def test_a_row_too_large_for_the_stream_is_named_and_the_others_are_stored(tmp_path: Path) -> None:
    """JetStream answers each message for itself, so no halving is needed."""
    long = committed_alert(2, title="x" * 900)
    with server(tmp_path) as one:
        async with sink(one.url) as nats_sink:
            plain = len(json.dumps((await stored_after(one.url, nats_sink))[0]))
        one.kill()
    with server(tmp_path / "second") as one:
        await make_stream(one.url, max_msg_size=plain + 300)
        async with sink(one.url) as nats_sink:
            with pytest.raises(PartialDelivery) as caught:
                await nats_sink.deliver([BATCH[0], long, BATCH[2]])
        assert list(caught.value.rejected) == [1]
        assert "10054" in caught.value.rejected[1]
        assert [event["id"] for event in await stored_events(one.url)] == [IDS[0], IDS[2]]


async def stored_after(url: str, nats_sink: NatsSink) -> list[dict[str, object]]:
    """What is stored after one batch into a new stream."""
    await make_stream(url)
    await nats_sink.deliver(BATCH)
    return await stored_events(url)


async def test_a_row_over_the_servers_limit_is_refused_without_being_sent(tmp_path: Path) -> None:
    """The server would close the connection, and the batch would come again for ever."""
    with server(tmp_path, "max_payload: 3500") as one:
        await make_stream(one.url)
        async with sink(one.url) as nats_sink:
            with pytest.raises(PartialDelivery, match="refused") as caught:
                await nats_sink.deliver([BATCH[0], committed_alert(2, check="y" * 1_000, title="x" * 1_000), BATCH[2]])
        assert "max_payload" in caught.value.rejected[1]
        assert [event["id"] for event in await stored_events(one.url)] == [IDS[0], IDS[2]]


async def test_a_missing_stream_says_what_to_create(tmp_path: Path) -> None:
    """At once, not after a time-out; and when it is there, the same sink delivers."""
    with server(tmp_path) as one:
        async with sink(one.url, timeout=30.0) as nats_sink:
            with pytest.raises(Retryable, match=r"no JetStream stream stores netmote\.alerts\.branch-7\.critical"):
                await nats_sink.deliver(BATCH)
            await make_stream(one.url)
            await nats_sink.deliver(BATCH)
        assert len(await stored_events(one.url)) == 3


async def test_another_stream_than_expected_is_no_delivery(tmp_path: Path) -> None:
    """An acknowledgement counts only from the stream that was named."""
    with server(tmp_path) as one:
        await make_stream(one.url)
        async with sink(one.url, stream="OTHER") as nats_sink:
            with pytest.raises(Retryable, match="expected stream"):
                await nats_sink.deliver(BATCH)
        assert await stored_events(one.url) == []


async def test_a_heartbeat_reaches_its_subscriber(tmp_path: Path) -> None:
    """Without any stream: it is a sign of life, not a record."""
    with server(tmp_path) as one:
        async with connected(one.url) as client, sink(one.url) as nats_sink:
            subscription = await client.subscribe("netmote.heartbeats.*")
            await client.flush()
            await nats_sink.beat(sample_heartbeat(number=5))
            event = json.loads((await subscription.next_msg(timeout=2)).data)
            assert event["data"]["number"] == 5


async def test_user_and_password(tmp_path: Path) -> None:
    """A wrong one waits, says so without showing it, and is read anew."""
    secret = tmp_path / "password"
    secret.write_text("wrong-one\n")
    users = 'authorization { users: [ {user: sensor, password: "right-one"} ] }'
    with server(tmp_path, users) as one:
        await make_stream(one.url, user="sensor", password="right-one")
        async with sink(one.url, user="sensor", password=f"file:{secret}") as nats_sink:
            with pytest.raises(Retryable, match=r"(?i)authorization") as caught:
                await nats_sink.deliver(BATCH)
            assert "wrong-one" not in str(caught.value)
            secret.write_text("right-one\n")
            await nats_sink.deliver(BATCH)
        assert len(await stored_events(one.url, user="sensor", password="right-one")) == 3


async def test_nkey(tmp_path: Path) -> None:
    """A challenge signed with the seed; a seed that is none says so and shows nothing."""
    pair = nkeys.from_seed(bytearray(b"SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"))
    secret = tmp_path / "seed"
    secret.write_text("SUANOSEEDATALL")
    with server(tmp_path, f"authorization {{ users: [ {{nkey: {pair.public_key.decode()}}} ] }}") as one:
        await make_stream(one.url, nkeys_seed_str=pair.seed.decode())
        made = NatsSink(NatsConfig(type="nats", servers=(one.url,), nkey_seed=f"file:{secret}", timeout=3.0))
        with pytest.raises(Retryable, match="seed") as caught:
            await made.open()
        assert "NOSEED" not in str(caught.value)
        secret.write_text(pair.seed.decode())
        await made.deliver(BATCH)
        await made.close()
        assert len(await stored_events(one.url, nkeys_seed_str=pair.seed.decode())) == 3


async def test_no_right_to_publish_is_said_at_once(tmp_path: Path) -> None:
    """The server's own words, not a time-out."""
    users = 'authorization { users: [ {user: s, password: p, permissions: {publish: "x.>"}}, {user: a, password: a} ] }'
    secret = tmp_path / "p"
    secret.write_text("p")
    with server(tmp_path, users) as one:
        await make_stream(one.url, user="a", password="a")
        async with sink(one.url, user="s", password=f"file:{secret}", timeout=30.0) as nats_sink:
            with pytest.raises(Retryable, match=r"(?i)permissions violation"):
                await nats_sink.deliver(BATCH)


async def test_tls_with_certificates_of_both_sides(tmp_path: Path) -> None:
    """Trusted by its authority and by name; a sensor without a certificate, or a server of another authority, gets nothing."""
    authority = Authority(tmp_path)
    pair, client = authority.issue("server"), authority.issue("sensor")
    tls = f'tls {{ cert_file: "{pair.certificate}", key_file: "{pair.key}", ca_file: "{authority.file}", verify: true }}'
    shown = {"client_certificate": client.certificate, "client_key": client.key}
    with server(tmp_path, tls) as one:
        url = one.url.replace("nats://", "tls://")
        with pytest.raises(Retryable, match=r"(?i)certificate"):
            async with sink(url, ca_file=Authority(tmp_path, "another").file, **shown) as nats_sink:
                await nats_sink.deliver(BATCH)
        with pytest.raises(Retryable):
            async with sink(url, ca_file=authority.file) as nats_sink:
                await nats_sink.deliver(BATCH)
        async with sink(url, ca_file=authority.file, **shown) as nats_sink:
            with pytest.raises(Retryable, match="no JetStream stream"):
                await nats_sink.deliver(BATCH)


async def test_a_server_without_tls_never_sees_the_password(tmp_path: Path) -> None:
    """Somebody in between could take TLS out of the server's greeting."""
    heard = bytearray()

    async def strip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.10.0","max_payload":1000000,"auth_required":true}\r\n')
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(4096):
                heard.extend(part)
        writer.close()

    secret = tmp_path / "p"
    secret.write_text("s3cret")
    listener = await asyncio.start_server(strip, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, sink(f"tls://127.0.0.1:{port}", user="u", password=f"file:{secret}") as nats_sink:
        with pytest.raises(Retryable, match="offers no TLS"):
            await nats_sink.deliver(BATCH)
    assert heard == b""


async def test_a_cluster_loses_its_leader_and_nothing_else(tmp_path: Path) -> None:
    """Three copies, kill -9 of the server the sink is connected to: the rest goes through another one, each alert once."""
    cluster = NatsCluster(tmp_path)
    try:
        cluster.start()
        await make_stream(cluster.urls[0], replicas=3)
        async with sink(*cluster.urls, timeout=3.0) as nats_sink:
            await nats_sink.deliver(BATCH)
            cluster.servers[0].kill()
            more = [committed_alert(number) for number in range(4, 30)]
            for _ in range(20):
                with contextlib.suppress(Retryable):
                    await nats_sink.deliver(more)
                    break
            else:
                pytest.fail("the rest of the cluster took nothing")
        ids = [event["id"] for event in await stored_events(cluster.urls[1])]
        assert ids == IDS + [row.alert.event_id for row in more]
    finally:
        cluster.kill()

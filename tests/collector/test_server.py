"""The collector's doors, with the sensors' own webhook sink at the other end."""

import asyncio
import gzip
import json
import ssl
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from daemon_legs import until
from manual_clock import ManualClock
from prometheus_client.parser import text_string_to_metric_families
from sink_alerts import committed_alert
from sink_certificates import Authority

from netmote.collector.ledger import CollectorLedger
from netmote.collector.server import MAX_BODY_BYTES, Collector
from netmote.errors import PartialDelivery, Permanent, Retryable
from netmote.sinks.webhook.config import WebhookConfig
from netmote.sinks.webhook.sink import WebhookSink
from netmote.telemetry.health import Level, Reason
from netmote.telemetry.heartbeat import Heartbeat, LoadedModel, SinkBooks, Withheld

MINUTE = 60.0
BATCH_TYPE = {"Content-Type": "application/cloudevents-batch+json"}


def heartbeat(number: int, *, settled: int = 0, epoch: str = "3f2a9c", started_at_ns: int = 1, **changes: Any) -> Heartbeat:
    fields: dict[str, Any] = {
        "sensor": "branch-7",
        "ledger_epoch": epoch,
        "number": number,
        "interval_seconds": MINUTE,
        "at_ns": started_at_ns + number,
        "started_at_ns": started_at_ns,
        "version": "9.9",
        "level": Level.FULL,
        "reasons": (),
        "config_hash": "c" * 64,
        "rules_hash": "d" * 64,
        "models": (LoadedModel("traffic", "1.0.0", "e" * 64),),
        "last_seq": settled,
        "books": SinkBooks(settled, 2),
        "clock_offset_seconds": -0.002,
        "is_clock_synchronised": True,
        "drops": {"capture:ring": 7},
    }
    return Heartbeat(**{**fields, **changes})


def sink_to(collector: Collector, **fields: object) -> WebhookSink:
    return WebhookSink(WebhookConfig(type="webhook", url=collector.url, timeout=5.0, **fields), clock=ManualClock())


async def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers or BATCH_TYPE) as response:
        text = await response.text()
        return response.status, json.loads(text) if response.content_type == "application/json" else {}


async def get(url: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, await response.text(), dict(response.headers)


async def seen(collector: Collector) -> dict[str, Any]:
    """The one sensor as JSON."""
    _, text, _ = await get(f"{collector.page_url}api/sensors")
    (sensor,) = json.loads(text)["sensors"]
    return sensor


async def test_a_sinks_batches_arrive_once(opened) -> None:
    """Batches and their repetition come through the real sink; each event is kept once, with its number."""
    collector = await opened()
    sink = sink_to(collector)
    await sink.deliver([committed_alert(number) for number in (1, 2, 3)])
    await sink.deliver([committed_alert(number) for number in (2, 3, 4)])
    await sink.close()
    (life,) = await collector.ledger.lives()
    assert (life.sensor, life.epoch, life.events, life.duplicates, life.received) == ("branch-7", "3f2a9c", 4, 2, ((1, 4),))
    _, text, _ = await get(f"{collector.page_url}api/events?after=1&limit=2")
    assert [json.loads(line)["event"]["seq"] for line in text.splitlines()] == [2, 3]


async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """The file holds what was acknowledged although the process was killed without a chance to close."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "netmote", "collector", "--database", str(tmp_path / "c.db"), "--listen", "127.0.0.1:0"),
        *("--page", ""),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().split()[-1]
        sink = WebhookSink(WebhookConfig(type="webhook", url=url, timeout=5.0), clock=ManualClock())
        await sink.deliver([committed_alert(number) for number in (1, 2)])
        await sink.close()
    finally:
        process.kill()
        await process.wait()
    ledger = CollectorLedger(tmp_path / "c.db", clock=ManualClock(), size=2**24, lives=10)
    await ledger.open()
    assert [life.received for life in await ledger.lives()] == [((1, 2),)]
    await ledger.close()


async def test_a_gap_is_told_with_what_to_ask_for(opened) -> None:
    """What the books call delivered and never came is missing; what they withhold is not; a resend closes the gap."""
    collector = await opened()
    sink = sink_to(collector)
    await sink.deliver([committed_alert(number) for number in (1, 2, 6)])
    assert (await seen(collector))["missing_total"] == 0, "without books nothing can be called missing"
    await sink.beat(heartbeat(1, books=SinkBooks(6, 0, (Withheld(3, 3, "silenced"),))))
    sensor = await seen(collector)
    assert (sensor["missing_total"], sensor["lives"][0]["missing"], sensor["is_well"]) == (2, [[4, 5]], False)
    _, page, _ = await get(collector.page_url)
    assert "netmote alerts resend --seq 4-5" in page
    await sink.deliver([committed_alert(number) for number in (4, 5)])
    await sink.close()
    assert (await seen(collector))["is_well"]


async def test_three_missed_heartbeats_and_back(opened, clock: ManualClock) -> None:
    """Silence is seen on the page, in JSON and in the health answer, and ends with the next beat."""
    collector = await opened()
    sink = sink_to(collector)
    await sink.beat(heartbeat(1))
    states = []
    for seconds in (59, 60, 130):
        clock.advance(seconds)
        states.append((await seen(collector))["state"])
    assert states == ["live", "late", "silent"]
    _, health, _ = await get(f"{collector.page_url}healthz")
    assert json.loads(health)["not_well"] == ["branch-7"]
    await sink.beat(heartbeat(2))
    await sink.close()
    assert (await seen(collector))["state"] == "live"


async def test_metrics_are_an_alarm(opened, clock: ManualClock) -> None:
    """Each sensor has its series: silent, missing, received; a name with anything in it breaks no line."""
    collector = await opened()
    sink = sink_to(collector)
    await sink.deliver([committed_alert(1)])
    await sink.beat(heartbeat(1, books=SinkBooks(3, 0)))
    await sink.beat(heartbeat(1, sensor='a"b\\c'))
    await sink.close()
    clock.advance(4 * MINUTE)
    _, text, headers = await get(f"{collector.page_url}metrics")
    assert headers["Content-Type"].startswith("text/plain")
    assert 'netmote_collector_sensors{state="silent"} 2.0' in text
    assert 'netmote_collector_sensor_silent{sensor="branch-7"} 1.0' in text
    assert 'netmote_collector_sensor_missing_alerts{sensor="branch-7"} 2.0' in text
    assert 'netmote_collector_received_events_total{sensor="branch-7"} 1.0' in text
    names = {sample.labels.get("sensor") for family in text_string_to_metric_families(text) for sample in family.samples}
    assert 'a"b\\c' in names


async def test_silence_is_logged_once_and_its_end(opened, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever watches the log hears of a sensor that fell silent, and of its return; not each second."""
    caplog.set_level("INFO")
    collector = await opened()
    sink = sink_to(collector)
    await sink.beat(heartbeat(1))
    clock.advance(4 * MINUTE)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(collector.run())
        await until(lambda: "branch-7 is silent" in caplog.text)
        await sink.beat(heartbeat(2))
        await until(lambda: "branch-7 is well again" in caplog.text)
        running.cancel()
    await sink.close()
    assert caplog.text.count("is silent") == 1


async def test_two_live_epochs_of_one_sensor(opened, clock: ManualClock) -> None:
    """A cloned card: both ledgers beat in turns. A reflash alone is no alarm."""
    collector = await opened()
    sink = sink_to(collector)
    await sink.beat(heartbeat(1, epoch="old"))
    clock.advance(30)
    await sink.beat(heartbeat(1, epoch="new", started_at_ns=2))
    assert (await seen(collector))["also_live"] == []
    clock.advance(30)
    await sink.beat(heartbeat(2, epoch="old"))
    await sink.close()
    sensor = await seen(collector)
    assert (sensor["also_live"], sensor["is_well"]) == (["old"], False)
    assert {life["epoch"] for life in sensor["lives"]} == {"old", "new"}
    _, page, _ = await get(collector.page_url)
    assert "two machines under this name" in page


async def test_known_sensors_are_missed_after_a_restart(opened, clock: ManualClock) -> None:
    """The file remembers who there was; the new process waits its time and then says that one is silent."""
    first = await opened()
    sink = sink_to(first)
    await sink.beat(heartbeat(1))
    await sink.close()
    await first.close()
    second = await opened()
    assert (await seen(second))["state"] == "waiting"
    clock.advance(4 * MINUTE)
    assert (await seen(second))["state"] == "silent"


async def test_poison_among_sound_events(opened) -> None:
    """The sink is told which row is refused and why; the others are durable. A batch of nothing but poison is refused whole."""
    collector = await opened()
    good = {"specversion": "1.0", "id": "g", "source": "netmote://s/1", "type": "io.netmote.alert.firing.v1", "seq": 1}
    bad = {**good, "id": "b", "seq": "one"}
    assert await post(collector.url, json.dumps([good, bad]).encode()) == (
        207,
        {"rejected": [{"id": "b", "reason": "seq is a whole number from 1"}]},
    )
    assert [life.received for life in await collector.ledger.lives()] == [((1, 1),)]
    status, answer = await post(collector.url, json.dumps([bad]).encode())
    assert (status, answer["rejected"][0]["id"]) == (400, "b")


async def test_the_sink_understands_the_refusals(opened) -> None:
    """207 and 400 reach the delivery leg as what they mean: a partial delivery, and a permanent refusal."""
    collector = await opened()
    sink = sink_to(collector)
    with pytest.raises(PartialDelivery) as partial:
        await sink.deliver([committed_alert(1), replace(committed_alert(2), seq=0)])
    assert list(partial.value.rejected) == [1]
    with pytest.raises(Permanent):
        await sink.deliver([replace(committed_alert(2), seq=0)])
    await sink.close()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"no json", {}, 400),
        (gzip.compress(b"[]", mtime=0), {"Content-Encoding": "gzip"}, 204),
        (gzip.compress(b"[]", mtime=0)[:-3], {"Content-Encoding": "gzip"}, 400),
        (b"[]", {"Content-Encoding": "gzip"}, 400),
        (b"[]", {"Content-Encoding": "br"}, 415),
        (b"[]", {"Content-Type": "text/plain"}, 415),
        (gzip.compress(bytes(MAX_BODY_BYTES + 1), mtime=0), {"Content-Encoding": "gzip"}, 413),
    ],
)
async def test_bodies_that_are_none(opened, body: bytes, headers: dict[str, str], status: int) -> None:
    """Each is refused by the status that tells the sensor what to do; a bomb is not unfolded."""
    collector = await opened()
    assert (await post(collector.url, body, {**BATCH_TYPE, **headers}))[0] == status
    assert not await collector.ledger.lives()


async def test_a_body_that_does_not_come(opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever begins a batch and sends no more is answered, and holds up nobody for ever."""
    monkeypatch.setattr("netmote.collector.server._BODY_SECONDS", 0.2)
    collector = await opened()
    host, port = collector.url.removeprefix("http://").rstrip("/").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "POST / HTTP/1.1\r\nHost: c\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[{"
    writer.write(head.encode())
    assert b" 408 " in await reader.readline()
    writer.close()


async def test_a_full_quota_of_sensors_keeps_alerts_at_the_sensor(opened) -> None:
    """No room is a reason to try later, not to lose anything."""
    collector = await opened(max_sensors=1)
    sink = sink_to(collector)
    await sink.deliver([committed_alert(1)])
    with pytest.raises(Retryable) as refusal:
        await sink.beat(heartbeat(1, epoch="another"))
    assert refusal.value.after == 30
    await sink.close()


async def test_the_token_is_wanted(opened, tmp_path: Path) -> None:
    """Without it, or with another, nothing is taken; with it, everything."""
    (tmp_path / "token").write_text("open-sesame\n")
    (tmp_path / "other").write_text("sesame\n")
    collector = await opened(token=f"file:{tmp_path / 'token'}")
    for fields in ({}, {"token": f"file:{tmp_path / 'other'}"}):
        sink = sink_to(collector, **fields)
        with pytest.raises(Retryable, match="401"):
            await sink.deliver([committed_alert(1)])
        await sink.close()
    assert not await collector.ledger.lives()
    sink = sink_to(collector, token=f"file:{tmp_path / 'token'}")
    await sink.deliver([committed_alert(1)])
    await sink.close()
    assert await collector.ledger.lives()


async def test_mutual_tls_and_names(opened, tmp_path: Path) -> None:
    """A client without a certificate is refused; one whose certificate names another sensor is refused by event."""
    authority = Authority(tmp_path)
    server = authority.issue("server")
    collector = await opened(certificate=server.certificate, key=server.key, client_ca=authority.file, match_names=True)
    assert collector.url.startswith("https:")
    outcomes = {}
    for name in (None, "branch-8", "branch-7"):
        fields: dict[str, object] = {"ca_file": authority.file}
        if name is not None:
            pair = authority.issue(name)
            fields |= {"client_certificate": pair.certificate, "client_key": pair.key}
        sink = sink_to(collector, **fields)
        try:
            await sink.deliver([committed_alert(1)])
            outcomes[name] = "taken"
        except (Retryable, Permanent) as error:
            outcomes[name] = type(error).__name__
        await sink.close()
    assert outcomes == {None: "Retryable", "branch-8": "Permanent", "branch-7": "taken"}


async def test_certificates_are_renewed_without_a_restart(opened, tmp_path: Path) -> None:
    """A new certificate in the same files serves the next connection; broken files leave the old one in force."""
    authority = Authority(tmp_path)
    pair = authority.issue("server")
    collector = await opened(certificate=pair.certificate, key=pair.key)

    async def serial() -> str:
        context = ssl.create_default_context(cafile=str(authority.file))
        host, port = collector.url.removeprefix("https://").rstrip("/").split(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        number = writer.get_extra_info("peercert")["serialNumber"]
        writer.close()
        return str(number)

    before = await serial()
    authority.issue("server")
    collector.reload_certificates()
    after = await serial()
    assert before != after
    pair.certificate.write_text("broken")
    with pytest.raises(Retryable):
        collector.reload_certificates()
    assert await serial() == after


async def test_the_page_is_sealed(opened) -> None:
    """No script, a strict policy, texts of sensors escaped, and no answer to a name that is not this machine's."""
    collector = await opened()
    sink = sink_to(collector)
    reason = Reason("<script>alert(1)</script>", "it's <b>bad</b>", 1)
    await sink.beat(heartbeat(1, reasons=(reason,), level=Level.RULES))
    await sink.close()
    status, page, headers = await get(collector.page_url)
    assert status == 200
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for path in ("", "api/sensors", "api/events", "healthz", "metrics"):
        assert (await get(f"{collector.page_url}{path}", Host="evil.example"))[0] == 421
    assert (await get(f"{collector.page_url}static/netmote.css"))[0] == 200
    assert (await get(f"{collector.page_url}static/../config.py"))[0] == 404


async def test_posting_and_looking_are_different_doors(opened) -> None:
    """Sensors cannot read, and the page takes nothing."""
    collector = await opened()
    assert (await get(collector.url))[0] == 405
    assert (await post(collector.page_url, b"[]"))[0] == 405


@pytest.mark.parametrize("query", ["after=x", "after=-1", "limit=0", "limit=100000", "after=99999999999999999999"])
async def test_bad_questions(opened, query: str) -> None:
    """Are answered as such."""
    collector = await opened()
    assert (await get(f"{collector.page_url}api/events?{query}"))[0] == 400

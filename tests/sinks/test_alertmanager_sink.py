"""The Alertmanager sink against Debian's Alertmanager, and against one that refuses."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from aiohttp import web
from alertmanager_server import HEARTBEAT, AlertmanagerServer, Notified
from heartbeats import sample_heartbeat
from hostile_alerts import largest_alert
from manual_clock import ManualClock
from sink_alerts import committed_alert
from sink_certificates import Authority

from netmote.alerts.alert import AlertState, Committed
from netmote.clock import Clock, SystemClock
from netmote.errors import PartialDelivery, Retryable
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Contributor
from netmote.sinks.alertmanager.config import AlertmanagerConfig
from netmote.sinks.alertmanager.sink import AlertmanagerSink

HOUR = 3_600_000_000_000
SYSTEM = SystemClock()


def sink_of(url: str, clock: Clock = SYSTEM, **fields: object) -> AlertmanagerSink:
    return AlertmanagerSink(AlertmanagerConfig(type="alertmanager", url=url, timeout=3.0, **fields), clock=clock)


def fresh(number: int, clock: Clock, **changes: object) -> Committed:
    """An alert that began a second ago by that clock."""
    at = clock.now_ns() - 1_000_000_000
    return committed_alert(number, **{"started_at_ns": at, "fired_at_ns": at, "last_seen_ns": at, **changes})


def ended(row: Committed, clock: Clock, number: int) -> Committed:
    changes = {"alert_id": row.alert.alert_id, "fingerprint": row.alert.fingerprint, "revision": row.alert.revision + 1}
    return fresh(
        number,
        clock,
        started_at_ns=row.alert.started_at_ns,
        state=AlertState.RESOLVED,
        resolved_at_ns=clock.now_ns(),
        **changes,
    )


@pytest.fixture
async def notified() -> AsyncIterator[Notified]:
    made = Notified()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def server(tmp_path: Path, notified: Notified) -> Any:
    made = AlertmanagerServer(tmp_path / "alertmanager", notify=notified.url)
    made.start()
    yield made
    made.kill()


async def tell(sink: AlertmanagerSink, active: Sequence[Committed], batch: Sequence[Committed]) -> None:
    """As delivery does."""
    await sink.learn(active)
    await sink.deliver(batch)


async def until(condition: Any, what: str) -> None:
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"{what} did not come")


@pytest.mark.parametrize(
    "offset_ns", [0, 10 * HOUR, -10 * HOUR, -SYSTEM.now_ns() + HOUR], ids=["right", "ahead", "behind", "1970"]
)
async def test_notified_when_it_fires_and_when_it_ends_whatever_our_clock_says(
    server: AlertmanagerServer, notified: Notified, offset_ns: int
) -> None:
    """Somebody is told of both, also by a sensor whose clock was never set."""
    clock = ManualClock(SYSTEM.now_ns() + offset_ns)
    sink = sink_of(server.url, clock)
    await sink.open()
    row = fresh(1, clock)
    await tell(sink, [row], [row])
    await until(lambda: [state for state, _, _ in notified.alerts] == ["firing"], "the alert")
    await tell(sink, [], [ended(row, clock, 2)])
    await until(lambda: [state for state, _, _ in notified.alerts] == ["firing", "resolved"], "its end")
    await sink.close()
    (_, labels, annotations), _ = notified.alerts
    assert (labels["alertname"], labels["sensor"], labels["severity"]) == ("port_scan", "branch-7", "critical")
    assert annotations["description"].startswith("Ask whose machine this is")


async def test_killed_it_is_told_all_that_is_active_again(server: AlertmanagerServer) -> None:
    """Its alerts were in memory alone; the next round brings them back, and not those that have ended."""
    sink = sink_of(server.url)
    await sink.open()
    rows = [fresh(number, SYSTEM) for number in range(1, 4)]
    await tell(sink, rows, rows)
    await tell(sink, rows[1:], [ended(rows[0], SYSTEM, 9)])
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    assert server.alerts() == []
    await sink.resend()
    assert [each["annotations"]["event_id"] for each in server.alerts()] == [row.alert.event_id for row in rows[1:]]
    await sink.close()


async def test_a_sink_that_starts_tells_what_its_ledger_knows(server: AlertmanagerServer) -> None:
    """After a restart of the sensor nothing was delivered by this sink yet; what is active is told all the same."""
    sink = sink_of(server.url, batch_size=2)
    await sink.open()
    await sink.learn([fresh(number, SYSTEM) for number in range(1, 6)])
    await sink.resend()
    assert len(server.alerts()) == 5
    await sink.close()


async def test_heartbeat_is_an_alert_of_its_own(server: AlertmanagerServer) -> None:
    """And none at all where it is not wanted."""
    for mode in ("none", "watchdog"):
        sink = sink_of(server.url, heartbeat=mode)
        await sink.beat(sample_heartbeat())
        await sink.close()
        names = [each["labels"]["alertname"] for each in server.alerts()]
        assert names == ([] if mode == "none" else [HEARTBEAT])


async def test_it_refuses_nothing_that_an_alert_can_hold(server: AlertmanagerServer) -> None:
    """Names come from devices: whatever they are, Alertmanager takes the alert, and knows it again when it ends."""
    odd = {"": "no name", "7": "digit", "a-b c": "\ud800", "\u00e9": "\n\t", "__name__": "x", "empty": ""}
    rows = [
        replace(largest_alert(), seq=101),
        fresh(102, SYSTEM, title="", check="", technique=None, contributors=()),
        fresh(103, SYSTEM, title="\ud800\n", group="\ud800 group", labels=MappingProxyType(odd)),
        fresh(104, SYSTEM, entity=Entity(EntityKind.INTERFACE, "sw1/\x00\x1b[31m\u202e")),
        fresh(105, SYSTEM, contributors=(Contributor("f", "1", float("nan")), Contributor("f", "1", 1.0, baseline=float("inf")))),
    ]
    rows = [replace(row, alert=replace(row.alert, alert_id=f"a{n}", fingerprint=f"{n}")) for n, row in enumerate(rows)]
    sink = sink_of(server.url)
    await tell(sink, rows, rows)
    assert len(server.alerts()) == len(rows)
    await tell(sink, [], [ended(row, SYSTEM, row.seq) for row in rows])
    await sink.resend()
    await sink.close()
    assert server.alerts() == []


class Picky:
    """Answers as Alertmanager was measured to: 400 when one alert of a POST is bad, with the good ones of it accepted."""

    def __init__(self, bad: set[str]) -> None:
        self.bad, self.posts, self.alerts = bad, 0, []

    async def post(self, request: web.Request) -> web.Response:
        posted = await request.json()
        self.posts += 1
        refused = [each for each in posted if each["annotations"]["event_id"] in self.bad]
        self.alerts += [each["annotations"]["event_id"] for each in posted if each not in refused]
        return web.Response(status=400, text="bad label") if refused else web.Response()


async def test_a_refused_alert_is_found_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """One poison among many: its row is named, every other is accepted; told again, it is left out and said once."""
    rows = [fresh(number, SYSTEM) for number in range(1, 101)]
    picky = Picky({rows[36].alert.event_id})
    application = web.Application()
    application.add_routes([web.post("/api/v2/alerts", picky.post)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sink = sink_of(f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        await sink.learn(rows)
        with pytest.raises(PartialDelivery) as caught:
            await sink.deliver(rows)
        assert caught.value.rejected == {36: "400 bad request: bad label"}
        assert set(picky.alerts) == {row.alert.event_id for row in rows} - picky.bad
        assert picky.posts < 20
        for _ in range(2):
            await sink.resend()
        assert [record.message for record in caplog.records].count(
            "Alertmanager refuses the active alert port_scan of host:192.0.2.7: 400 bad request: bad label"
        ) == 1
    finally:
        await sink.close()
        await runner.cleanup()


async def test_client_certificate(tmp_path: Path) -> None:
    """An Alertmanager that asks for one gets it; without it, alerts wait."""
    authority = Authority(tmp_path)
    pair, client = authority.issue("server"), authority.issue("sensor")
    tls = {"cert_file": str(pair.certificate), "key_file": str(pair.key), "client_ca_file": str(authority.file)}
    server = AlertmanagerServer(
        tmp_path / "alertmanager", web_config={"tls_server_config": {**tls, "client_auth_type": "RequireAndVerifyClientCert"}}
    )
    await asyncio.to_thread(server.start)
    row = fresh(1, SYSTEM)
    try:
        bare = sink_of(server.url, ca_file=authority.file)
        with pytest.raises(Retryable):
            await tell(bare, [row], [row])
        await bare.close()
        shown = sink_of(server.url, ca_file=authority.file, client_certificate=client.certificate, client_key=client.key)
        await tell(shown, [row], [row])
        assert shown.certificate_expiries().keys() == {"authority", "client"}
        await shown.close()
    finally:
        server.kill()

"""Heartbeats of a running daemon: what they say, to whom, and that delivery in trouble does not silence them."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from collector import Collector as FlakyCollector
from daemon_legs import until
from running_daemon import QUIET, beating
from sample_alert import sample_alert

from netmote.clock import SystemClock
from netmote.collector.config import CollectorConfig
from netmote.collector.server import Collector
from netmote.collector.standing import SensorStanding
from netmote.daemon.config import Config
from netmote.daemon.heartbeat import section_hash


async def heard(collector: Collector, is_wanted: Callable[[SensorStanding], object]) -> SensorStanding:
    """The one sensor, once it stands as wanted."""
    async with asyncio.timeout(20):
        while True:
            for sensor in await collector.standings():
                if is_wanted(sensor):
                    return sensor
            await asyncio.sleep(0.05)


def webhook(name: str, url: str) -> dict[str, str]:
    return {"type": "webhook", "name": name, "url": url, "timeout": "1s"}


async def test_the_collector_hears_what_the_daemon_knows_of_itself(tmp_path: Path) -> None:
    """Level, hashes, versions, books and drops of a live daemon arrive at the reference upstream, and the next one a second later."""
    collector = Collector(CollectorConfig(database=tmp_path / "c.db", port=0, page_port=0), clock=SystemClock())
    await collector.open()
    try:
        async with beating(tmp_path / "state", sinks=[webhook("up", collector.url)]) as daemon:
            await daemon.store.commit([sample_alert(1), sample_alert(2, is_silenced=True), sample_alert(3)], None)
            daemon.deliveries.wake()

            sensor = await heard(collector, lambda sensor: sensor.lives[0].withheld_total)
            (life,) = sensor.lives
            assert (sensor.sensor, sensor.state, sensor.interval_seconds) == ("s1", "live", 1.0)
            assert life.epoch == daemon.store.ledger_epoch
            assert life.received_total >= 2
            assert (life.missing_total, life.open_total) == (0, 0), "what the sensor withholds is no gap"
            assert sensor.config_hash == section_hash(daemon.config)
            assert sensor.rules_hash == daemon.analyse.analysis.rules.hash
            assert sensor.level == daemon.health.level.value
            assert sensor.is_clock_synchronised in (True, False, None)
    finally:
        await collector.close()


async def test_after_a_kill_the_silence_is_seen(tmp_path: Path) -> None:
    """A daemon that is killed says nothing more: after three missed beats the collector calls it silent, with all it had committed."""
    collector = Collector(CollectorConfig(database=tmp_path / "c.db", port=0, page_port=0), clock=SystemClock())
    await collector.open()
    document = tmp_path / "netmote.yaml"
    document.write_text(
        yaml.safe_dump(
            {**QUIET, "heartbeat": {"interval": "1s"}, "models": {"bundles": []}, "sinks": [webhook("up", collector.url)]}
        )
    )
    command = ("-m", "netmote", "run", "--config", str(document), "--state-dir", str(tmp_path / "state"))
    daemon = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=asyncio.subprocess.DEVNULL)
    try:
        await heard(collector, lambda sensor: sensor.state == "live")
        daemon.kill()
        await daemon.wait()
        sensor = await heard(collector, lambda sensor: sensor.state == "silent")
        assert sensor.missed_heartbeats == 3
        assert sensor.missing_total == 0
    finally:
        if daemon.returncode is None:
            daemon.kill()
            await daemon.wait()
        await collector.close()


async def test_beats_go_on_while_deliveries_fail(tmp_path: Path) -> None:
    """One sink's receiver refuses alerts for a while, the other's is gone: heartbeats of all come in time or are counted as failed."""
    async with FlakyCollector(tmp_path / "flaky.db") as flaky:
        sinks = [webhook("flaky", flaky.url), webhook("gone", "http://127.0.0.1:1/")]
        async with beating(tmp_path / "state", sinks=sinks) as daemon:
            await daemon.store.commit([sample_alert(1)], None)
            flaky.behave(status=503, times=3)
            daemon.deliveries.wake()
            before = len(beats(flaky))
            await until(lambda: len(beats(flaky)) >= before + 3)
            numbers = [event["data"]["number"] for event in beats(flaky)]
            assert numbers == sorted(set(numbers))
            counted = daemon.metrics.registry.get_sample_value
            await until(lambda: (counted("netmote_heartbeats_total", {"sink": "gone", "outcome": "failed"}) or 0) >= 2)
            assert counted("netmote_heartbeats_total", {"sink": "flaky", "outcome": "sent"}) >= 3


def beats(collector: FlakyCollector) -> list[dict[str, Any]]:
    return [event for event in collector.events if event["type"] == "io.netmote.heartbeat.v1"]


async def test_a_sink_may_be_left_out(tmp_path: Path) -> None:
    """A sink that is named gets none; the other's go on."""
    async with FlakyCollector(tmp_path / "a.db") as wanted, FlakyCollector(tmp_path / "b.db") as unwanted:
        sinks = [webhook("wanted", wanted.url), webhook("unwanted", unwanted.url)]
        heartbeat = {"interval": "1s", "left_out_sinks": ["unwanted"]}
        async with beating(tmp_path / "state", sinks=sinks, heartbeat=heartbeat):
            await until(lambda: len(beats(wanted)) >= 2)
            assert not beats(unwanted)


def test_the_configuration_hash_says_what_is_in_force() -> None:
    """Defaults written out change nothing, a value does; a sink to leave out must exist."""
    plain = Config.model_validate({"sensor": "s1"})
    assert section_hash(plain) == section_hash(Config.model_validate({"sensor": "s1", "heartbeat": {"interval": "60s"}}))
    assert section_hash(plain) != section_hash(Config.model_validate({"sensor": "s1", "heartbeat": {"interval": "61s"}}))

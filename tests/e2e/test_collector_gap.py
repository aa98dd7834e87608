"""A collector that went back to an older copy of its file: the gap is seen by the next heartbeat, and closed by a resend."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from running_daemon import ask, beating
from sample_alert import sample_alert

from netmote.clock import SystemClock
from netmote.collector.config import CollectorConfig
from netmote.collector.server import Collector
from netmote.collector.standing import SensorStanding


async def stands(collector: Collector, is_wanted: Callable[[SensorStanding], object]) -> SensorStanding:
    async with asyncio.timeout(30):
        while True:
            for sensor in await collector.standings():
                if is_wanted(sensor):
                    return sensor
            await asyncio.sleep(0.05)


async def opened(database: Path, port: int = 0) -> Collector:
    collector = Collector(CollectorConfig(database=database, port=port, page_address=""), clock=SystemClock())
    await collector.open()
    return collector


async def test_what_a_collector_lost_comes_again(tmp_path: Path) -> None:
    """Delivered and committed, then lost with the disk: the page names the range, `resend` brings it, nothing comes twice."""
    database = tmp_path / "collector.db"
    collector = await opened(database)
    port = int(collector.url.rstrip("/").rpartition(":")[2])
    sinks = [{"type": "webhook", "name": "up", "url": collector.url, "timeout": "2s"}]
    async with beating(tmp_path / "state", sinks=sinks) as daemon:
        await daemon.store.commit([sample_alert(1)], None)
        daemon.deliveries.wake()
        await stands(collector, lambda sensor: sensor.lives[0].events >= 1)
        await collector.close()
        shutil.copy(database, tmp_path / "backup.db")

        collector = await opened(database, port)
        lost = await daemon.store.commit([sample_alert(number) for number in range(2, 12)], None)
        daemon.deliveries.wake()
        last = lost[-1].seq
        await stands(collector, lambda sensor: sensor.lives[0].last_seq >= last and not sensor.missing_total)
        await collector.close()
        shutil.copy(tmp_path / "backup.db", database)

        collector = await opened(database, port)
        gap = await stands(collector, lambda sensor: sensor.missing_total)
        first, end = gap.lives[0].missing[0]
        assert first <= lost[0].seq
        assert end >= last
        await ask(tmp_path / "state", "resend", sink="up", first=first, last=end)
        whole = await stands(collector, lambda sensor: not sensor.missing_total)
        assert whole.lives[0].received_total + whole.lives[0].withheld_total >= last
        kept = await collector.ledger.events_after(0, limit=1_000)
        assert len({event.body for event in kept}) == len(kept)
    await collector.close()

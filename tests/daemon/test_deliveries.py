"""Delivery to all sinks: each begun anew alone, and one last attempt at the stop."""

import asyncio
from pathlib import Path
from random import Random

import pytest
from collector import Collector
from daemon_legs import Legs, until
from sample_alert import sample_alert

from netmote.daemon.config import Config
from netmote.daemon.deliveries import Deliveries


def sinks(*configs: dict[str, object]) -> tuple:
    return Config.model_validate({"sinks": configs}).sinks


async def deliveries(legs: Legs) -> tuple[Deliveries, object]:
    store = await legs.store()
    made = Deliveries(
        store, supervise=legs.supervised, clock=legs.clock, random=Random(1), health=legs.health, metrics=legs.metrics
    )
    return made, store


async def test_an_unchanged_sink_goes_on(legs: Legs, tmp_path: Path) -> None:
    """Adding, changing and removing sinks leaves the others' tasks alone; order follows the document; nothing is sent twice."""
    made, store = await deliveries(legs)
    async with Collector(tmp_path / "up.db") as upstream, asyncio.timeout(20), asyncio.TaskGroup() as group:
        up = {"type": "webhook", "name": "up", "url": upstream.url}
        await made.apply(group, sinks(up), deadline=1.0)
        (first,) = made.delivers
        await store.commit([sample_alert(1)], None)
        made.wake()
        await until(lambda: len(upstream.events) == 1)
        await made.apply(group, sinks({"type": "journal"}, up), deadline=1.0)
        assert [deliver.sink.name for deliver in made.delivers] == ["journal", "up"]
        assert made.delivers[1] is first
        await made.apply(group, sinks({**up, "batch_size": 7}), deadline=1.0)
        assert made.delivers[0] is not first
        await store.commit([sample_alert(2)], None)
        made.wake()
        await until(lambda: len(upstream.events) == 2)
        await made.stop(deadline=1.0)
        ids = upstream.ids
    assert len(ids) == len(set(ids)) == 2
    assert made.delivers == []
    assert not legs.health.reasons


async def test_the_last_attempt_delivers_what_waits(legs: Legs, tmp_path: Path) -> None:
    """An alert committed in the last instant goes out with the stop."""
    made, store = await deliveries(legs)
    async with Collector(tmp_path / "up.db") as upstream, asyncio.timeout(20), asyncio.TaskGroup() as group:
        await made.apply(group, sinks({"type": "webhook", "name": "up", "url": upstream.url}), deadline=1.0)
        await until(lambda: made.delivers)
        await store.commit([sample_alert(1)], None)
        await made.stop(deadline=2.0)
        assert len(upstream.events) == 1


async def test_a_bug_of_a_sink_does_not_keep_the_daemon_from_stopping(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """The last attempt may fail in any way: it is logged with its traceback, and the stop goes on."""
    made, store = await deliveries(legs)

    class Broken:
        name = "journal"

        async def open(self) -> None: ...

        async def deliver(self, batch: object) -> None:
            raise ZeroDivisionError

        async def beat(self, heartbeat: object) -> None: ...

        async def close(self) -> None: ...

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        await made.apply(group, sinks({"type": "journal"}), deadline=1.0)
        made.delivers[0].sink = Broken()
        await store.commit([sample_alert(1)], None)
        await made.stop(deadline=1.0)
    assert any("last attempt" in record.message and record.exc_info for record in caplog.records)

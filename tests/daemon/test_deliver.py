"""Delivery: at least once, in order, through outages; poison is found, quarantined and passed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
from manual_clock import ManualClock
from recording_sink import RecordingSink
from sample_alert import sample_alert

from netmote.daemon.deliver import Deliver
from netmote.errors import PartialDelivery, Permanent, Retryable
from netmote.store.config import StoreConfig
from netmote.store.delivery_ledger import SinkOutbox
from netmote.store.store import Store
from netmote.telemetry.health import Health
from netmote.telemetry.metrics import Metrics


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path, StoreConfig(free_space_floor=0), sensor="s1", clock=ManualClock())
    await store.open()
    yield store
    await store.close()


async def books(store: Store, sink: RecordingSink) -> SinkOutbox | None:
    return next((each for each in await store.outbox() if each.sink == sink.name), None)


async def delivered(store: Store, sink: RecordingSink, count: int, *, batch_limit: int = 100, seconds: float = 10.0) -> Deliver:
    """Run delivery until the sink has settled `count` rows, by acceptance or quarantine."""
    health, clock = Health(ManualClock()), ManualClock()
    deliver = Deliver(sink, store, batch_limit=batch_limit, clock=clock, random=Random(1), health=health, metrics=Metrics())
    async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
        task = group.create_task(deliver.run())
        while True:
            outbox = await books(store, sink)
            if outbox is not None and outbox.delivered + outbox.quarantined >= count:
                break
            await asyncio.sleep(0.01)
        task.cancel()
    return deliver


async def test_outage_loses_nothing_and_repeats_with_the_same_ids(store: Store) -> None:
    """A sink that fails twice gets the same rows again, and in the end each exactly once, in order."""
    sink = RecordingSink(answers=[Retryable("down"), Retryable("down", after=0.01)])
    await store.register_sink(sink.name)
    rows = await store.commit([sample_alert(n) for n in range(5)], None)
    deliver = await delivered(store, sink, 5)
    assert [row.seq for row in sink.accepted] == [row.seq for row in rows]
    assert sink.offered[0] == sink.offered[1] == sink.offered[2]
    assert deliver.last_error is None
    assert sink.closed == 1


async def test_poison_is_found_by_halving_and_the_rest_goes_on(store: Store) -> None:
    """Two rows refused for ever among sixteen are quarantined with the reason; the other fourteen arrive, in order."""
    sink = RecordingSink(poison=frozenset({5, 12}))
    sink.refusal = Permanent
    await store.register_sink(sink.name)
    await store.commit([sample_alert(n) for n in range(16)], None)
    await delivered(store, sink, 16)
    assert [row.seq for row in sink.accepted] == [n for n in range(1, 17) if n not in (5, 12)]
    outbox = await books(store, sink)
    assert (outbox.delivered, outbox.quarantined, outbox.queued, outbox.holds) == (14, 2, 0, True)


async def test_partial_refusal_quarantines_what_was_named(store: Store) -> None:
    """Rows that the receiver named are quarantined, and the others are not sent again."""
    sink = RecordingSink(answers=[PartialDelivery({1: "no", 3: "neither"})])
    await store.register_sink(sink.name)
    await store.commit([sample_alert(n) for n in range(4)], None)
    await delivered(store, sink, 4)
    outbox = await books(store, sink)
    assert (outbox.delivered, outbox.quarantined, outbox.holds) == (2, 2, True)
    assert len(sink.offered) == 1


async def test_retryable_after_a_split_keeps_what_was_settled(store: Store) -> None:
    """An outage in the middle of halving does not send the settled half again."""
    sink = RecordingSink(answers=[Permanent("one of four"), None, Retryable("down")])
    await store.register_sink(sink.name)
    await store.commit([sample_alert(n) for n in range(4)], None)
    await delivered(store, sink, 4)
    assert [row.seq for row in sink.accepted] == [1, 2, 3, 4]


async def test_silenced_alerts_stay_at_home(store: Store) -> None:
    """A silenced revision is stored and not forwarded."""
    sink = RecordingSink()
    await store.register_sink(sink.name)
    await store.commit([sample_alert(1, is_silenced=True), sample_alert(2)], None)
    await delivered(store, sink, 1)
    assert [row.alert.alert_id for row in sink.accepted] == [sample_alert(2).alert_id]


async def test_cursor_survives_a_restart(store: Store, tmp_path: Path) -> None:
    """What was accepted before a restart is not sent after it; what came meanwhile is."""
    sink = RecordingSink()
    await store.register_sink(sink.name)
    await store.commit([sample_alert(1)], None)
    await delivered(store, sink, 1)
    await store.close()
    again = Store(tmp_path, StoreConfig(free_space_floor=0), sensor="s1", clock=ManualClock())
    await again.open()
    try:
        await again.commit([sample_alert(2)], None)
        await delivered(again, sink, 2)
    finally:
        await again.close()
    assert [row.alert.alert_id for row in sink.accepted] == [sample_alert(1).alert_id, sample_alert(2).alert_id]


async def test_drain_leaves_the_rest_in_the_ledger(store: Store) -> None:
    """At a stop, a sink that is down does not hold the daemon; its alerts wait."""
    sink = RecordingSink(answers=[Retryable("down")] * 3)
    await store.register_sink(sink.name)
    await store.commit([sample_alert(1)], None)
    deliver = Deliver(
        sink, store, batch_limit=10, clock=ManualClock(), random=Random(1), health=Health(ManualClock()), metrics=Metrics()
    )
    await deliver.drain(1.0)
    assert (await books(store, sink)).queued == 1
    assert sink.closed == 1

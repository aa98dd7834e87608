"""Heartbeats through the delivery task: one at a time with deliveries, newest wins, on time while deliveries are retried."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random

import pytest
from daemon_legs import until
from manual_clock import ManualClock
from recording_sink import RecordingSink
from sample_alert import sample_alert

from netmote.alerts.alert import Committed
from netmote.daemon.deliver import Deliver
from netmote.errors import Permanent, Retryable
from netmote.store.config import StoreConfig
from netmote.store.store import Store
from netmote.telemetry.health import Health, Level
from netmote.telemetry.heartbeat import Heartbeat, SinkBooks
from netmote.telemetry.metrics import Metrics


def beat(number: int) -> Heartbeat:
    return Heartbeat("s1", "e1", number, 60.0, 0, 0, "1", Level.FULL, (), "c", "r", (), 0, SinkBooks(0, 0))


class Rig:
    """One delivery task on a real ledger."""

    def __init__(self, sink: RecordingSink, store: Store) -> None:
        self.sink, self.store, self.metrics = sink, store, Metrics()
        self.deliver = Deliver(
            sink,
            store,
            batch_limit=10,
            clock=ManualClock(),
            random=Random(1),
            health=Health(ManualClock()),
            metrics=self.metrics,
        )

    def counted(self, outcome: str) -> float:
        value = self.metrics.registry.get_sample_value("netmote_heartbeats_total", {"sink": self.sink.name, "outcome": outcome})
        return value or 0.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path, StoreConfig(free_space_floor=0), sensor="s1", clock=ManualClock())
    await store.open()
    await store.register_sink("recording")
    yield store
    await store.close()


async def test_a_beat_goes_out_at_once_when_idle(store: Store) -> None:
    """With nothing to deliver the task sleeps; a heartbeat wakes it, and opens the sink when nothing was delivered yet."""
    rig = Rig(RecordingSink(), store)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(rig.deliver.run())
        await asyncio.sleep(0.02)
        rig.deliver.offer_beat(beat(1))
        await until(lambda: rig.sink.beats)
        task.cancel()
    assert (rig.sink.opened, rig.counted("sent")) == (1, 1)


async def test_beats_go_out_while_deliveries_are_retried(store: Store) -> None:
    """A sink that refuses alerts for an hour still takes heartbeats, and a heartbeat does not shorten the back-off."""
    rig = Rig(RecordingSink(answers=[Retryable("down", after=3600.0)]), store)
    await store.commit([sample_alert(1)], None)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(rig.deliver.run())
        await until(lambda: rig.deliver.last_error)
        for number in range(1, 4):
            rig.deliver.offer_beat(beat(number))
            await until(lambda number=number: len(rig.sink.beats) == number)
        task.cancel()
    assert len(rig.sink.offered) == 1
    assert rig.counted("sent") == 3


async def test_the_newest_beat_wins_and_the_others_are_counted(store: Store) -> None:
    """While the sink is busy only one heartbeat waits; deliver and beat are never under way together."""

    class Slow(RecordingSink):
        is_busy = False

        async def deliver(self, batch: Sequence[Committed]) -> None:
            self.is_busy = True
            await asyncio.sleep(0.1)
            await super().deliver(batch)
            self.is_busy = False

        async def beat(self, heartbeat: Heartbeat) -> None:
            assert not self.is_busy
            await super().beat(heartbeat)

    rig = Rig(Slow(), store)
    await store.commit([sample_alert(1)], None)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(rig.deliver.run())
        await until(lambda: rig.sink.is_busy)
        for number in range(1, 4):
            rig.deliver.offer_beat(beat(number))
        await until(lambda: rig.sink.beats)
        task.cancel()
    assert [each.number for each in rig.sink.beats] == [3]
    assert (rig.counted("sent"), rig.counted("superseded")) == (1, 2)


@pytest.mark.parametrize("error", [Retryable("down"), Permanent("never heard of that")])
async def test_a_beat_that_fails_is_counted_and_not_repeated(store: Store, error: Exception) -> None:
    """A refused heartbeat costs nothing but itself: alerts go on, the next one is sent."""

    class Deaf(RecordingSink):
        async def beat(self, heartbeat: Heartbeat) -> None:
            if heartbeat.number == 1:
                raise error
            await super().beat(heartbeat)

    rig = Rig(Deaf(), store)
    await store.commit([sample_alert(1)], None)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(rig.deliver.run())
        rig.deliver.offer_beat(beat(1))
        await until(lambda: rig.sink.accepted and rig.counted("failed"))
        rig.deliver.offer_beat(beat(2))
        await until(lambda: rig.sink.beats)
        task.cancel()
    assert [each.number for each in rig.sink.beats] == [2]
    assert rig.deliver.last_error is None


async def test_a_beat_is_sent_in_the_middle_of_a_long_search_for_poison(store: Store) -> None:
    """Halving a batch takes many calls: a heartbeat waits for one of them, not for all."""

    class Offering(RecordingSink):
        async def deliver(self, batch: Sequence[Committed]) -> None:
            if len(batch) == 5:
                rig.deliver.offer_beat(beat(1))
            elif len(batch) == 1:
                assert self.beats, "the heartbeat went before the search was over"
            await super().deliver(batch)

    sink = Offering(poison=frozenset({7}))
    sink.refusal = Permanent
    rig = Rig(sink, store)
    await store.commit([sample_alert(n) for n in range(10)], None)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(rig.deliver.run())
        await until(lambda: len(sink.accepted) == 9)
        task.cancel()
    assert rig.counted("sent") == 2, "one for each half"


async def test_the_last_attempt_sends_what_waits_or_counts_it(store: Store) -> None:
    """At the stop a waiting heartbeat is sent when the sink takes it, else counted as failed."""
    rig = Rig(RecordingSink(), store)
    rig.deliver.offer_beat(beat(1))
    await rig.deliver.drain(1.0)
    assert [each.number for each in rig.sink.beats] == [1]
    down = Rig(RecordingSink(name="down"), store)

    async def unreachable() -> None:
        raise Retryable("no route")

    down.sink.open = unreachable  # type: ignore[method-assign]
    await store.register_sink("down")
    await store.commit([sample_alert(1)], None)
    down.deliver.offer_beat(beat(2))
    await down.deliver.drain(1.0)
    assert (down.counted("failed"), down.counted("sent")) == (1, 0)

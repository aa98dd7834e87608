"""The first leg: durable, then handed on; a full queue, a full disk and a poison batch each cost what they must and no more."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from daemon_legs import Legs, until
from observed_records import pane, reading

from netmote.daemon.ingest import COMPONENT, Ingest, Observed
from netmote.errors import Retryable
from netmote.records.batch import Batch
from netmote.records.host import HostRecord
from netmote.store.store import Position, Store
from netmote.telemetry.health import Level


@asynccontextmanager
async def running(ingest: Ingest) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(ingest.run())
        yield
        task.cancel()


async def test_what_is_handed_on_is_durable(legs: Legs) -> None:
    """Each hand-over names the position of its last batch, and the store gives back the same batches up to there."""
    store, handed = await legs.store(), []
    ingest = legs.ingest(store, handed.append)
    async with running(ingest):
        for number in range(5):
            ingest.put(pane(number, ports=3))
        await ingest.drain()
    assert [len(each.batches) for each in handed] == [5]
    found = await store.read_after(None)
    assert found[-1][0] == handed[0].position
    assert [batch.end_ns for _, batch in found] == [batch.end_ns for batch in handed[0].batches]
    assert ingest.is_empty
    assert ingest.batches == 5


async def test_a_full_queue_drops_the_newest_and_counts_its_records(legs: Legs) -> None:
    """Nobody waits: what does not fit is counted by record, what was queued before is stored in order."""
    store, handed = await legs.store(), []
    ingest = legs.ingest(store, handed.append, limit=3)
    for number in range(3):
        ingest.put(reading(number))
    ingest.put(pane(0, ports=9))
    ingest.put(reading(4))
    assert ingest.waiting == 3
    assert legs.discards.totals == {"ingest/queue_full": 11}
    async with running(ingest):
        await ingest.drain()
    assert [type(batch) for each in handed for batch in each.batches] == [HostRecord] * 3


async def test_a_full_disk_hands_on_without_storing(legs: Legs) -> None:
    """Below the floor the level is `ledger`, batches still reach analysis, the loss is counted as policy; with room it is over."""
    store, handed = await legs.store(free_space_floor=2**60), []
    ingest = legs.ingest(store, handed.append)
    async with running(ingest):
        ingest.put(reading(0))
        await ingest.drain()
        assert handed[-1].position is None
        assert legs.health.level is Level.LEDGER
        assert "floor" in legs.reason(COMPONENT)
        assert legs.discards.totals == {"store/StoreFull": 1}
    assert 'intentional="true"' in legs.metrics.render().decode()
    await store.close()
    roomy = await legs.store()
    again = legs.ingest(roomy, handed.append)
    async with running(again):
        again.put(reading(1))
        await again.drain()
    assert handed[-1].position is not None
    assert legs.health.level is Level.FULL


class Poisoned(Store):
    """A real store that cannot take one batch."""

    poison: Batch
    attempts = 0

    async def append(self, batches: Sequence[Batch]) -> Position:
        if any(batch is self.poison for batch in batches):
            self.attempts += 1
            raise ValueError("no such column")
        return await super().append(batches)


async def test_a_batch_that_the_store_cannot_take_costs_only_itself(legs: Legs, caplog: pytest.LogCaptureFixture) -> None:
    """The culprit among many is found one by one, said with its traceback, counted; all of them reach analysis in order."""
    store, handed = await legs.store(Poisoned), []
    ingest = legs.ingest(store, handed.append)
    batches = [reading(number) for number in range(6)]
    store.poison = batches[3]
    for batch in batches:
        ingest.put(batch)
    async with running(ingest):
        await ingest.drain()
        assert [batch for each in handed for batch in each.batches] == batches
        assert [each.batches[0] for each in handed if each.position is None] == [store.poison]
        assert legs.discards.totals == {"store/ValueError": 1}
        assert store.attempts == 2
        assert legs.reason(COMPONENT) is None
        assert [record.exc_info is not None for record in caplog.records if "cannot take" in record.message] == [True]
        for number in range(6, 9):
            ingest.put(reading(number))
        await ingest.drain()
    assert len(handed[-1].batches) == 3


async def test_a_fault_of_the_moment_is_tried_again(legs: Legs) -> None:
    """An error that may pass loses nothing when it passes, and only then goes on without storing."""

    class Busy(Store):
        fails = 1

        async def append(self, batches: Sequence[Batch]) -> Position:
            if self.fails:
                self.fails -= 1
                raise Retryable("database is locked")
            return await super().append(batches)

    store, handed = await legs.store(Busy), []
    ingest = legs.ingest(store, handed.append)
    async with running(ingest):
        ingest.put(reading(0))
        await ingest.drain()
        assert handed[-1].position is not None
        assert not legs.discards.totals
        store.fails = 3
        ingest.put(reading(1))
        await ingest.drain()
    assert handed[-1].position is None
    assert legs.discards.totals == {"store/Retryable": 1}


async def test_a_restart_takes_up_what_waits(legs: Legs) -> None:
    """Run again after a crash, it stores what is still in the queue without waiting for something new."""
    store, handed = await legs.store(), []

    def explode(_observed: Observed) -> None:
        raise ZeroDivisionError

    ingest = legs.ingest(store, explode)
    ingest.put(reading(0))
    with pytest.raises(ZeroDivisionError):
        await ingest.run()
    ingest.put(reading(1))
    calm = legs.ingest(store, handed.append)
    calm.put(reading(2))
    async with running(calm):
        await until(lambda: handed)

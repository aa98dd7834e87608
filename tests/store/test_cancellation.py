"""Cancelling any method of the store at any moment leaves all of its change or nothing, and a store that goes on."""

import asyncio

import pytest
from store_samples import alert, flow_batch

from netmote.store.store import Checkpoint


async def cancelled_after(delay, work):
    """Cancel the work after `delay` seconds, unless it was done by then."""
    try:
        async with asyncio.timeout(delay):
            await work
    except TimeoutError:
        return


@pytest.mark.parametrize("delay", [0.0, 0.0005, 0.002, 0.005, 0.01, 0.02])
async def test_append_is_all_or_nothing(opened, delay):
    """After a cancelled append the file holds the whole batch list or none of it, and ids stay without gaps."""
    store = await opened()
    batches = [flow_batch(rows=3000, seed=seed) for seed in range(8)]
    await cancelled_after(delay, store.append(batches))
    kept = await store.read_after(None)
    assert len(kept) in (0, 8)
    position = await store.append([flow_batch()])
    assert position.batch_id == len(kept) + 1
    assert len(await store.read_after(None)) == len(kept) + 1


@pytest.mark.parametrize("delay", [0.0, 0.0005, 0.002, 0.005, 0.02])
async def test_commit_is_all_or_nothing(opened, delay):
    """After a cancelled commit the alerts and their checkpoint are both there or both absent; repeating it is safe."""
    store = await opened()
    alerts, checkpoint = [alert(number) for number in range(200)], Checkpoint(None, 7, b"state")
    await cancelled_after(delay, store.commit(alerts, checkpoint))
    found = await store.recent_alerts(1000)
    assert len(found) in (0, 200)
    assert await store.checkpoint() == (checkpoint if found else None)
    assert [row.seq for row in await store.commit(alerts, checkpoint)] == list(range(1, 201))


async def test_closing_under_load(opened):
    """A close in the middle of appends and commits waits for them and leaves sound files."""
    store = await opened()

    async def append_for_ever(seed: int) -> None:
        while True:
            await store.append([flow_batch(seed=seed)])

    tasks = [asyncio.ensure_future(append_for_ever(seed)) for seed in range(3)]
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await store.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    store = await opened()
    assert store.recoveries == ()
    assert await store.read_after(None)

"""Offering again what a sink was done with: same ids, books of its own, and the first ones stay what they were."""

import sqlite3
from contextlib import closing

import pytest
from store_samples import alert

from netmote.alerts.alert import AlertState


@pytest.fixture
async def store(opened, clock):
    """Eight revisions a minute apart, from number 1: 3 silenced, 5 refused, 1 to 6 settled, 7 and 8 waiting."""
    store = await opened(alert_age=86400.0)
    await store.register_sink("webhook")
    for number in range(1, 9):
        await store.commit([alert(number, is_silenced=number == 3, state=AlertState.RESOLVED)], None)
        clock.advance(60)
    await store.quarantine("webhook", 5, "refused")
    await store.acknowledge("webhook", [1, 2, 4, 6])
    return store


async def offered(store):
    return [row.seq for row in await store.pending("webhook", limit=99)]


async def books(store, tmp_path):
    with closing(sqlite3.connect(f"file:{tmp_path / 'ledger.db'}?mode=ro", uri=True)) as connection:
        (row,) = connection.execute("SELECT asked, resent, waiting, refused, expired, holds FROM resend_identity").fetchall()
    (outbox,) = await store.outbox()
    assert outbox.holds
    assert (outbox.created, outbox.delivered, outbox.queued, outbox.quarantined) == (7, 4, 2, 1), (
        "first deliveries are as they were"
    )
    return row


async def test_a_range_goes_out_again_behind_what_waits(store, tmp_path):
    """What waits comes first; then the range, with its old numbers, without the silenced one."""
    assert await store.resend("webhook", first=2, last=7) == 4
    assert await offered(store) == [7, 8, 2, 4, 5, 6]
    assert await books(store, tmp_path) == (4, 0, 4, 0, 0, 1)
    assert await store.resend("webhook", first=1, last=4) == 1, "those asked for already are not asked twice"
    await store.acknowledge("webhook", [2, 4])
    await store.quarantine("webhook", 5, "refused again")
    await store.acknowledge("webhook", [2, 4])
    assert await offered(store) == [7, 8, 1, 6]
    assert await books(store, tmp_path) == (5, 2, 2, 1, 0, 1)


async def test_since_a_time(store, clock):
    """By the time of the commit as the wall clock told it."""
    assert await store.resend("webhook", since_ns=clock.now_ns() - 5 * 60 * 10**9) == 3
    assert await offered(store) == [7, 8, 4, 5, 6]


async def test_what_waits_to_be_resent_is_not_expired_by_age(store, clock, tmp_path):
    """Age removes what is done with; what was asked for again is not."""
    await store.resend("webhook", first=2, last=2)
    clock.advance(3 * 86400)
    assert (await store.maintain()).expired_alerts == 5
    assert await offered(store) == [7, 8, 2]
    assert await books(store, tmp_path) == (1, 0, 1, 0, 0, 1)


async def test_history_of_a_sink_that_came_late(store):
    """A sink registered today can be sent what was committed before; its first books begin at its registration all the same."""
    await store.register_sink("late")
    assert await store.resend("late", first=1, last=8) == 7
    rows = await store.pending("late", limit=99)
    await store.acknowledge("late", [row.seq for row in rows])
    late = (await store.outbox())[0]
    assert (late.sink, late.created, late.delivered, late.resent, late.resending, late.holds) == ("late", 0, 0, 7, 0, True)
    with pytest.raises(KeyError, match="not registered"):
        await store.resend("nobody", first=1)


async def test_a_resend_that_makes_room_is_counted(opened):
    """Under the quota of the ledger rows that wait to be resent go like those that wait for the first time, counted."""
    store = await opened(ledger_size=10_000_000)
    await store.register_sink("webhook")
    for number in range(1, 14_001, 500):
        rows = await store.commit([alert(number + each, state=AlertState.RESOLVED) for each in range(500)], None)
        await store.acknowledge("webhook", [row.seq for row in rows])
        if number == 1:
            assert await store.resend("webhook", first=1, last=500) == 500
    for number in range(14_001, 21_001, 500):
        await store.commit([alert(number + each, state=AlertState.RESOLVED) for each in range(500)], None)
    (outbox,) = await store.outbox()
    assert outbox.holds
    assert outbox.created == 21_000

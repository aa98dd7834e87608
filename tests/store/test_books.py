"""What a heartbeat says of a sink's books: up to where every number is accounted for, and which numbers will never come."""

import random

import pytest
from store_samples import alert

from netmote.alerts.alert import AlertState
from netmote.scoring.finding import Severity
from netmote.telemetry.heartbeat import SinkBooks, Withheld


def told(*ranges):
    return tuple(Withheld(*each) for each in ranges)


async def test_a_new_sink_is_not_owed_history(opened):
    """What was committed before a sink was registered is announced as such, once; an empty ledger announces nothing."""
    store = await opened()
    await store.register_sink("first")
    assert await store.books("first") == SinkBooks(0, 0)
    await store.commit([alert(1), alert(2)], None)
    await store.register_sink("second")
    await store.register_sink("second")
    assert await store.books("first") == SinkBooks(0, 2, last_seq=2)
    assert await store.books("second") == SinkBooks(2, 0, told((1, 2, "before_registration")), last_seq=2)
    with pytest.raises(KeyError, match="not registered"):
        await store.books("nobody")


async def test_every_reason_is_told_and_ranges_grow_together(opened):
    """Silenced and refused numbers stand in ranges; up to the settled number nothing else is missing."""
    store = await opened()
    await store.register_sink("webhook")
    await store.commit([alert(n, is_silenced=n in (2, 3, 7)) for n in range(1, 9)], None)
    for seq in (5, 6, 4):
        await store.quarantine("webhook", seq, "refused")
    books = await store.books("webhook")
    assert (books.settled_seq, books.queued) == (0, 2)
    await store.acknowledge("webhook", [1])
    books = await store.books("webhook")
    assert (books.settled_seq, books.queued, books.last_seq) == (7, 1, 8)
    assert books.withheld == told((2, 3, "silenced"), (4, 6, "quarantined"), (7, 7, "silenced"))


async def test_an_urgent_row_that_overtook_leaves_the_settled_number_behind(opened):
    """Delivered beyond what still waits: settled is the number before the first that waits."""
    store = await opened()
    await store.register_sink("webhook")
    await store.commit([alert(1, severity=Severity.NOTICE), alert(2, severity=Severity.CRITICAL)], None)
    await store.acknowledge("webhook", [2])
    assert await store.books("webhook") == SinkBooks(0, 1, last_seq=2)
    await store.acknowledge("webhook", [1])
    assert await store.books("webhook") == SinkBooks(2, 0, last_seq=2)


async def test_expired_numbers_stay_announced_after_their_rows_are_gone(opened):
    """Rows that made room are told as expired to the sink that lacked them, and only to that one."""
    store = await opened(ledger_size=10_000_000)
    for sink in ("ahead", "behind"):
        await store.register_sink(sink)
    for number in range(1, 14_001, 500):
        rows = await store.commit([alert(number + each, state=AlertState.RESOLVED) for each in range(500)], None)
        await store.acknowledge("ahead", [row.seq for row in rows])
    (ahead, behind) = await store.outbox()
    assert (ahead.expired, ahead.holds, behind.holds) == (0, True, True)
    assert behind.expired > 0
    assert (await store.books("ahead")).withheld == ()
    books = await store.books("behind")
    assert books.withheld == told((1, behind.expired, "expired"))
    assert books.settled_seq == behind.expired
    assert books.queued == behind.queued == 14_000 - behind.expired


async def test_more_ranges_than_are_told_say_from_where_they_are_whole(opened):
    """Ranges are bounded in the file and in the answer: the newest are told, and `withheld_from` says from where on they are whole."""
    store = await opened()
    await store.register_sink("webhook")
    await store.commit([alert(n, is_silenced=n % 2 == 0) for n in range(1, 2_411)], None)
    books = await store.books("webhook")
    assert len(books.withheld) == 100
    assert books.withheld[-1] == Withheld(2410, 2410, "silenced")
    assert books.withheld_from == books.withheld[0].first - 1


async def test_settled_numbers_are_delivered_or_withheld_under_any_order_of_work(opened, clock):
    """A seeded run: up to `settled_seq` each number was delivered or stands in a range; no number that waits does."""
    rng, store = random.Random(11), await opened()
    for sink in ("a", "b"):
        await store.register_sink(sink)
    delivered = {"a": set(), "b": set()}
    for number in range(1, 151):
        severity = Severity(rng.choice([2, 4, 5, 6]))
        await store.commit([alert(number, is_silenced=rng.random() < 0.2, severity=severity)], None)
        sink = rng.choice("ab")
        rows = await store.pending(sink, limit=rng.randint(1, 4))
        refused = [row for row in rows if rng.random() < 0.3]
        for row in refused:
            await store.quarantine(sink, row.seq, "refused")
        accepted = [row.seq for row in rows if row not in refused]
        await store.acknowledge(sink, accepted)
        delivered[sink].update(accepted)
        for name in ("a", "b"):
            books = await store.books(name)
            withheld = {n for each in books.withheld for n in range(each.first, each.last + 1)}
            assert {n for n in range(books.withheld_from, books.settled_seq + 1) if n} <= delivered[name] | withheld
            assert not withheld & delivered[name]
            waiting = {row.seq for row in await store.pending(name, limit=1000)}
            assert not waiting & withheld
            assert len(waiting) == books.queued
            assert min(waiting, default=number + 1) == books.settled_seq + 1

"""The books of the sinks: nothing is skipped, nothing is doubled, and the identity holds at every step."""

import random
import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from store_samples import alert

from netmote.alerts.alert import AlertState
from netmote.scoring.finding import Severity


async def assert_identity(store, tmp_path):
    """The identity, created = acknowledged + queued + quarantined + expired, by the view and by the facade."""
    with closing(sqlite3.connect(f"file:{tmp_path / 'ledger.db'}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT sink, created, acknowledged, queued, quarantined, expired, holds FROM ledger_identity"
        ).fetchall()
    for sink, created, acknowledged, queued, quarantined, expired, holds in rows:
        assert created == acknowledged + queued + quarantined + expired, sink
        assert holds == 1
    assert all(each.holds for each in await store.outbox())


async def test_a_new_sink_begins_at_the_tail(opened):
    """A sink just configured is not flooded with history, unless it is told to begin at the beginning."""
    store = await opened()
    await store.commit([alert(1)], None)
    await store.register_sink("new")
    await store.register_sink("whole", from_beginning=True)
    await store.commit([alert(2)], None)
    assert [each.seq for each in await store.pending("new", limit=9)] == [2]
    assert [each.seq for each in await store.pending("whole", limit=9)] == [1, 2]


async def test_registering_again_keeps_the_cursor(opened):
    """Every start registers its sinks; what was acknowledged stays so."""
    store = await opened()
    await store.register_sink("webhook")
    await store.commit([alert(1), alert(2)], None)
    await store.acknowledge("webhook", [1])
    await store.close()
    store = await opened()
    await store.register_sink("webhook", from_beginning=True)
    assert [each.seq for each in await store.pending("webhook", limit=9)] == [2]


async def test_silenced_revisions_are_stored_but_not_pending(opened):
    """A silenced alert is shown and never forwarded."""
    store = await opened()
    await store.register_sink("webhook")
    await store.commit([alert(1, is_silenced=True), alert(2)], None)
    assert [each.seq for each in await store.pending("webhook", limit=9)] == [2]
    await store.acknowledge("webhook", [1, 2])
    assert len(await store.recent_alerts(9)) == 2
    (books,) = await store.outbox()
    assert (books.created, books.delivered, books.queued) == (1, 1, 0)


async def test_poison_is_set_aside_and_the_rest_goes_on(opened, tmp_path):
    """One refused row is quarantined with its reason; the others are delivered; the books balance throughout."""
    store = await opened()
    await store.register_sink("webhook")
    await store.commit([alert(number) for number in range(1, 6)], None)
    await store.quarantine("webhook", 3, "refused: too large")
    await store.quarantine("webhook", 3, "again")
    await assert_identity(store, tmp_path)
    assert [each.seq for each in await store.pending("webhook", limit=9)] == [1, 2, 4, 5]
    await store.acknowledge("webhook", [1, 2, 3, 4, 5])
    await assert_identity(store, tmp_path)
    (books,) = await store.outbox()
    assert (books.created, books.delivered, books.queued, books.quarantined) == (5, 4, 0, 1)
    await store.quarantine("webhook", 1, "too late: it was delivered")
    assert (await store.outbox())[0].quarantined == 1


async def test_a_wrong_acknowledgement_is_refused(opened):
    """A number never given would falsify the books; repeating a right one is nothing, and neither is none."""
    store = await opened()
    await store.register_sink("webhook")
    await store.commit([alert(1), alert(2), alert(3)], None)
    with pytest.raises(ValueError, match="the last number is 3"):
        await store.acknowledge("webhook", [2, 4])
    await store.acknowledge("webhook", [1, 2])
    await store.acknowledge("webhook", [2, 1])
    await store.acknowledge("webhook", [])
    assert (await store.outbox())[0].delivered == 2
    with pytest.raises(KeyError, match="not registered"):
        await store.pending("nobody", limit=1)


async def test_the_oldest_age_is_of_the_queue(opened, clock):
    """The age counts from the oldest row still queued, and a clock that goes back makes it zero, not negative."""
    store = await opened()
    await store.register_sink("webhook")
    await store.commit([alert(1)], None)
    clock.advance(30)
    await store.commit([alert(2)], None)
    assert (await store.outbox())[0].oldest_age_seconds == pytest.approx(30)
    await store.acknowledge("webhook", [1])
    assert (await store.outbox())[0].oldest_age_seconds == pytest.approx(0)
    clock.step(-3600)
    assert (await store.outbox())[0].oldest_age_seconds == 0
    await store.acknowledge("webhook", [1, 2])
    assert (await store.outbox())[0].oldest_age_seconds is None


async def test_a_damaged_row_is_quarantined_not_delivered(opened, tmp_path):
    """A row whose check fails is left out, counted, and written off in the books with the reason."""
    store = await opened()
    await store.register_sink("webhook")
    await store.commit([alert(1), alert(2), alert(3)], None)
    await store.close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        (body,) = connection.execute("SELECT body FROM alert_revision WHERE seq = 2").fetchone()
        flipped = bytearray(body)
        flipped[40] ^= 4
        connection.execute("UPDATE alert_revision SET body = ? WHERE seq = 2", (bytes(flipped),))
        connection.commit()
    store = await opened()
    assert [each.seq for each in await store.pending("webhook", limit=9)] == [1, 3]
    assert (await store.maintain()).damaged_alerts == 1
    await store.acknowledge("webhook", [1, 2, 3])
    await assert_identity(store, tmp_path)
    assert (await store.outbox())[0].quarantined == 1


async def test_a_sink_that_left_holds_nothing_back(opened):
    """Forgetting a sink drops its books only."""
    store = await opened()
    await store.register_sink("old")
    await store.register_sink("kept")
    await store.commit([alert(1)], None)
    await store.forget_sink("old")
    assert [each.sink for each in await store.outbox()] == ["kept"]


async def test_the_identity_holds_under_any_order_of_work(opened, tmp_path, clock):
    """A seeded run of commits, deliveries, refusals, resends, expiries and restarts over three sinks never breaks the identity."""
    settings = {"alert_age": 86400.0, "queued_age": 7200.0}
    rng, store, number = random.Random(7), await opened(**settings), 0
    for sink in ("a", "b", "c"):
        await store.register_sink(sink)
    totals = Counter()
    for _ in range(120):
        clock.advance(rng.choice([0, 0, 600, 4000]))
        match rng.randrange(6):
            case 0 | 1:
                number += 1
                severity = Severity(rng.choice([2, 4, 6]))
                revisions = [
                    alert(number, revision, severity=severity, is_silenced=rng.random() < 0.2, state=AlertState.RESOLVED)
                    for revision in range(1, rng.randint(2, 4))
                ]
                await store.commit(revisions, None)
            case 2:
                sink = rng.choice("abc")
                rows = await store.pending(sink, limit=rng.randint(1, 5))
                refused = [row for row in rows if rng.random() < 0.2]
                for row in refused:
                    await store.quarantine(sink, row.seq, "refused")
                await store.acknowledge(sink, [row.seq for row in rows if row not in refused])
            case 3:
                statistics = await store.maintain()
                totals.update(given_up=statistics.expired_queued, gone=statistics.expired_alerts)
            case 4:
                first = rng.randint(1, max(1, number))
                totals.update(resent=await store.resend(rng.choice("abc"), first=first, last=first + 3))
            case 5:
                await store.close()
                store = await opened(**settings)
        await assert_identity(store, tmp_path)
    assert number > 20
    assert min(totals["given_up"], totals["gone"], totals["resent"]) > 0, totals

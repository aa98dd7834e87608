"""The order in which a sink is offered its backlog: the gravest first, and of one alert no revision before an earlier one."""

import pytest
from store_samples import alert

from netmote.scoring.finding import Severity

CRITICAL, WARNING, INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFORMATIONAL


async def offered(store, limit=100):
    return [row.seq for row in await store.pending("webhook", limit=limit)]


@pytest.fixture
async def store(opened):
    store = await opened()
    await store.register_sink("webhook")
    return store


async def test_a_grave_alert_overtakes_a_backlog(store):
    """After an outage: what is critical goes out before thousands of older infos, then those in the order of their numbers."""
    await store.commit([alert(n, severity=INFO) for n in range(1, 5001)], None)
    await store.commit([alert(5001, severity=WARNING), alert(5002, severity=CRITICAL), alert(5003, severity=CRITICAL)], None)
    assert await offered(store, 5) == [5002, 5003, 5001, 1, 2]
    await store.acknowledge("webhook", [5002, 5003, 5001, 1])
    assert await offered(store, 3) == [2, 3, 4]
    await store.commit([alert(5004, severity=CRITICAL)], None)
    assert await offered(store, 2) == [5004, 2]


async def test_a_rising_alert_takes_its_earlier_revisions_along(store):
    """Revision 3 is critical: 1 and 2 still wait far back, so they go out just before it, in order, and only once."""
    await store.commit([alert(1, severity=INFO), alert(2, severity=INFO), alert(2, 2, severity=WARNING)], None)
    await store.commit([alert(n, severity=INFO) for n in range(3, 9)], None)
    await store.commit([alert(2, 3, severity=CRITICAL)], None)
    assert await offered(store) == [2, 3, 10, 1, 4, 5, 6, 7, 8, 9]
    assert await offered(store, 2) == [2, 3], "cut by the limit: the rest of the alert comes with the next batch"


async def test_a_falling_alert_stays_in_order(store):
    """Grave first, then a lesser revision, then a grave one again: each after the one before it."""
    await store.commit([alert(9, severity=INFO)], None)
    revisions = [alert(1, 1, severity=CRITICAL), alert(1, 2, severity=INFO), alert(1, 3, severity=CRITICAL)]
    await store.commit(revisions, None)
    assert await offered(store) == [2, 3, 4, 1]


async def test_what_went_ahead_is_remembered(store, opened):
    """A row delivered ahead of its cursor does not come again, also after a restart, and the books are right throughout."""
    await store.commit([alert(1, severity=INFO), alert(2, severity=INFO), alert(2, 2, severity=CRITICAL)], None)
    await store.acknowledge("webhook", [2, 3])
    await store.close()
    store = await opened()
    assert await offered(store) == [1]
    (books,) = await store.outbox()
    assert (books.delivered, books.queued, books.holds) == (2, 1, True)
    await store.acknowledge("webhook", [1])
    assert await offered(store) == []
    assert await store._ledger.read(lambda c: c.execute("SELECT count(*) FROM delivered_ahead").fetchone()) == (1,)
    await store.commit([alert(3, severity=INFO)], None)
    await store.acknowledge("webhook", [4])
    assert await store._ledger.read(lambda c: c.execute("SELECT count(*) FROM delivered_ahead").fetchone()) == (0,)


async def test_a_refused_revision_does_not_hold_its_successor(store):
    """Quarantined is settled: the later revision goes out alone."""
    await store.commit([alert(1, severity=INFO), alert(1, 2, severity=CRITICAL), alert(2, severity=INFO)], None)
    await store.quarantine("webhook", 1, "refused")
    assert await offered(store) == [2, 3]


async def test_the_oldest_age_is_over_all_severities(store, clock):
    """The age of a backlog is that of its oldest row, however little it matters."""
    await store.commit([alert(1, severity=INFO)], None)
    clock.advance(60)
    await store.commit([alert(2, severity=CRITICAL)], None)
    assert (await store.outbox())[0].oldest_age_seconds == pytest.approx(60)

"""Whether wall time could be believed is stamped on each alert at its commit, guarded like the rest, and kept through salvage."""

import sqlite3
from contextlib import closing

import pytest
from store_samples import alert, device_record

from netmote.alerts.alert import AlertState
from netmote.store.config import StoreConfig
from netmote.store.store import Store

CONFIG = StoreConfig(free_space_floor=0, alert_age=86400.0)


@pytest.fixture
async def store(tmp_path, clock):
    """A store whose clock is unsynchronised at first; each commit asks anew."""
    states = [False, True, None]
    store = Store(tmp_path, CONFIG, sensor="edge", clock=clock, is_clock_synchronised=lambda: states.pop(0))
    await store.open()
    await store.register_sink("webhook")
    for number in range(1, 4):
        (row,) = await store.commit([alert(number, state=AlertState.RESOLVED)], None)
        assert row.is_clock_synchronised is [False, True, None][number - 1]
    yield store
    await store.close()


async def test_the_stamp_is_delivered_and_stays_the_first(store):
    """False, true and not known reach the sink apart; a revision committed again keeps what it had."""
    assert [row.is_clock_synchronised for row in await store.pending("webhook", limit=9)] == [False, True, None]
    store._is_clock_synchronised = lambda: True
    (again,) = await store.commit([alert(1, state=AlertState.RESOLVED)], None)
    assert again.is_clock_synchronised is False


@pytest.mark.parametrize("change", ["1 - is_clock_synchronised", "NULL"])
async def test_a_flipped_stamp_is_noticed(store, tmp_path, opened, change):
    """It is under the row's check: an alert of a wrong time must not pass for one of a right time."""
    await store.close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute(f"UPDATE alert_revision SET is_clock_synchronised = {change} WHERE seq = 1")
        connection.commit()
    again = await opened()
    assert [row.seq for row in await again.pending("webhook", limit=9)] == [2, 3]
    assert (await again.maintain()).damaged_alerts == 1


async def test_the_stamp_survives_salvage(store, tmp_path, opened):
    """Rows saved page by page have it too."""
    await store.close()
    data = bytearray((tmp_path / "ledger.db").read_bytes())
    data[:100] = bytes(100)
    (tmp_path / "ledger.db").write_bytes(bytes(data))
    saved = await opened()
    await saved.register_sink("webhook")
    assert [row.is_clock_synchronised for row in await saved.pending("webhook", limit=9)] == [False, True, None]


async def test_a_board_that_wakes_in_1970(tmp_path, clock):
    """Without a battery: the first life stands in 1970 until NTP comes, and nothing of it is old when the year is right."""
    clock.step(-clock.now_ns() / 1e9)
    store = Store(tmp_path, CONFIG, sensor="edge", clock=clock, is_clock_synchronised=lambda: clock.now_ns() > 10**18)
    await store.open()
    await store.append([device_record(clock.now_ns())])
    await store.commit([alert(1, state=AlertState.RESOLVED)], None)
    clock.advance(600)
    clock.step(1_795_000_000)
    await store.append([device_record(clock.now_ns())])
    await store.commit([alert(2, state=AlertState.RESOLVED)], None)
    statistics = await store.maintain()
    assert (statistics.unlinked_files, statistics.expired_alerts) == (0, 0)
    assert len(await store.read_after(None)) == 2
    assert [row.is_clock_synchronised for row in await store.recent_alerts(9)] == [True, False]
    await store.close()

"""What the store writes is counted as the disk sees it, shown as a rate, and can be limited."""

import sqlite3
from contextlib import closing

import pytest
from store_samples import SECOND, T0, alert, device_record, flow_batch

from netmote.store.daily_writes import DailyWrites
from netmote.store.log_meter import LogMeter
from netmote.store.store import StoreFull

HOUR = 3600 * SECOND


def test_frames_and_pages_are_counted_as_sqlite_tells_them(tmp_path):
    """Over rounds of the log: frames as wal_checkpoint reports them, each distinct page of a round once more for the file."""
    path = tmp_path / "a.db"
    meter = LogMeter(tmp_path / "a.db-wal", 4096)
    assert meter.note() == 0, "nothing was written yet"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE t(x BLOB)")
        expected = 0
        for _ in range(3):
            for _ in range(5):
                connection.execute("INSERT INTO t VALUES(randomblob(9000))")
                meter.note()
            _, frames, checkpointed = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            assert frames == checkpointed
            expected += frames * 4120 + len(meter._pages) * 4096
            assert meter.bytes == expected
            assert len(meter._pages) < frames, "the pages at the end of the table were written again and again"
    meter.close()
    meter.close()


def test_what_a_crash_left_is_not_counted(tmp_path):
    """A log found at the start was written by somebody else."""
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t(x)")
        meter = LogMeter(tmp_path / "a.db-wal", 4096)
        meter.begin()
        assert meter.bytes == meter.note() == 0
        connection.execute("INSERT INTO t VALUES(1)")
        assert meter.note() == 4120, "a page that the log held before is written into the file once, and was counted then"
        meter.close()


def test_a_day_of_hours():
    """The 24 hours up to now count; the rate is over what was watched, and is not guessed from minutes."""
    writes = DailyWrites()
    assert writes.rate(0) is None
    writes.note(100, 5 * HOUR)
    assert writes.rate(5 * HOUR + HOUR // 12) is None
    assert writes.rate(6 * HOUR) == 2400
    writes.note(50, 20 * HOUR)
    assert writes.of_last_day(28 * HOUR) == 150
    assert writes.of_last_day(29 * HOUR) == 50, "the first hour is a day ago"
    assert writes.rate(29 * HOUR) == 50
    assert writes.of_last_day(100 * HOUR) == 0


async def test_writes_are_reported(opened, clock):
    """Of telemetry and ledger apart, since the start; small transactions cost many times what they keep."""
    store = await opened()
    await store.maintain()
    before = (await store.maintain()).ledger_written_bytes
    for number in range(50):
        await store.append([device_record(T0 + number)])
        clock.advance(60)
    statistics = await store.maintain()
    assert statistics.telemetry_written_bytes > 50 * 3 * 4120
    assert statistics.written_per_day == pytest.approx(statistics.telemetry_written_bytes * 86400 / 3000, rel=0.1)
    await store.commit([alert(1)], None)
    assert (await store.maintain()).ledger_written_bytes > before


async def test_a_daily_limit(opened, clock):
    """At the limit telemetry is refused and counted, alerts are not; as the hours pass it is stored again."""
    store = await opened(daily_writes=3_000_000)
    accepted = 0
    for number in range(100):
        try:
            await store.append([flow_batch(rows=2000, seed=number)])
            accepted += 1
        except StoreFull as error:
            assert "daily_writes is 3000000" in str(error)  # noqa: PT017 -- the loop needs both outcomes
            break
    assert 5 < accepted < 60
    assert len(await store.commit([alert(1)], None)) == 1
    assert (await store.maintain()).refused_batches == 1
    clock.step(-400 * 86400)
    with pytest.raises(StoreFull, match="within a day"):
        await store.append([flow_batch()])
    clock.advance(25 * 3600)
    await store.append([flow_batch()])

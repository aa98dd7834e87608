"""A change of schema and its record are one transaction; what a newer version wrote is refused."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from store_samples import alert

from netmote.errors import Permanent, Retryable
from netmote.store.ledger_schema import LEDGER_MIGRATIONS
from netmote.store.ledger_view import LedgerView
from netmote.store.migrations import Migration, migrate, schema_version
from netmote.store.telemetry_schema import TELEMETRY_MIGRATIONS
from netmote.telemetry.heartbeat import Withheld

ONE = Migration(1, "one", ("CREATE TABLE a(x INTEGER) STRICT",))
TWO = Migration(2, "two", ("ALTER TABLE a ADD COLUMN y INTEGER", "INSERT INTO a VALUES(1, 2)"))
BROKEN = Migration(2, "broken", ("ALTER TABLE a ADD COLUMN y INTEGER", "INSERT INTO nowhere VALUES(1)"))


@pytest.fixture
def connection():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def test_steps_are_applied_once_and_recorded(connection):
    """Only what is missing is applied, and the record says when."""
    assert schema_version(connection) == 0
    assert migrate(connection, [ONE], 5) == 1
    assert migrate(connection, [ONE, TWO], 7) == 1
    assert migrate(connection, [ONE, TWO], 9) == 0
    assert connection.execute("SELECT version, name, applied_at_ns FROM migration").fetchall() == [(1, "one", 5), (2, "two", 7)]
    assert connection.execute("SELECT * FROM a").fetchall() == [(1, 2)]


def test_a_step_that_fails_leaves_nothing(connection):
    """The step and its record roll back together."""
    migrate(connection, [ONE], 5)
    connection.execute("BEGIN")
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, [ONE, BROKEN], 7)
    connection.execute("ROLLBACK")
    assert schema_version(connection) == 1
    assert [row[1] for row in connection.execute("PRAGMA table_info(a)")] == ["x"]


def test_a_newer_file_is_refused(connection):
    """Its columns are not known to us, so we do not touch it."""
    migrate(connection, [ONE, TWO], 5)
    with pytest.raises(Permanent, match="version 2"):
        migrate(connection, [ONE], 6)


def test_numbers_without_gaps(connection):
    """A list that skips a number is a bug of ours."""
    with pytest.raises(ValueError, match="without gaps"):
        migrate(connection, [TWO], 1)


async def test_a_newer_ledger_is_refused_not_set_aside(opened, tmp_path):
    """Downgrading must not look like damage: the ledger stays where it is."""
    store = await opened()
    await store.close()
    with sqlite3.connect(tmp_path / "ledger.db") as newer:
        newer.execute("INSERT INTO migration VALUES(99, 'from the future', 0)")
    newer.close()
    with pytest.raises(Permanent, match="install the newer one"):
        await opened()
    assert not list(tmp_path.glob("*.corrupt-*"))


@pytest.mark.parametrize("migrations", [LEDGER_MIGRATIONS, TELEMETRY_MIGRATIONS])
def test_the_real_schemas_are_strict(connection, migrations):
    """Every table of ours is STRICT, so that no value of a wrong type gets in unseen."""
    migrate(connection, migrations, 0)
    tables = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    assert len(tables) > 5
    for name, sql in tables:
        assert "STRICT" in sql, name


VERSION_1 = Path(__file__).parent / "ledger_version_1.sql"


@pytest.fixture
def version_1(tmp_path):
    """A ledger that version 1 of the schema wrote: 11 revisions, one silenced; two sinks, one with a quarantined row."""
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as old:
        old.execute("PRAGMA auto_vacuum=INCREMENTAL")
        old.execute("PRAGMA journal_mode=WAL")
        old.executescript(VERSION_1.read_text())


async def test_a_ledger_of_version_1_goes_on(opened, tmp_path, version_1):
    """Rows, numbers, cursors, quarantine and the books are as they were; only the order is by severity from now on."""
    store = await opened()
    assert store.recoveries == ()
    (journal, webhook) = await store.outbox()
    assert (journal.created, journal.delivered, journal.queued, journal.quarantined) == (10, 3, 7, 0)
    assert (webhook.created, webhook.delivered, webhook.queued, webhook.quarantined) == (9, 3, 5, 1)
    assert journal.holds
    assert webhook.holds
    assert [row.seq for row in await store.pending("webhook", limit=99)] == [10, 8, 11, 9, 7]
    assert [row.seq for row in await store.pending("journal", limit=99)] == [6, 10, 4, 8, 11, 9, 7]
    recent = await store.recent_alerts(99)
    assert {row.is_clock_synchronised for row in recent} == {None}
    assert (await store.maintain()).damaged_alerts == 0
    books = await store.books("webhook")
    assert (books.settled_seq, books.queued, books.withheld_from) == (6, 5, 12)
    (row,) = await store.commit([alert(50)], None)
    assert row.seq == 12
    assert [each.silence_id for each in await store.silences()] == ["s1"]
    assert (await store.checkpoint()).event_time_ns == 9


async def test_a_reader_of_an_older_ledger_says_so(opened, tmp_path, version_1):
    """The command line of a new version beside a daemon of the old one: told in words, and well once the daemon has started."""
    with closing(LedgerView(tmp_path)) as view, pytest.raises(Retryable, match="the daemon brings it up"):
        view.alerts()
    await (await opened()).close()
    with closing(LedgerView(tmp_path)) as view:
        assert len(view.alerts()) == 9
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as newer:
        newer.execute("INSERT INTO migration VALUES(99, 'from the future', 0)")
        newer.commit()
    with closing(LedgerView(tmp_path)) as view, pytest.raises(Permanent, match="newer netmote"):
        view.alerts()


async def test_a_damaged_ledger_of_version_1_is_saved(opened, tmp_path, version_1):
    """Its rows are shorter and its cursors elsewhere: salvage reads both, and what was acknowledged stays so."""
    data = bytearray((tmp_path / "ledger.db").read_bytes())
    page = next(
        start
        for start in range(4096, len(data), 4096)
        if data[start] == 0x0A and alert(1).alert_id.encode() in data[start : start + 4096]
    )
    data[page : page + 4096] = bytes(4096)  # the index of alert ids
    (tmp_path / "ledger.db").write_bytes(bytes(data))
    store = await opened()
    assert store.recoveries[0].recovered_rows == 11
    assert [row.seq for row in await store.pending("webhook", limit=99)] == [10, 8, 11, 9, 7]
    assert [row.seq for row in await store.pending("journal", limit=99)] == [6, 10, 4, 8, 11, 9, 7]
    assert all(books.holds for books in await store.outbox())
    books = await store.books("webhook")
    assert books.withheld[0] == Withheld(1, 6, "before_registration")

"""The SQL of docs/store.md runs as it stands, on a real ledger and a real day of telemetry; the schema it tells is the schema there is."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from store_samples import alert, one_of_each

from netmote.scoring.finding import Severity

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "store.md").read_text()
QUERIES = re.findall(r"```sql\n-- (ledger|telemetry)\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
async def files(opened, tmp_path):
    """A store with something in every table that the queries ask."""
    store = await opened()
    await store.commit([alert(99)], None)
    await store.register_sink("upstream")
    await store.commit(
        [alert(1, severity=Severity.CRITICAL), alert(2), alert(3, is_silenced=True), alert(4), alert(1, 2)],
        None,
    )
    await store.quarantine("upstream", 3, "refused: too large")
    await store.acknowledge("upstream", [2])
    await store.resend("upstream", first=2, last=2)
    await store.append(one_of_each())
    (telemetry,) = tmp_path.glob("telemetry-*.db")
    return {"ledger": tmp_path / "ledger.db", "telemetry": telemetry}


def read_only(path):
    return closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True))


async def test_every_query_runs_and_finds_something(files):
    """As documented: columns exist, and each answers on a store that has what it asks for."""
    assert len(QUERIES) >= 11
    for where, query in QUERIES:
        with read_only(files[where]) as connection:
            rows = connection.execute(query).fetchall()
        assert rows, query


async def test_the_views_of_the_ledger(files):
    """`alerts` speaks in words, `queue` in the order in which rows are offered."""
    with read_only(files["ledger"]) as connection:
        first = connection.execute("SELECT * FROM alerts WHERE seq = 2").fetchone()
        queue = connection.execute("SELECT severity_id, seq FROM queue").fetchall()
        holds = connection.execute("SELECT holds FROM ledger_identity").fetchall()
    assert first[3:] == (
        "00000000-0000-0000-0000-000000000001",
        1,
        "firing",
        "critical",
        "host:192.0.2.7",
        "port_scan",
        "192.0.2.7 tried 900 ports",
        "2023-11-14T22:13:21Z",
        0,
    )
    assert queue == [(4, 5), (4, 6)]
    assert holds == [(1,)]


async def test_every_table_and_view_is_told(files):
    """A table or view that the document does not name is one that nobody can rely on."""
    for path in files.values():
        with read_only(path) as connection:
            names = connection.execute(
                "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
        for (name,) in names:
            assert re.search(rf"\b{name}\b", DOCUMENT), name

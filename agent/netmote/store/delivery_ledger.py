"""The books of the sinks: cursors, acknowledgements, quarantine, expiry. Plain functions of a connection, one transaction each."""

# ruff: noqa: S608 -- only constants of this room are joined into SQL; every value is bound

import sqlite3
from dataclasses import dataclass

from netmote.store.alert_ledger import ledger_epoch
from netmote.store.alert_rows import SELECT_ROW, RowsRead, read_rows

_QUEUED = (
    "r.is_silenced = 0 AND r.seq > :cursor AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.sink = :sink AND q.seq = r.seq)"
)


@dataclass(frozen=True, slots=True)
class SinkOutbox:
    """One sink's books. `created = delivered + queued + quarantined + expired`, counted from its registration."""

    sink: str
    created: int
    delivered: int
    queued: int
    quarantined: int
    expired: int  # removed before delivery, by the ledger's quota
    oldest_committed_at_ns: int | None  # of the queued ones
    oldest_age_seconds: float | None  # of the queued ones, by the wall clock; never negative
    holds: bool  # the identity


def register_sink(connection: sqlite3.Connection, sink: str, *, from_beginning: bool) -> None:
    """Give a sink its cursor; one that has a cursor keeps it. In a ledger saved from damage every cursor lost begins at 0."""
    tail, created = 0, 0
    created_total, carried_over = connection.execute("SELECT created_total, carried_over FROM ledger").fetchone()
    if from_beginning or carried_over:
        (stored,) = connection.execute("SELECT count(*) FROM alert_revision WHERE is_silenced = 0").fetchone()
        created = created_total - stored
    else:
        (tail,) = connection.execute("SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name='alert_revision'), 0)").fetchone()
        created = created_total
    connection.execute(
        "INSERT INTO sink(sink, cursor, created_before) VALUES(?, ?, ?) ON CONFLICT DO NOTHING", (sink, tail, created)
    )


def _cursor(connection: sqlite3.Connection, sink: str) -> int:
    row = connection.execute("SELECT cursor FROM sink WHERE sink = ?", (sink,)).fetchone()
    if row is None:
        raise KeyError(f"sink {sink!r} is not registered")
    return int(row[0])


def pending_rows(connection: sqlite3.Connection, sink: str, limit: int) -> RowsRead:
    """The next revisions for a sink in the order of their numbers."""
    parameters = {"sink": sink, "cursor": _cursor(connection, sink), "limit": limit}
    rows = connection.execute(SELECT_ROW + f"WHERE {_QUEUED} ORDER BY r.seq LIMIT :limit", parameters)
    return read_rows(rows, ledger_epoch(connection))


def acknowledge(connection: sqlite3.Connection, sink: str, seq: int, delivered: int) -> None:
    """Move the cursor to `seq`. What is behind it must be exactly what was delivered: a wrong number would falsify the books.

    An acknowledgement repeated is nothing. Raises ValueError on a number that does not fit, KeyError on an unknown sink.
    """
    cursor = _cursor(connection, sink)
    if seq <= cursor:
        return
    query = f"SELECT count(*) FROM alert_revision r WHERE {_QUEUED} AND r.seq <= :seq"
    (expected,) = connection.execute(query, {"sink": sink, "cursor": cursor, "seq": seq}).fetchone()
    if delivered != expected:
        raise ValueError(
            f"sink {sink}: {delivered} acknowledged up to {seq}, but {expected} were pending; quarantine refused rows first"
        )
    connection.execute("UPDATE sink SET cursor = ?, acknowledged = acknowledged + ? WHERE sink = ?", (seq, delivered, sink))


def quarantine(connection: sqlite3.Connection, sink: str, seq: int, reason: str, now_ns: int) -> None:
    """Take one pending revision out of a sink's way for ever. Repeating it, or naming one that is no longer pending, is nothing."""
    parameters = {"sink": sink, "cursor": _cursor(connection, sink), "seq": seq}
    if connection.execute(f"SELECT 1 FROM alert_revision r WHERE {_QUEUED} AND r.seq = :seq", parameters).fetchone() is None:
        return
    connection.execute(
        "INSERT INTO quarantine(sink, seq, reason, quarantined_at_ns) VALUES(?, ?, ?, ?)", (sink, seq, reason, now_ns)
    )
    connection.execute("UPDATE sink SET quarantined = quarantined + 1 WHERE sink = ?", (sink,))


def outbox(connection: sqlite3.Connection, now_ns: int) -> list[SinkOutbox]:
    """The books of every registered sink, by name."""
    books = []
    identities = connection.execute(
        "SELECT i.sink, i.created, i.acknowledged, i.queued, i.quarantined, i.expired, i.holds, s.cursor"
        " FROM ledger_identity i JOIN sink s USING(sink) ORDER BY i.sink"
    ).fetchall()
    for sink, created, acknowledged, queued, quarantined, expired, holds, cursor in identities:
        first = connection.execute(
            f"SELECT r.committed_at_ns FROM alert_revision r WHERE {_QUEUED} ORDER BY r.seq LIMIT 1",
            {"sink": sink, "cursor": cursor},
        ).fetchone()
        oldest = None if first is None else int(first[0])
        age = None if oldest is None else max(0, now_ns - oldest) / 1e9
        books.append(SinkOutbox(sink, created, acknowledged, queued, quarantined, expired, oldest, age, bool(holds)))
    return books


def forget_sink(connection: sqlite3.Connection, sink: str) -> None:
    """Drop a sink's books (it left the configuration); what it had not delivered holds nothing back any more."""
    connection.execute("DELETE FROM quarantine WHERE sink = ?", (sink,))
    connection.execute("DELETE FROM sink WHERE sink = ?", (sink,))


def expire_old(connection: sqlite3.Connection, *, running_before: int, limit: int) -> int:
    """Remove up to `limit` revisions that every sink is done with and that are older than that running time.

    The latest revision of an alert still firing stays whatever its age. Returns how many were removed.
    """
    query = """
        SELECT r.seq FROM alert_revision r
        WHERE r.running_ns < :before
          AND r.seq <= ifnull((SELECT min(cursor) FROM sink), r.seq)
          AND (r.state <> 'firing'
               OR EXISTS (SELECT 1 FROM alert_revision n WHERE n.alert_id = r.alert_id AND n.revision > r.revision))
        ORDER BY r.seq LIMIT :limit"""
    return _remove(connection, [seq for (seq,) in connection.execute(query, {"before": running_before, "limit": limit})])


def expire_for_room(connection: sqlite3.Connection, *, limit: int, only_finished: bool) -> int:
    """Make room: first what every sink is done with, oldest first; then, unless `only_finished`, the least severe and oldest.

    The latest revision of an alert still firing is never removed. Returns how many were; those a sink lacked are counted as
    expired in its books.
    """
    query = """
        SELECT seq FROM (
          SELECT r.seq AS seq, r.severity AS severity, r.seq <= ifnull((SELECT min(cursor) FROM sink), r.seq) AS is_finished
          FROM alert_revision r
          WHERE r.state <> 'firing'
             OR EXISTS (SELECT 1 FROM alert_revision n WHERE n.alert_id = r.alert_id AND n.revision > r.revision))
        WHERE is_finished OR NOT :only_finished
        ORDER BY is_finished DESC, CASE WHEN is_finished THEN 0 ELSE severity END DESC, seq
        LIMIT :limit"""
    rows = connection.execute(query, {"limit": limit, "only_finished": only_finished})
    return _remove(connection, [seq for (seq,) in rows])


def _remove(connection: sqlite3.Connection, numbers: list[int]) -> int:
    parameters = [(seq,) for seq in numbers]
    # A row that a sink still had to deliver becomes "expired" in that sink's books before it goes.
    connection.executemany(
        """UPDATE sink SET expired = expired + 1
           WHERE EXISTS (SELECT 1 FROM alert_revision r
                         WHERE r.seq = ?1 AND r.is_silenced = 0 AND r.seq > sink.cursor
                           AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.sink = sink.sink AND q.seq = r.seq))""",
        parameters,
    )
    connection.executemany("DELETE FROM quarantine WHERE seq = ?", parameters)
    connection.executemany("DELETE FROM alert_revision WHERE seq = ?", parameters)
    return len(numbers)

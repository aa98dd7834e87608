"""What leaves the ledger, by age and for room, and what is given up before it was delivered: counted and announced, never silent.

Ages count in running time (`running_time`), so no step of the clock expires anything. Plain functions of a connection.
"""

# ruff: noqa: S608 -- only constants of this room are joined into SQL; every value is bound

import json
import sqlite3
from itertools import takewhile

from netmote.store.delivery_ledger import QUEUED, all_sinks, cursors_of
from netmote.store.ledger_schema import IS_QUEUED
from netmote.store.withheld import EXPIRED, withhold

# No sink waits for revision `r`, be it the first time or again.
_IS_FINISHED = (
    f"NOT EXISTS (SELECT 1 FROM sink_cursor c WHERE c.severity = r.severity AND {IS_QUEUED})"
    # By way of the sinks, of which there are few: the key begins with them.
    " AND NOT EXISTS (SELECT 1 FROM sink s CROSS JOIN resend e ON e.sink = s.sink AND e.seq = r.seq)"
)
# The latest revision of an alert still firing is never removed: it is what a start goes on from.
_MAY_GO = (
    "(r.state <> 'firing' OR EXISTS (SELECT 1 FROM alert_revision n WHERE n.alert_id = r.alert_id AND n.revision > r.revision))"
)


def expire_old(connection: sqlite3.Connection, *, running_before: int, limit: int) -> int:
    """Remove up to `limit` revisions that every sink is done with and that are older than that running time; returns how many."""
    rows = connection.execute(
        f"SELECT r.seq FROM alert_revision r WHERE r.running_ns < :before AND {_IS_FINISHED} AND {_MAY_GO} ORDER BY r.seq LIMIT :limit",
        {"before": running_before, "limit": limit},
    )
    return _remove(connection, [seq for (seq,) in rows])


def expire_queued(connection: sqlite3.Connection, *, running_before: int, limit: int) -> int:
    """Give up, for each sink, what waits for it since before that running time: up to `limit` a sink and severity.

    The rows stay as long as any delivered one; only this sink is not offered them any more. Returns how many times that was.
    """
    given_up = 0
    for sink in all_sinks(connection):
        for severity, _ in cursors_of(connection, sink):
            waiting = connection.execute(
                f"SELECT r.seq, r.running_ns FROM {QUEUED} AND c.severity = :severity ORDER BY r.seq LIMIT :limit",
                {"sink": sink, "severity": severity, "limit": limit},
            )
            # In the order of commits, so ages only fall: the first that is young enough ends it.
            old = takewhile(lambda row: row[1] < running_before, waiting)
            numbers = [seq for seq, _ in old]
            waiting.close()
            if numbers:
                connection.execute(
                    "UPDATE sink_cursor SET cursor = ? WHERE sink = ? AND severity = ?", (numbers[-1], sink, severity)
                )
                connection.execute(
                    "DELETE FROM delivered_ahead WHERE sink = ? AND severity = ? AND seq <= ?", (sink, severity, numbers[-1])
                )
                _count_expired(connection, sink, numbers)
                given_up += len(numbers)
    return given_up


def expire_for_room(connection: sqlite3.Connection, *, limit: int, only_finished: bool) -> int:
    """Make room: first what every sink is done with, oldest first; then, unless `only_finished`, the least severe and oldest.

    Returns how many were removed; those a sink lacked are counted as expired in its books.
    """
    query = f"""
        SELECT seq FROM (
          SELECT r.seq AS seq, r.severity AS severity, {_IS_FINISHED} AS is_finished FROM alert_revision r WHERE {_MAY_GO})
        WHERE is_finished OR NOT :only_finished
        ORDER BY is_finished DESC, CASE WHEN is_finished THEN 0 ELSE severity END DESC, seq
        LIMIT :limit"""
    rows = connection.execute(query, {"limit": limit, "only_finished": only_finished})
    return _remove(connection, [seq for (seq,) in rows])


def _remove(connection: sqlite3.Connection, numbers: list[int]) -> int:
    if not numbers:
        return 0
    parameters = [(seq,) for seq in numbers]
    chosen = json.dumps(numbers)
    for sink in all_sinks(connection):
        # A row that a sink still had to deliver becomes "expired" in that sink's books before it goes.
        lacking = connection.execute(
            f"SELECT r.seq FROM {QUEUED} AND r.seq IN (SELECT value FROM json_each(:chosen)) ORDER BY r.seq",
            {"sink": sink, "chosen": chosen},
        ).fetchall()
        if lacking:
            _count_expired(connection, sink, [seq for (seq,) in lacking])
    connection.executemany(
        "UPDATE sink SET resend_expired = resend_expired + 1"
        " WHERE EXISTS (SELECT 1 FROM resend e WHERE e.sink = sink.sink AND e.seq = ?)",
        parameters,
    )
    for table in ("resend", "quarantine", "delivered_ahead"):
        connection.executemany(f"DELETE FROM {table} WHERE seq = ? AND sink IN (SELECT sink FROM sink)", parameters)
    connection.executemany("DELETE FROM alert_revision WHERE seq = ?", parameters)
    return len(numbers)


def _count_expired(connection: sqlite3.Connection, sink: str, numbers: list[int]) -> None:
    connection.execute("UPDATE sink SET expired = expired + ? WHERE sink = ?", (len(numbers), sink))
    withhold(connection, sink, numbers, EXPIRED)

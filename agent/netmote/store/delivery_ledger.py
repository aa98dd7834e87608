"""The books of the sinks: cursors, acknowledgements, quarantine. Plain functions of a connection, one transaction each.

A sink has one cursor per severity, and the gravest rows go first:

    severity   0 emergency  --cursor--> . . .          oldest first within a severity; then the next severity
               2 critical   --cursor--> . 17 .         17 is revision 2 of an alert whose revision 1 is number 9
               5 notice     --cursor--> 9 . . . . .    so 9 goes out before 17, "ahead" of its cursor, and is remembered

Revision n of an alert never comes after revision n+1: when a graver revision is due, what still waits of the same alert goes
before it. Rows asked for again (`resending`) fill what the queue leaves of a batch; they are out of order by their nature.
"""

# ruff: noqa: S608 -- only constants of this room are joined into SQL; every value is bound

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netmote.scoring.finding import Severity
from netmote.store.alert_ledger import last_seq, ledger_epoch
from netmote.store.alert_rows import SELECT_ROW, RowsRead, read_rows
from netmote.store.ledger_schema import IS_QUEUED
from netmote.store.withheld import (
    BEFORE_REGISTRATION,
    QUARANTINED,
    complement,
    forget_withheld,
    withheld_ranges,
    withhold,
    withhold_ranges,
)
from netmote.telemetry.heartbeat import SinkBooks

# Revisions of a sink that wait, each with the cursor of its severity.
QUEUED = f"sink_cursor c JOIN alert_revision r ON r.severity = c.severity WHERE c.sink = :sink AND {IS_QUEUED}"


@dataclass(frozen=True, slots=True)
class SinkOutbox:
    """One sink's books. `created = delivered + queued + quarantined + expired`, counted from its registration."""

    sink: str
    created: int
    delivered: int
    queued: int
    quarantined: int
    expired: int  # given up before delivery: by the ledger's quota, or by `queued_age`
    oldest_committed_at_ns: int | None  # of the queued ones
    oldest_age_seconds: float | None  # of the queued ones, by the wall clock; never negative
    holds: bool  # the identity, and that of the resends
    resending: int = 0  # asked for again and not sent yet; counted as delivered, not as queued
    resent: int = 0


def register_sink(connection: sqlite3.Connection, sink: str, *, from_beginning: bool) -> None:
    """Give a sink its cursors; one that has them keeps them. In a ledger saved from damage every cursor lost begins at 0."""
    if connection.execute("SELECT 1 FROM sink WHERE sink = ?", (sink,)).fetchone() is not None:
        return
    created_total, carried_over = connection.execute("SELECT created_total, carried_over FROM ledger").fetchone()
    if from_beginning or carried_over:
        (stored,) = connection.execute("SELECT count(*) FROM alert_revision WHERE is_silenced = 0").fetchone()
        begin_books(connection, sink, dict.fromkeys(Severity, 0), created_before=created_total - stored)
    else:
        begin_books(connection, sink, dict.fromkeys(Severity, last_seq(connection)), created_before=created_total)
    withhold_settled(connection, sink)


def begin_books(connection: sqlite3.Connection, sink: str, cursors: dict[Severity, int], *, created_before: int) -> None:
    """The rows of a new sink."""
    connection.execute("INSERT INTO sink(sink, created_before) VALUES(?, ?)", (sink, created_before))
    connection.executemany(
        "INSERT INTO sink_cursor(sink, severity, cursor) VALUES(?, ?, ?)",
        [(sink, int(severity), cursor) for severity, cursor in cursors.items()],
    )


def withhold_settled(connection: sqlite3.Connection, sink: str) -> None:
    """Whatever does not wait for this sink now was never its own under these numbers: note all of it as withheld."""
    waiting = (seq for (seq,) in connection.execute(f"SELECT r.seq FROM {QUEUED} ORDER BY r.seq", {"sink": sink}))
    withhold_ranges(connection, sink, complement(waiting, last_seq(connection)), BEFORE_REGISTRATION)


def cursors_of(connection: sqlite3.Connection, sink: str) -> list[tuple[int, int]]:
    """Severity and cursor, the gravest first. Raises KeyError when the sink is not registered."""
    cursors = connection.execute("SELECT severity, cursor FROM sink_cursor WHERE sink = ? ORDER BY severity", (sink,)).fetchall()
    if not cursors:
        raise KeyError(f"sink {sink!r} is not registered")
    return cursors


def pending_rows(connection: sqlite3.Connection, sink: str, limit: int) -> RowsRead:
    """The next revisions for a sink in the order in which they are to be offered. Raises KeyError as `cursors_of`."""
    numbers = _next_numbers(connection, sink, limit)
    if len(numbers) < limit:
        again = connection.execute("SELECT seq FROM resend WHERE sink = ? ORDER BY seq LIMIT ?", (sink, limit - len(numbers)))
        numbers += [seq for (seq,) in again]
    rows = connection.execute(
        SELECT_ROW + "JOIN json_each(:numbers) j ON r.seq = j.value ORDER BY j.key", {"numbers": json.dumps(numbers)}
    )
    return read_rows(rows, ledger_epoch(connection))


def _next_numbers(connection: sqlite3.Connection, sink: str, limit: int) -> list[int]:
    numbers: dict[int, None] = {}  # in order
    for severity, _ in cursors_of(connection, sink):
        lane = connection.execute(
            f"SELECT r.seq, r.alert_id, r.revision FROM {QUEUED} AND c.severity = :severity ORDER BY r.seq LIMIT :limit",
            {"sink": sink, "severity": severity, "limit": limit - len(numbers)},
        )
        for seq, alert_id, revision in lane.fetchall():
            if revision > 1:
                numbers.update(dict.fromkeys(_earlier(connection, sink, severity, alert_id, revision)))
            numbers[seq] = None
        if len(numbers) >= limit:
            break
    return list(numbers)[:limit]


def _earlier(connection: sqlite3.Connection, sink: str, severity: int, alert_id: str, revision: int) -> list[int]:
    """What waits of the same alert among the less severe, the oldest revision first. Those as severe come before by number."""
    rows = connection.execute(
        f"SELECT r.seq FROM {QUEUED} AND r.alert_id = :alert_id AND r.revision < :revision AND r.severity > :severity"
        " ORDER BY r.revision",
        {"sink": sink, "severity": severity, "alert_id": alert_id, "revision": revision},
    )
    return [seq for (seq,) in rows]


def acknowledge(connection: sqlite3.Connection, sink: str, numbers: Sequence[int]) -> None:
    """These revisions were accepted. One that does not wait any more is nothing, so repeating it is nothing.

    Raises ValueError on a number this ledger never gave, KeyError on an unknown sink.
    """
    cursors = dict(cursors_of(connection, sink))
    if max(numbers, default=0) > last_seq(connection):
        raise ValueError(f"sink {sink}: {max(numbers)} was acknowledged, but the last number is {last_seq(connection)}")
    accepted: dict[int, set[int]] = {}
    for severity, seq in connection.execute(
        f"SELECT c.severity, r.seq FROM {QUEUED} AND r.seq IN (SELECT value FROM json_each(:numbers))",
        {"sink": sink, "numbers": json.dumps(list(numbers))},
    ):
        accepted.setdefault(severity, set()).add(seq)
    for severity, those in accepted.items():
        _settle(connection, sink, severity, cursors[severity], those)
    delivered = sum(map(len, accepted.values()))
    again = connection.executemany("DELETE FROM resend WHERE sink = ? AND seq = ?", [(sink, seq) for seq in numbers]).rowcount
    connection.execute(
        "UPDATE sink SET acknowledged = acknowledged + ?, resent = resent + ? WHERE sink = ?", (delivered, again, sink)
    )


def _settle(connection: sqlite3.Connection, sink: str, severity: int, cursor: int, accepted: set[int]) -> None:
    """Move the cursor over what was accepted in order; note what lies beyond the first that still waits."""
    waiting = connection.execute(
        f"SELECT r.seq FROM {QUEUED} AND c.severity = :severity ORDER BY r.seq LIMIT :limit",
        {"sink": sink, "severity": severity, "limit": len(accepted)},
    ).fetchall()
    for (seq,) in waiting:
        if seq not in accepted:
            break
        cursor = seq
    connection.execute("UPDATE sink_cursor SET cursor = ? WHERE sink = ? AND severity = ?", (cursor, sink, severity))
    connection.executemany(
        "INSERT INTO delivered_ahead(sink, seq, severity) VALUES(?, ?, ?)",
        [(sink, seq, severity) for seq in accepted if seq > cursor],
    )
    connection.execute("DELETE FROM delivered_ahead WHERE sink = ? AND severity = ? AND seq <= ?", (sink, severity, cursor))


def quarantine(connection: sqlite3.Connection, sink: str, seq: int, reason: str, now_ns: int) -> None:
    """Take one pending revision out of a sink's way for ever. Repeating it, or naming one that is no longer pending, is nothing."""
    cursors_of(connection, sink)
    if connection.execute("DELETE FROM resend WHERE sink = ? AND seq = ?", (sink, seq)).rowcount:
        connection.execute("UPDATE sink SET resend_refused = resend_refused + 1 WHERE sink = ?", (sink,))
        return
    if connection.execute(f"SELECT 1 FROM {QUEUED} AND r.seq = :seq", {"sink": sink, "seq": seq}).fetchone() is None:
        return
    connection.execute(
        "INSERT INTO quarantine(sink, seq, reason, quarantined_at_ns) VALUES(?, ?, ?, ?)", (sink, seq, reason, now_ns)
    )
    connection.execute("UPDATE sink SET quarantined = quarantined + 1 WHERE sink = ?", (sink,))
    withhold(connection, sink, [seq], QUARANTINED)


def first_queued(connection: sqlite3.Connection, sink: str) -> int | None:
    """The lowest number that waits for a sink; None when nothing does."""
    firsts = [
        connection.execute(
            f"SELECT r.seq FROM {QUEUED} AND c.severity = :severity ORDER BY r.seq LIMIT 1", {"sink": sink, "severity": severity}
        ).fetchone()
        for severity, _ in cursors_of(connection, sink)
    ]
    return min((seq for (seq,) in filter(None, firsts)), default=None)


def books(connection: sqlite3.Connection, sink: str, limit: int) -> SinkBooks:
    """How far a sink got, with the `limit` newest ranges it was not given; no row is counted for it. Raises KeyError."""
    first, last = first_queued(connection, sink), last_seq(connection)
    (queued,) = connection.execute(
        "SELECT (SELECT created_total FROM ledger) - created_before - acknowledged - quarantined - expired FROM sink WHERE sink = ?",
        (sink,),
    ).fetchone()
    ranges, whole_from = withheld_ranges(connection, sink, limit)
    return SinkBooks(last if first is None else first - 1, queued, ranges, whole_from, last)


def outbox(connection: sqlite3.Connection, now_ns: int) -> list[SinkOutbox]:
    """The books of every registered sink, by name."""
    rows = connection.execute(
        "SELECT i.sink, i.created, i.acknowledged, i.queued, i.quarantined, i.expired, i.holds AND e.holds, e.waiting, e.resent"
        " FROM ledger_identity i JOIN resend_identity e USING(sink) ORDER BY i.sink"
    ).fetchall()
    return [_outbox(connection, now_ns, *row) for row in rows]


def _outbox(connection: sqlite3.Connection, now_ns: int, sink: str, *counts: int) -> SinkOutbox:
    created, acknowledged, queued, quarantined, expired, holds, resending, resent = counts
    first = first_queued(connection, sink)
    oldest = None
    if first is not None:
        (oldest,) = connection.execute("SELECT committed_at_ns FROM alert_revision WHERE seq = ?", (first,)).fetchone()
    age = None if oldest is None else max(0, now_ns - oldest) / 1e9
    return SinkOutbox(sink, created, acknowledged, queued, quarantined, expired, oldest, age, bool(holds), resending, resent)


def forget_sink(connection: sqlite3.Connection, sink: str) -> None:
    """Drop a sink's books (it left the configuration); what it had not delivered holds nothing back any more."""
    for table in ("quarantine", "delivered_ahead", "resend", "sink_cursor", "sink"):
        connection.execute(f"DELETE FROM {table} WHERE sink = ?", (sink,))
    forget_withheld(connection, sink)


def all_sinks(connection: sqlite3.Connection) -> Iterable[str]:
    """The name of every registered sink."""
    return [sink for (sink,) in connection.execute("SELECT sink FROM sink ORDER BY sink")]

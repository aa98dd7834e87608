"""Numbers that a sink's receiver will never get, and why: kept as ranges, so that every other gap upstream is a loss.

Bounded: of each sink the newest ranges are kept, and the number from which on they are whole. Plain functions of a connection,
inside the caller's transaction.
"""

import sqlite3
from collections.abc import Iterable, Iterator

from netmote.telemetry.heartbeat import Withheld

# The key under which stands what no sink gets.
EVERY_SINK = ""
SILENCED, QUARANTINED, EXPIRED, BEFORE_REGISTRATION = "silenced", "quarantined", "expired", "before_registration"

_KEPT = 1_000


def withhold(connection: sqlite3.Connection, sink: str, numbers: Iterable[int], reason: str) -> None:
    """Note numbers (ascending) as withheld from a sink; ranges of one reason that touch become one."""
    withhold_ranges(connection, sink, runs(numbers), reason)


def withhold_ranges(connection: sqlite3.Connection, sink: str, ranges: Iterable[tuple[int, int]], reason: str) -> None:
    """As `withhold`, of ranges with both ends included."""
    for first, last in ranges:
        _add(connection, sink, first, last, reason)
    _trim(connection, sink)


def withheld_ranges(connection: sqlite3.Connection, sink: str, limit: int) -> tuple[tuple[Withheld, ...], int]:
    """The `limit` newest ranges of a sink in ascending order, and the number from which on they are whole."""
    rows = connection.execute(
        "SELECT first, last, reason FROM withheld WHERE sink IN (?, ?) ORDER BY first DESC LIMIT ?", (sink, EVERY_SINK, limit + 1)
    ).fetchall()
    (whole_from,) = connection.execute(
        "SELECT ifnull(max(below), 0) FROM withheld_floor WHERE sink IN (?, ?)", (sink, EVERY_SINK)
    ).fetchone()
    if len(rows) > limit:
        whole_from = max(whole_from, rows.pop()[1] + 1)
    return tuple(Withheld(*row) for row in reversed(rows)), int(whole_from)


def forget_withheld(connection: sqlite3.Connection, sink: str) -> None:
    """Drop what was noted for a sink."""
    connection.execute("DELETE FROM withheld WHERE sink = ?", (sink,))
    connection.execute("DELETE FROM withheld_floor WHERE sink = ?", (sink,))


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as ranges, both ends included."""
    first = last = None
    for number in numbers:
        if last is None or first is None:
            first = last = number
        elif number == last + 1:
            last = number
        else:
            yield first, last
            first = last = number
    if last is not None and first is not None:
        yield first, last


def complement(numbers: Iterable[int], last: int) -> Iterator[tuple[int, int]]:
    """What of 1 to `last` is not among these ascending numbers, as ranges."""
    following = 1
    for number in numbers:
        if number > following:
            yield following, number - 1
        following = number + 1
    if following <= last:
        yield following, last


def _add(connection: sqlite3.Connection, sink: str, first: int, last: int, reason: str) -> None:
    before = connection.execute(
        "SELECT first, last, reason FROM withheld WHERE sink = ? AND first <= ? ORDER BY first DESC LIMIT 1", (sink, first)
    ).fetchone()
    if before is not None and before[2] == reason and before[1] >= first - 1:
        first, last = before[0], max(last, before[1])
    after = connection.execute("SELECT last, reason FROM withheld WHERE sink = ? AND first = ?", (sink, last + 1)).fetchone()
    if after is not None and after[1] == reason:
        connection.execute("DELETE FROM withheld WHERE sink = ? AND first = ?", (sink, last + 1))
        last = after[0]
    connection.execute(
        "INSERT OR REPLACE INTO withheld(sink, first, last, reason) VALUES(?, ?, ?, ?)", (sink, first, last, reason)
    )


def _trim(connection: sqlite3.Connection, sink: str) -> None:
    (ranges,) = connection.execute("SELECT count(*) FROM withheld WHERE sink = ?", (sink,)).fetchone()
    if ranges <= _KEPT:
        return
    (newest_lost, below) = connection.execute(
        "SELECT first, last + 1 FROM withheld WHERE sink = ? ORDER BY first DESC LIMIT 1 OFFSET ?", (sink, _KEPT)
    ).fetchone()
    connection.execute("DELETE FROM withheld WHERE sink = ? AND first <= ?", (sink, newest_lost))
    connection.execute(
        "INSERT INTO withheld_floor(sink, below) VALUES(?, ?) ON CONFLICT DO UPDATE SET below = max(below, excluded.below)",
        (sink, below),
    )

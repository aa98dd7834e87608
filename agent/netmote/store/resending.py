"""Offering again what a sink was done with, for a receiver that found a gap. The rows go out as they did before: same ids, same numbers.

A resend has books of its own (view `resend_identity`), so the identity of first deliveries stays what it was: a row that was
delivered stays delivered, one that was refused or given up stays so, whatever becomes of its resend.
"""

# ruff: noqa: S608 -- only constants of this room are joined into SQL; every value is bound

import sqlite3

from netmote.store.delivery_ledger import cursors_of
from netmote.store.ledger_schema import IS_QUEUED

_MOST = 2**63 - 1


def resend(connection: sqlite3.Connection, sink: str, *, since_ns: int | None, first: int | None, last: int | None) -> int:
    """Ask for what the ledger still holds, was committed since then and lies in that range (both ends included); returns how many.

    Left out is what is silenced, still waits, or was asked for already. Raises KeyError when the sink is not registered.
    """
    cursors_of(connection, sink)
    asked = connection.execute(
        f"""INSERT INTO resend(sink, seq)
            SELECT c.sink, r.seq FROM sink_cursor c JOIN alert_revision r ON r.severity = c.severity
            WHERE c.sink = :sink AND r.is_silenced = 0 AND NOT ({IS_QUEUED})
              AND r.seq BETWEEN :first AND :last AND (:since IS NULL OR r.committed_at_ns >= :since)
              AND NOT EXISTS (SELECT 1 FROM resend e WHERE e.sink = c.sink AND e.seq = r.seq)""",
        {"sink": sink, "since": since_ns, "first": first or 0, "last": _MOST if last is None else last},
    ).rowcount
    connection.execute("UPDATE sink SET resend_asked = resend_asked + ? WHERE sink = ?", (asked, sink))
    return asked

"""Several whole changes in one transaction: a sync costs as much for one as for twenty, and on a memory card it is all that costs.

Each job has a savepoint of its own, so that one that fails takes nothing of the others with it. When the group cannot be had as a
whole (a full disk rolls everything back), each job is run again, alone: then only those fail that must.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Job = Callable[[sqlite3.Connection], Any]

MOST_IN_A_GROUP = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job: its result, or its error."""

    result: Any = None
    error: Exception | None = None


def transaction(begin: str, job: Job, connection: sqlite3.Connection) -> Any:
    """Run one job from `begin` to COMMIT, all or nothing."""
    connection.execute(begin)
    try:
        result = job(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLITE_FULL and its like have rolled back already
            connection.execute("ROLLBACK")
        raise
    return result


def perform_all(jobs: Sequence[Job], connection: sqlite3.Connection) -> list[Outcome]:
    """Run the jobs in their order; those that succeed are durable when this returns."""
    if len(jobs) > 1:
        try:
            return transaction("BEGIN IMMEDIATE", lambda connection: [_guarded(job, connection) for job in jobs], connection)  # type: ignore[no-any-return]
        except sqlite3.Error:
            pass  # nothing of the group was kept; what is wrong shows below, job by job
    return [_alone(job, connection) for job in jobs]


def _guarded(job: Job, connection: sqlite3.Connection) -> Outcome:
    connection.execute("SAVEPOINT job")
    try:
        result = job(connection)
    except Exception as error:
        if not connection.in_transaction:  # SQLite gave the whole transaction up
            raise sqlite3.OperationalError("the group was rolled back") from error
        connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
        return Outcome(error=error)
    connection.execute("RELEASE job")
    return Outcome(result)


def _alone(job: Job, connection: sqlite3.Connection) -> Outcome:
    try:
        return Outcome(transaction("BEGIN IMMEDIATE", job, connection))
    except Exception as error:  # noqa: BLE001 -- raised by whose job it was
        return Outcome(error=error)

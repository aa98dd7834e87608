"""Batches out of one telemetry file, past whatever is damaged in it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from netmote.records.batch import Batch
from netmote.store.batch_rows import SELECT_BATCH, BatchDamaged, BatchRow, read_batch
from netmote.store.catalog import TelemetryFile, log_of
from netmote.store.connection import connect_reader
from netmote.store.faults import is_damage
from netmote.store.interning import Names
from netmote.store.position import Position


@dataclass(slots=True)
class BatchesRead:
    """Sound batches with their positions, and the positions of those that failed their check."""

    found: list[tuple[Position, Batch]] = field(default_factory=list)
    damaged: list[Position] = field(default_factory=list)


def read_file(file: TelemetryFile, after: int, *, since_ns: int, limit: int, is_settled: bool) -> BatchesRead:
    """Up to `limit` sound batches with ids above `after` that end after `since_ns`; `is_settled`: nobody writes the file."""
    result = BatchesRead()
    with closing(open_for_reading(file, is_settled=is_settled)) as connection:
        names = Names(connection)
        for batch_id, row in _rows(connection, file, after, since_ns):
            position = Position(file.file_uuid, batch_id)
            try:
                if row is None:
                    raise BatchDamaged(f"batch {batch_id} lies on a damaged page")
                result.found.append((position, read_batch(connection, names, row)))
            except BatchDamaged:
                result.damaged.append(position)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                result.damaged.append(position)
            if len(result.found) == limit:
                break
    return result


def open_for_reading(file: TelemetryFile, *, is_settled: bool) -> sqlite3.Connection:
    """A read-only connection; a settled file without a log is opened without shared memory and leaves no files behind."""
    return connect_reader(file.path, immutable=is_settled and not log_of(file.path).exists())


def _rows(
    connection: sqlite3.Connection, file: TelemetryFile, after: int, since_ns: int
) -> Iterator[tuple[int, BatchRow | None]]:
    """Rows in order; from the first damaged page on one by one, with None for those that cannot be read."""
    last = after
    try:
        for values in connection.execute(SELECT_BATCH + "WHERE batch_id > ? AND end_ns > ? ORDER BY batch_id", (after, since_ns)):
            row = BatchRow(*values)
            last = row.batch_id
            yield last, row
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        yield from _rows_one_by_one(connection, last, file.last_batch_id, since_ns)


def _rows_one_by_one(
    connection: sqlite3.Connection, last: int, tail: int, since_ns: int
) -> Iterator[tuple[int, BatchRow | None]]:
    for batch_id in range(last + 1, tail + 1):
        try:
            values = connection.execute(SELECT_BATCH + "WHERE batch_id = ? AND end_ns > ?", (batch_id, since_ns)).fetchone()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            yield batch_id, None
        else:
            if values is not None:
                yield batch_id, BatchRow(*values)

"""The flow slices stored last, for who watches: synchronous, read-only, by the index over end times, however large the day's file is."""

import sqlite3
from contextlib import closing
from pathlib import Path

from netmote.records.flow import FlowBatch
from netmote.store import catalog
from netmote.store.batch_rows import SELECT_BATCH, BatchDamaged, BatchRow, read_batch
from netmote.store.catalog import TelemetryFile, log_of
from netmote.store.connection import connect_reader
from netmote.store.faults import translated
from netmote.store.interning import Names

_QUERY = SELECT_BATCH + "WHERE end_ns > ? AND kind = 'flow' ORDER BY end_ns DESC LIMIT ?"


def recent_flows(state_dir: Path, since_ns: int, *, limit: int = 64) -> list[FlowBatch]:
    """Batches of flows that ended after `since_ns` (event time), newest first and at most `limit`; damaged ones are left out.

    Only the newest telemetry file is read: at midnight it is short for a moment. Raises Retryable for a file that cannot be read now.
    """
    newest = _newest(state_dir)
    if newest is None:
        return []
    found: list[FlowBatch] = []
    with (
        translated(newest.path.name),
        closing(connect_reader(newest.path, immutable=not log_of(newest.path).exists())) as connection,
    ):
        names = Names(connection)
        for row in map(BatchRow._make, connection.execute(_QUERY, (since_ns, limit)).fetchall()):
            try:
                batch = read_batch(connection, names, row)
            except BatchDamaged:
                continue
            assert isinstance(batch, FlowBatch)  # the query asked for flows
            found.append(batch)
    return found


def _newest(state_dir: Path) -> TelemetryFile | None:
    files: list[TelemetryFile] = []
    for path in catalog.telemetry_paths(state_dir)[-2:]:
        try:
            file = catalog.describe(path)
        except FileNotFoundError:
            continue
        except sqlite3.DatabaseError:
            with translated(path.name):
                raise
        if file is not None:
            files.append(file)
    return max(files, key=lambda each: each.generation, default=None)

"""Where exported rows come from: the telemetry files and the ledger, a page at a time.

Memory stays bounded by one page, and no read transaction stays open between two, so an export of days never keeps the
writer's log from being brought in. Files that retention unlinks meanwhile simply end.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netmote.records.batch import Batch
from netmote.store import catalog, export_tables
from netmote.store.alert_ledger import ledger_epoch, require_current
from netmote.store.alert_rows import SELECT_ROW, read_rows
from netmote.store.batch_rows import SELECT_BATCH, BatchDamaged, BatchRow, read_batch
from netmote.store.catalog import TelemetryFile, log_of
from netmote.store.connection import connect_reader
from netmote.store.export_tables import Chunk, Columns
from netmote.store.faults import is_damage, translated
from netmote.store.interning import Names
from netmote.store.ledger_schema import LEDGER_NAME

_BATCHES_A_PAGE = 16
_ALERTS_A_PAGE = 500


@dataclass(slots=True)
class Span:
    """Which rows: those that overlap [from, to) in event time, an alert by when it was last seen."""

    from_ns: int
    to_ns: int
    damaged: int = 0  # met on the way: batches or alerts left out because they failed their check


@dataclass(frozen=True, slots=True)
class Table:
    """One exportable table."""

    name: str
    columns: Columns
    chunks: Callable[[Path, Span], Iterator[Chunk]]


def _batch_chunks(kind: str, chunk: Callable[[Any], Chunk]) -> Callable[[Path, Span], Iterator[Chunk]]:
    def chunks(state_dir: Path, span: Span) -> Iterator[Chunk]:
        for batch in _batches(state_dir, kind, span):
            yield chunk(batch)

    return chunks


def _fact_chunks(state_dir: Path, span: Span) -> Iterator[Chunk]:
    for batch in _batches(state_dir, "fact", span):
        yield export_tables.fact_chunk(batch, span.from_ns, span.to_ns)  # type: ignore[arg-type] # the query asked for facts


def _batches(state_dir: Path, kind: str, span: Span) -> Iterator[Batch]:
    files = [each for path in catalog.telemetry_paths(state_dir) if (each := _described(path, span)) is not None]
    for file in sorted(files, key=lambda each: each.generation):
        after: int | None = 0
        while after is not None:
            found, after = _page(file, kind, after, span)
            yield from found


def _described(path: Path, span: Span) -> TelemetryFile | None:
    try:
        file = catalog.describe(path)
    except FileNotFoundError:
        return None
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            with translated(path.name):
                raise
        span.damaged += 1
        return None
    overlaps = file is not None and file.first_start_ns < span.to_ns and file.last_end_ns > span.from_ns
    return file if overlaps else None


def _page(file: TelemetryFile, kind: str, after: int, span: Span) -> tuple[list[Batch], int | None]:
    """A few batches of one kind, and the id to go on after; None at the end of the file, or where retention unlinked it."""
    if not file.path.exists():
        return [], None
    found: list[Batch] = []
    query = SELECT_BATCH + "WHERE batch_id > ? AND kind = ? AND start_ns < ? AND end_ns >= ? ORDER BY batch_id LIMIT ?"
    with translated(file.path.name), closing(connect_reader(file.path, immutable=not log_of(file.path).exists())) as connection:
        names = Names(connection)
        # A fact of a batch that ends exactly at `from` may lie at `from`; intervals that end there are left out below.
        values = connection.execute(query, (after, kind, span.to_ns, span.from_ns, _BATCHES_A_PAGE)).fetchall()
        for row in map(BatchRow._make, values):
            if row.end_ns == span.from_ns and kind != "fact":
                continue
            try:
                found.append(read_batch(connection, names, row))
            except BatchDamaged:
                span.damaged += 1
    return found, int(values[-1][0]) if values else None


def _alert_chunks(state_dir: Path, span: Span) -> Iterator[Chunk]:
    path, after = state_dir / LEDGER_NAME, 0
    query = SELECT_ROW + "WHERE r.seq > ? AND r.last_seen_ns >= ? AND r.last_seen_ns < ? ORDER BY r.seq LIMIT ?"
    while path.exists():
        with translated(path.name), closing(connect_reader(path, immutable=not log_of(path).exists())) as connection:
            require_current(connection)
            rows = connection.execute(query, (after, span.from_ns, span.to_ns, _ALERTS_A_PAGE)).fetchall()
            read = read_rows(rows, ledger_epoch(connection))
        if not rows:
            return
        after = rows[-1][0]
        span.damaged += len(read.damaged)
        yield export_tables.alert_chunk(read.sound)


TABLES = {
    table.name: table
    for table in (
        Table("flows", export_tables.FLOW_COLUMNS, _batch_chunks("flow", export_tables.flow_chunk)),
        Table("interfaces", export_tables.INTERFACE_COLUMNS, _batch_chunks("interface", export_tables.interface_chunk)),
        Table("devices", export_tables.DEVICE_COLUMNS, _batch_chunks("device", export_tables.device_chunk)),
        Table("host", export_tables.HOST_COLUMNS, _batch_chunks("host", export_tables.host_chunk)),
        Table("facts", export_tables.FACT_COLUMNS, _fact_chunks),
        Table("alerts", export_tables.ALERT_COLUMNS, _alert_chunks),
    )
}

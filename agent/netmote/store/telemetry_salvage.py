"""What can be saved of a damaged telemetry file: its rows, page by page, into a new file of the same identity and the same batch ids.

    telemetry-D.db (damaged) --page scan--> rows --> telemetry-D.db.new --> telemetry-D.db     read from now on, never written again
                                                     telemetry-D.db     --> telemetry-D.db.corrupt-<time>

So positions in it stay what they were, and a batch that is lost is only absent. A columnar batch is taken when its CRC holds; the
small rows have none and are taken when they decode, as they are read from a file that damage was not found in. The new file is
whole before the damaged one is touched, so a start interrupted at any point begins again.
"""

import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netmote.records.entity import EntityKind
from netmote.store import catalog
from netmote.store.batch_rows import BatchRow, is_sound
from netmote.store.connection import PAGE_SIZE, connect_writer
from netmote.store.migrations import migrate, schema_version
from netmote.store.page_scan import Pages, Value, committed_frames, index_rows, table_rows
from netmote.store.position import Recovery, file_uuid, generation_of
from netmote.store.recovery import set_aside
from netmote.store.salvage import fresh_of
from netmote.store.telemetry_schema import TELEMETRY_MIGRATIONS

_BATCH_KINDS = {"flow", "interface", "device", "host", "fact"}
_ENTITY_KINDS = {kind.value for kind in EntityKind}
_TABLES = ("text", "entity", "layout", "batch", "device_record", "gauge", "fact", "flow_minute", "interface_minute")
# Of a file whose own identity is lost: read before all others, and nothing that names a place in it is left.
_LOST_GENERATION = 1


@dataclass(slots=True)
class SavedTelemetry:
    """Rows by table, as they are inserted; of several copies the newest."""

    head: tuple[Value, ...] | None = None
    tables: dict[str, dict[Any, tuple[Value, ...]]] = field(default_factory=dict)

    def put(self, table: str, key: Any, *row: Value) -> None:
        self.tables.setdefault(table, {})[key] = row

    def rows(self, table: str) -> Iterable[tuple[Value, ...]]:
        return self.tables.get(table, {}).values()


def replace_telemetry(path: Path, damage: str, log: bytes, now_ns: int) -> Recovery:
    """Put a new file with everything saved in the place of a damaged one, which is set aside. Raises sqlite3.Error, OSError.

    `log` is its log as it was before SQLite opened the file.
    """
    saved = _scan(Pages(path.read_bytes(), committed_frames(log, PAGE_SIZE), PAGE_SIZE))
    batches = len(saved.tables.get("batch", {}))
    if not batches:
        return Recovery(path.name, damage, set_aside(path, now_ns).name, 0)
    fresh = fresh_of(path)
    catalog.unlink(fresh)
    with closing(connect_writer(fresh, synchronous="FULL", autocheckpoint_pages=4000, max_pages=None)) as connection:
        # What names a row that is lost may stand without it: such a batch fails when it is read, and is counted then.
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("BEGIN IMMEDIATE")
        migrate(connection, TELEMETRY_MIGRATIONS, now_ns)
        _fill(connection, saved, now_ns)
        connection.execute("COMMIT")
    aside = set_aside(path, now_ns)
    fresh.rename(path)
    return Recovery(path.name, damage, aside.name, batches)


def put_back_telemetry(path: Path, frames: Sequence[tuple[int, bytes]]) -> int:
    """Insert the batches of a log that lie beyond the file's last: SQLite stops at the first damaged frame; returns how many."""
    saved = _scan(Pages(b"", frames, PAGE_SIZE))
    with closing(connect_writer(path, synchronous="FULL", autocheckpoint_pages=4000, max_pages=None)) as connection:
        if schema_version(connection) == 0:
            return 0
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("BEGIN IMMEDIATE")
        (last,) = connection.execute("SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'batch'), 0)").fetchone()
        for table in ("batch", "device_record", "gauge", "fact"):  # of what lies before, what is absent was never there
            rows = saved.tables.get(table, {})
            saved.tables[table] = {key: row for key, row in rows.items() if isinstance(row[0], int) and row[0] > last}
        _insert(connection, saved)
        connection.execute("COMMIT")
        return len(saved.tables["batch"])


def _scan(pages: Pages) -> SavedTelemetry:
    saved = SavedTelemetry()
    for row_id, values in table_rows(pages):
        _take_table_row(saved, row_id, values)
    for values in index_rows(pages):
        _take_index_row(saved, values)
    return saved


def _take_table_row(saved: SavedTelemetry, row_id: int, values: list[Value]) -> None:
    match values:
        case [_, str(kind), int(), int(), int(), int(), int(), int(), *rest] if kind in _BATCH_KINDS and len(rest) == 5:
            # A value of a wrong type fails the check.
            row = BatchRow._make((row_id, *values[1:5], values[7], *rest))
            if isinstance(row.body, bytes | None) and is_sound(row):
                saved.put("batch", row_id, row_id, *values[1:])
        case [None, str(text)]:
            saved.put("layout" if text.startswith('[["') else "text", row_id, row_id, text)
        case [None, str(kind), str(name)] if kind in _ENTITY_KINDS:
            saved.put("entity", row_id, row_id, kind, name)
        case [None, int(), int() | None, int() | None, int(), int()]:
            saved.put("device_record", row_id, row_id, *values[1:])
        case [_, str(uuid), str(day), int(), int()] if row_id == 1 and _is_file_uuid(uuid) and len(day) == 8:
            saved.head = (1, *values[1:])
        case _:
            return


def _take_index_row(saved: SavedTelemetry, values: list[Value]) -> None:
    match values:
        case [int(batch_id), int(name_id), float() | int() | None as value]:
            saved.put("gauge", (batch_id, name_id), batch_id, name_id, value)
        case [int(batch_id), int(ordinal), int(), int(), int(), float() | int() | None, str() | None]:
            saved.put("fact", (batch_id, ordinal), *values)
        case [int(minute), int(key), int(), int(), int(), int()]:
            saved.put("flow_minute", (minute, key), *values)
        case [int(minute), int(key), int(), int(), int(), int(), int(), int()]:
            saved.put("interface_minute", (minute, key), *values)
        case _:
            return


def _is_file_uuid(text: str) -> bool:
    try:
        return generation_of(text) > 0
    except ValueError:
        return False


def _fill(connection: sqlite3.Connection, saved: SavedTelemetry, now_ns: int) -> None:
    head = saved.head
    if head is None:
        # The system's randomness on purpose: it must not share its name with any other file.
        head = (1, file_uuid(_LOST_GENERATION, secrets.token_bytes(10)), catalog.utc_day(now_ns), now_ns, _oldest_running(saved))
    connection.execute("INSERT INTO telemetry_file VALUES(?, ?, ?, ?, ?)", head)
    _insert(connection, saved)
    for table in ("device_record", "gauge", "fact"):
        connection.execute(f"DELETE FROM {table} WHERE batch_id NOT IN (SELECT batch_id FROM batch)")  # noqa: S608 -- names are ours


def _insert(connection: sqlite3.Connection, saved: SavedTelemetry) -> None:
    for table in _TABLES:
        for row in saved.rows(table):
            marks = ", ".join("?" * len(row))
            try:
                connection.execute(f"INSERT INTO {table} VALUES({marks})", row)
            except sqlite3.IntegrityError:
                continue  # decoded, but no row of ours: damage that made a value of another type, or a name that is there already


def _oldest_running(saved: SavedTelemetry) -> Value:
    return min((row[6] for row in saved.rows("batch") if isinstance(row[6], int)), default=0)

"""What can be saved of a damaged ledger: every alert whose CRC holds, the newest checkpoint, and the sinks' cursors.

    ledger.db (damaged) --page scan--> rows, checkpoint --> ledger.db.new --> ledger.db     new epoch, new numbers
                                                            ledger.db     --> ledger.db.corrupt-<time>

The new file is whole before the damaged one is touched, so a start interrupted at any point begins again. Numbers belong
to an epoch, so saved revisions get new ones in their old order; their ids stay, by which receivers know them. Rows a sink
had acknowledged are not sent again where its cursor can still be read; else all saved rows are (at least once).
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from netmote.alerts.alert import Alert, Silence
from netmote.alerts.encoding import decode_alert
from netmote.scoring.finding import Severity
from netmote.store import alert_ledger, catalog, silence_rows
from netmote.store.alert_rows import insert_row, row_crc
from netmote.store.connection import PAGE_SIZE, connect_reader, connect_writer
from netmote.store.delivery_ledger import begin_books, withhold_settled
from netmote.store.migrations import schema_version
from netmote.store.page_scan import Pages, Value, committed_frames, table_rows
from netmote.store.position import Checkpoint, Position, Recovery
from netmote.store.recovery import set_aside

_ALERT_COLUMNS = (12, 13)  # without and with the state of the clock: rows of version 1 keep their length
_CHECKPOINT_COLUMNS = 6


@dataclass(frozen=True, slots=True)
class SavedRow:
    """One alert revision as it stood in the damaged file."""

    seq: int
    sensor: str
    committed_at_ns: int
    running_ns: int
    is_clock_synchronised: bool | None
    alert: Alert


@dataclass(slots=True)
class Salvage:
    """Everything saved."""

    rows: dict[tuple[str, int], SavedRow] = field(default_factory=dict)  # by (alert_id, revision)
    checkpoint: Checkpoint | None = None
    cursors: dict[str, dict[Severity, int]] = field(default_factory=dict)  # by sink; old numbers; where the table could be read
    ahead: set[tuple[str, int]] = field(default_factory=set)  # sink and old number: settled although its cursor is before it
    silences: list[Silence] = field(default_factory=list)


def log_octets(path: Path) -> bytes:
    """The write-ahead log as it lies on disk, before SQLite opens the file and shortens it."""
    log = catalog.log_of(path)
    return log.read_bytes() if log.exists() else b""


def salvage(path: Path, log: bytes) -> Salvage:
    """Scan a damaged ledger and the log it had."""
    saved = _scan(Pages(path.read_bytes(), committed_frames(log, PAGE_SIZE), PAGE_SIZE))
    try:
        with closing(connect_reader(path)) as connection:
            _read_books(connection, saved)
            saved.silences = silence_rows.silences(connection)
    except (sqlite3.DatabaseError, ValueError, TypeError):
        # Those tables are in the damaged part: sinks are sent everything saved, and silences have to be set again.
        return saved
    return saved


def _read_books(connection: sqlite3.Connection, saved: Salvage) -> None:
    if schema_version(connection) == 1:
        for sink, cursor in connection.execute("SELECT sink, cursor FROM sink"):
            saved.cursors[sink] = dict.fromkeys(Severity, cursor)
        return
    for sink, severity, cursor in connection.execute("SELECT sink, severity, cursor FROM sink_cursor"):
        saved.cursors.setdefault(sink, dict.fromkeys(Severity, 0))[Severity(severity)] = cursor
    # What was refused for ever stays refused.
    saved.ahead.update(connection.execute("SELECT sink, seq FROM delivered_ahead UNION SELECT sink, seq FROM quarantine"))


def rows_in_log(log: bytes) -> Salvage:
    """Committed revisions that stand in a log, whether SQLite can reach them or not: it stops at the first bad checksum."""
    return _scan(Pages(b"", committed_frames(log, PAGE_SIZE), PAGE_SIZE))


def _scan(pages: Pages) -> Salvage:
    saved, seen = Salvage(), set()
    for row_id, values in table_rows(pages):
        if len(values) in _ALERT_COLUMNS:
            copy = (row_id, values[11])  # its check; a log holds each page many times over
            if copy in seen:
                continue
            row = _alert_row(row_id, values)
            if row is not None:
                saved.rows[row.alert.alert_id, row.alert.revision] = row
                seen.add(copy)
        elif len(values) == _CHECKPOINT_COLUMNS and row_id == 1:
            checkpoint = _checkpoint(values)
            if checkpoint is not None and (
                saved.checkpoint is None or checkpoint.event_time_ns >= saved.checkpoint.event_time_ns
            ):
                saved.checkpoint = checkpoint
    return saved


def _alert_row(seq: int, values: list[Value]) -> SavedRow | None:
    _, sensor, alert_id, revision, _, _, _, _, committed_at_ns, running_ns, body, crc, *rest = values
    is_clock_synchronised = None if rest in ([], [None]) else bool(rest[0])
    if not (isinstance(sensor, str) and isinstance(alert_id, str) and isinstance(body, bytes)):
        return None
    if not (isinstance(revision, int) and isinstance(committed_at_ns, int) and isinstance(running_ns, int)):
        return None
    expected = row_crc(
        seq,
        sensor=sensor,
        alert_id=alert_id,
        revision=revision,
        committed_at_ns=committed_at_ns,
        is_clock_synchronised=is_clock_synchronised,
        body=body,
    )
    if expected != crc:
        return None
    try:
        return SavedRow(seq, sensor, committed_at_ns, max(0, running_ns), is_clock_synchronised, decode_alert(body))
    except ValueError:
        return None


def _checkpoint(values: list[Value]) -> Checkpoint | None:
    _, file_uuid, batch_id, event_time_ns, state, crc = values
    if not (isinstance(event_time_ns, int) and isinstance(state, bytes)):
        return None
    position = Position(file_uuid, batch_id) if isinstance(file_uuid, str) and isinstance(batch_id, int) else None
    checkpoint = Checkpoint(position, event_time_ns, state)
    return checkpoint if alert_ledger.checkpoint_crc(checkpoint) == crc else None


def put_back(connection: sqlite3.Connection, saved: Salvage) -> int:
    """Insert revisions that lie beyond the ledger's last number, under the numbers they had; returns how many.

    Inside the caller's transaction. What lies before that number and is absent was expired, and stays so.
    """
    count, last = 0, alert_ledger.last_seq(connection)
    for row in sorted((each for each in saved.rows.values() if each.seq > last), key=lambda each: each.seq):
        known = "SELECT 1 FROM alert_revision WHERE seq = ? OR (alert_id = ? AND revision = ?)"
        if connection.execute(known, (row.seq, row.alert.alert_id, row.alert.revision)).fetchone() is None:
            _insert(connection, row, seq=row.seq)
            count += 1
    return count


def carry_over(connection: sqlite3.Connection, saved: Salvage) -> int:
    """Fill a new ledger with what was saved, inside the caller's transaction; returns the number of revisions."""
    rows = sorted(saved.rows.values(), key=lambda each: each.seq)
    for row in rows:
        _insert(connection, row, seq=None)
    if saved.checkpoint is not None:
        alert_ledger.write_checkpoint(connection, saved.checkpoint)
    for silence in saved.silences:
        silence_rows.add_silence(connection, silence)
    for sink, cursors in saved.cursors.items():
        _carry_books(connection, saved, sink, cursors, rows)
    # A sink whose cursor is lost must not begin behind what was saved.
    connection.execute("UPDATE ledger SET carried_over = ?", (len(rows),))
    return len(rows)


def _carry_books(
    connection: sqlite3.Connection, saved: Salvage, sink: str, cursors: dict[Severity, int], rows: Sequence[SavedRow]
) -> None:
    """A sink's books over the saved rows, which are numbered from 1 in their old order: what it was done with, it stays done with."""
    new_cursors = {severity: sum(row.seq <= cursor for row in rows) for severity, cursor in cursors.items()}
    ahead = [
        (sink, number, int(row.alert.severity))
        for number, row in enumerate(rows, 1)
        if (sink, row.seq) in saved.ahead and row.seq > cursors[row.alert.severity]
    ]
    done = sum(row.seq <= cursors[row.alert.severity] and not row.alert.is_silenced for row in rows)
    begin_books(connection, sink, new_cursors, created_before=done + len(ahead))
    connection.executemany("INSERT INTO delivered_ahead(sink, seq, severity) VALUES(?, ?, ?)", ahead)
    withhold_settled(connection, sink)


def _insert(connection: sqlite3.Connection, row: SavedRow, *, seq: int | None) -> None:
    insert_row(
        connection,
        row.alert,
        sensor=row.sensor,
        committed_at_ns=row.committed_at_ns,
        running_ns=row.running_ns,
        is_clock_synchronised=row.is_clock_synchronised,
        seq=seq,
    )
    connection.execute(
        "UPDATE ledger SET created_total = created_total + ?, running_ns = max(running_ns, ?)",
        (int(not row.alert.is_silenced), row.running_ns),
    )


def replace_ledger(path: Path, damage: str, log: bytes, now_ns: int) -> Recovery:
    """Put a new ledger with everything saved in the place of a damaged one, which is set aside."""
    saved, fresh = salvage(path, log), fresh_of(path)
    catalog.unlink(fresh)
    with closing(connect_writer(fresh, synchronous="FULL", autocheckpoint_pages=1000, max_pages=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        alert_ledger.begin_ledger(connection, now_ns)
        count = carry_over(connection, saved)
        connection.execute("COMMIT")
    aside = set_aside(path, now_ns)
    fresh.rename(path)
    return Recovery(path.name, damage, aside.name, count)


def finish_replacing(path: Path) -> None:
    """Take up a replacement that a crash interrupted between its renames; drop one that was not finished."""
    fresh, held = fresh_of(path), _held(path)
    if path.exists():
        catalog.unlink(fresh)
    elif fresh.exists():
        for stale in catalog.companions(path):  # of the file that went: a log would be taken for the new one's
            stale.unlink()
        for each in reversed(catalog.companions(fresh)):
            each.rename(path.with_name(path.name + each.name.removeprefix(fresh.name)))
    elif held.exists():
        held.rename(path)
    held.unlink(missing_ok=True)


def _held(path: Path) -> Path:
    return path.with_name(path.name + ".held")


def move_into_copy(path: Path) -> None:
    """Put a whole copy, made beside it, in the place of a sound ledger nobody of us has open. Whoever still reads it reads on."""
    fresh = fresh_of(path)
    descriptor = os.open(fresh, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)  # VACUUM INTO does not
    finally:
        os.close(descriptor)
    # The database first: from here on a start takes the copy, which is whole, and drops the log of the one that went.
    path.rename(_held(path))
    finish_replacing(path)


def fresh_of(path: Path) -> Path:
    """Where the file is made that takes a damaged one's place."""
    return path.with_name(path.name + ".new")

"""An address out of what is stored: ledger and telemetry rewritten in place, rows, numbers and sums as they were.

What is overwritten is zeroed in the file (secure_delete) and brought out of the log, as far as no reader holds it. Blocks that the
filesystem or a flash card has put elsewhere are beyond a program's reach. Damaged rows cannot be rewritten and are counted.
"""

# ruff: noqa: S608 -- only constants of this room are joined into SQL; every value is bound

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from netmote.alerts.encoding import encode_alert
from netmote.privacy.announcements import treated
from netmote.privacy.forgetting import Forgetting
from netmote.store.alert_ledger import ledger_epoch
from netmote.store.alert_rows import SELECT_ROW, read_rows, row_crc
from netmote.store.batch_rows import SELECT_BATCH, BatchRow, check_of, is_sound
from netmote.store.columns import decode_columns, encode_columns
from netmote.store.connection import connect_writer
from netmote.store.delivery_ledger import QUEUED
from netmote.store.withheld import withheld_ranges

_SIDES = ("source_address", "destination_address")
_AUTOCHECKPOINT_PAGES = 1_000
_BATCHES_AT_ONCE = 200  # a transaction's worth: the log stays small
_EVERY = 1_000_000


@dataclass(slots=True)
class ForgottenAlerts:
    """What was rewritten in the ledger."""

    revisions: int = 0
    silences: int = 0
    reasons: int = 0  # of quarantined revisions
    damaged: int = 0  # revisions that fail their check: what they say cannot be read, nor changed
    delivered: dict[str, int] = field(default_factory=dict)  # revisions with the address that each sink's receiver has


@dataclass(slots=True)
class ForgottenTelemetry:
    """What was rewritten in the telemetry."""

    files: int = 0
    batches: int = 0
    slices: int = 0
    entities: int = 0
    texts: int = 0  # annotations and other words
    damaged: int = 0

    def add(self, other: "ForgottenTelemetry") -> None:
        for name in ("files", "batches", "slices", "entities", "texts", "damaged"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def forget_in_ledger(connection: sqlite3.Connection, forgetting: Forgetting) -> ForgottenAlerts:
    """Rewrite revisions, silences and reasons, inside the caller's transaction."""
    result = ForgottenAlerts()
    changed: list[int] = []
    rows = read_rows(connection.execute(SELECT_ROW + "ORDER BY r.seq"), ledger_epoch(connection))
    result.damaged = len(rows.damaged)
    for committed in rows.sound:
        alert = treated(committed.alert, forgetting)
        if alert == committed.alert:
            continue
        body = encode_alert(alert)
        crc = row_crc(
            committed.seq,
            sensor=committed.sensor,
            alert_id=alert.alert_id,
            revision=alert.revision,
            committed_at_ns=committed.committed_at_ns,
            is_clock_synchronised=committed.is_clock_synchronised,
            body=body,
        )
        connection.execute("UPDATE alert_revision SET body = ?, crc = ? WHERE seq = ?", (body, crc, committed.seq))
        changed.append(committed.seq)
    result.revisions = len(changed)
    result.silences = _rewrite(connection, "silence", "silence_id", ("reason", "entity"), forgetting.prose)
    result.reasons = _rewrite(connection, "quarantine", "sink, seq", ("reason",), forgetting.prose)
    for (sink,) in connection.execute("SELECT sink FROM sink ORDER BY sink").fetchall():
        result.delivered[sink] = _delivered(connection, sink, set(changed))
    return result


def _delivered(connection: sqlite3.Connection, sink: str, numbers: set[int]) -> int:
    """How many of these the sink's receiver has: neither waiting for it nor withheld from it."""
    waiting = {seq for (seq,) in connection.execute(f"SELECT r.seq FROM {QUEUED}", {"sink": sink})}
    ranges, _ = withheld_ranges(connection, sink, _EVERY)
    return sum(seq not in waiting and not any(each.first <= seq <= each.last for each in ranges) for seq in numbers)


def forget_in_telemetry(path: Path, forgetting: Forgetting) -> ForgottenTelemetry:
    """Rewrite one file that nobody writes. Blocks."""
    result = ForgottenTelemetry(files=1)
    writer = connect_writer(path, synchronous="NORMAL", autocheckpoint_pages=_AUTOCHECKPOINT_PAGES, max_pages=None)
    with closing(writer) as connection:
        connection.execute("PRAGMA secure_delete=ON")
        layouts = dict(connection.execute("SELECT layout_id, columns FROM layout").fetchall())
        last = 0
        while rows := connection.execute(
            SELECT_BATCH + "WHERE kind = 'flow' AND batch_id > ? ORDER BY batch_id LIMIT ?", (last, _BATCHES_AT_ONCE)
        ).fetchall():
            connection.execute("BEGIN IMMEDIATE")
            for row in map(BatchRow._make, rows):
                _forget_in_batch(connection, row, layouts, forgetting, result)
                last = row.batch_id
            connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        result.entities = _forget_hosts(connection, forgetting)
        result.texts = _rewrite(connection, "fact", "batch_id, ordinal", ("annotations",), _in_json(forgetting))
        result.texts += _rewrite_texts(connection, forgetting)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return result


def _forget_in_batch(
    connection: sqlite3.Connection, row: BatchRow, layouts: dict[int, str], forgetting: Forgetting, result: ForgottenTelemetry
) -> None:
    layout = layouts.get(row.layout_id or 0)
    if layout is None or row.body is None or not is_sound(row):
        result.damaged += 1
        return
    columns = decode_columns(row.body, row.rows, layout)
    is_touched = np.zeros(row.rows, np.bool_)
    for side in _SIDES:
        values = columns[side].copy()
        octets = np.ascontiguousarray(values).view(np.uint8).reshape(row.rows, 16)
        for forgotten in forgetting.record_octets:
            is_here = (octets == np.frombuffer(forgotten, np.uint8)).all(axis=1)
            # The unspecified address of the same family: IPv4-mapped zeros, or zeros.
            octets[is_here, -4 if forgotten[:12] == b"\0" * 10 + b"\xff\xff" else 0 :] = 0
            is_touched |= is_here
        columns[side] = values
    if is_touched.any():
        body = encode_columns(list(columns.items()))
        connection.execute(
            "UPDATE batch SET body = ?, crc = ? WHERE batch_id = ?", (body, check_of(row._replace(body=body)), row.batch_id)
        )
        result.batches += 1
        result.slices += int(is_touched.sum())


def _forget_hosts(connection: sqlite3.Connection, forgetting: Forgetting) -> int:
    """Hosts that facts are about; where nobody is known already, facts move over to it."""
    found = 0
    for entity_id, name in connection.execute("SELECT entity_id, name FROM entity WHERE kind = 'host'").fetchall():
        instead = forgetting.text(name)
        if instead == name:
            continue
        found += 1
        nobody = connection.execute("SELECT entity_id FROM entity WHERE kind = 'host' AND name = ?", (instead,)).fetchone()
        if nobody is None:
            connection.execute("UPDATE entity SET name = ? WHERE entity_id = ?", (instead, entity_id))
            continue
        connection.execute("UPDATE fact SET entity_id = ? WHERE entity_id = ?", (nobody[0], entity_id))
        connection.execute("DELETE FROM entity WHERE entity_id = ?", (entity_id,))
    return found


def _rewrite_texts(connection: sqlite3.Connection, forgetting: Forgetting) -> int:
    """Aliases and the like. The table holds each once, so one that becomes another known one is only numbered."""
    found = 0
    for text_id, value in connection.execute("SELECT text_id, value FROM text").fetchall():
        instead = forgetting.prose(value)
        if instead != value:
            found += 1
            known = connection.execute("SELECT 1 FROM text WHERE value = ?", (instead,)).fetchone()
            connection.execute(
                "UPDATE text SET value = ? WHERE text_id = ?", (f"{instead} ({text_id})" if known else instead, text_id)
            )
    return found


def _rewrite(connection: sqlite3.Connection, table: str, key: str, columns: tuple[str, ...], change: Callable[[str], str]) -> int:
    """Change the texts of a table; returns how many rows changed."""
    keys = key.split(", ")
    found = 0
    for values in connection.execute(f"SELECT {key}, {', '.join(columns)} FROM {table}").fetchall():
        before = values[len(keys) :]
        after = tuple(change(value) if isinstance(value, str) else value for value in before)
        if after != before:
            found += 1
            settings = ", ".join(f"{column} = ?" for column in columns)
            where = " AND ".join(f"{name} = ?" for name in keys)
            connection.execute(f"UPDATE {table} SET {settings} WHERE {where}", (*after, *values[: len(keys)]))
    return found


def _in_json(forgetting: Forgetting) -> Callable[[str], str]:
    def change(text: str) -> str:
        document = json.loads(text)
        after = forgetting.document(document)
        return text if after == document else json.dumps(after)

    return change

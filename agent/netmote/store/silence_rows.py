"""Silences to and from rows of the ledger."""

import sqlite3

from netmote.alerts.alert import Silence
from netmote.records.entity import Entity


def add_silence(connection: sqlite3.Connection, silence: Silence) -> None:
    """Store a silence; one with the same id is replaced."""
    connection.execute(
        "INSERT OR REPLACE INTO silence(silence_id, created_at_ns, ends_at_ns, reason, alert_group, entity) VALUES(?, ?, ?, ?, ?, ?)",
        (
            silence.silence_id,
            silence.created_at_ns,
            silence.ends_at_ns,
            silence.reason,
            silence.group,
            None if silence.entity is None else str(silence.entity),
        ),
    )


def silences(connection: sqlite3.Connection) -> list[Silence]:
    """Every stored silence, ended ones too, in the order they were made."""
    rows = connection.execute(
        "SELECT silence_id, created_at_ns, ends_at_ns, reason, alert_group, entity FROM silence ORDER BY created_at_ns, silence_id"
    )
    return [
        Silence(silence_id, created_at_ns, ends_at_ns, reason, group, None if entity is None else Entity.parse(entity))
        for silence_id, created_at_ns, ends_at_ns, reason, group, entity in rows
    ]


def expire_silence(connection: sqlite3.Connection, silence_id: str, now_ns: int) -> bool:
    """End a silence now. False when there is none of that id, or it had ended."""
    changed = connection.execute(
        "UPDATE silence SET ends_at_ns = ?2 WHERE silence_id = ?1 AND ends_at_ns > ?2", (silence_id, now_ns)
    )
    return changed.rowcount > 0


def forget_ended(connection: sqlite3.Connection, now_ns: int, *, keep: int) -> int:
    """Forget all but the `keep` newest silences that have ended; returns how many. By number, so that no clock step matters."""
    return connection.execute(
        "DELETE FROM silence WHERE silence_id IN"
        " (SELECT silence_id FROM silence WHERE ends_at_ns < ? ORDER BY created_at_ns DESC LIMIT -1 OFFSET ?)",
        (now_ns, keep),
    ).rowcount

"""Recorded migrations: each change of a file's schema and the record of it commit in one transaction.

A file newer than this program is refused: guessing at columns we do not know could lose what they hold.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from netmote.errors import Permanent

_TABLE = """
CREATE TABLE IF NOT EXISTS migration(
  version INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  applied_at_ns INTEGER NOT NULL
) STRICT
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. Steps are never edited once released, only added."""

    version: int  # from 1, without gaps
    name: str
    statements: tuple[str, ...]


def schema_version(connection: sqlite3.Connection) -> int:
    """The newest migration applied to this file; 0 for an empty one."""
    has_table = connection.execute("SELECT 1 FROM sqlite_schema WHERE type='table' AND name='migration'").fetchone()
    if has_table is None:
        return 0
    (version,) = connection.execute("SELECT ifnull(max(version), 0) FROM migration").fetchone()
    return int(version)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration], now_ns: int) -> int:
    """Bring the file to the newest version inside the caller's transaction; returns how many steps were applied.

    Raises Permanent when the file was written by a newer netmote.
    """
    if [step.version for step in migrations] != list(range(1, len(migrations) + 1)):
        raise ValueError("migrations are numbered from 1 without gaps")
    present = schema_version(connection)
    if present > len(migrations):
        raise Permanent(
            f"the file has schema version {present}, this netmote knows {len(migrations)}: install the newer one again"
        )
    connection.execute(_TABLE)
    for step in migrations[present:]:
        for statement in step.statements:
            connection.execute(statement)
        connection.execute(
            "INSERT INTO migration(version, name, applied_at_ns) VALUES(?, ?, ?)", (step.version, step.name, now_ns)
        )
    return len(migrations) - present

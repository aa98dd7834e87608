"""Damaged files at start: found, set aside with all that belongs to them, and reported. Nothing is deleted here."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from netmote.store.catalog import companions
from netmote.store.connection import connect_writer
from netmote.store.faults import is_damage

# A bigger telemetry file is not read through at start: its batches carry CRCs, and reading 250 MB from a card takes seconds.
CHECK_LIMIT_BYTES = 64 * 2**20


def damage_of(path: Path, *, is_thorough: bool) -> str | None:
    """Why a database cannot be used, or None. Opens it as its writer, so that a log left by a crash is replayed first."""
    if not path.exists():
        return None
    try:
        with closing(connect_writer(path, synchronous="NORMAL", autocheckpoint_pages=1000, max_pages=None)) as connection:
            if is_thorough:
                (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                return None if verdict == "ok" else str(verdict).strip()
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            return None
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return f"{error} ({error.sqlite_errorname})"
        raise


def set_aside(path: Path, now_ns: int) -> Path:
    """Rename a database and its companions to `<name>.corrupt-<time>`: together, for a log without its file is lost."""
    stamp = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    number, aside = 1, path.with_name(f"{path.name}.corrupt-{stamp}")
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    # The database last: while it stands under its own name, an interrupted recovery begins again.
    for each in reversed(companions(path)):
        each.rename(aside.with_name(aside.name + each.name.removeprefix(path.name)))
    return aside

"""Damaged files at start: found, and set aside with all that belongs to them; the newest few are kept for who wants to look."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from netmote.store.catalog import companions, unlink
from netmote.store.connection import connect_writer
from netmote.store.faults import is_damage

# A bigger telemetry file is not read through at start: its batches carry CRCs, and reading 250 MB from a card takes seconds.
CHECK_LIMIT_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Examined:
    """What opening a database found."""

    damage: str | None  # why it cannot be used
    log_frames: int = 0  # of the log a crash left: those that SQLite took up


def examine(path: Path, *, check: str | None) -> Examined:
    """Open a database as its writer, so that a log left by a crash is replayed, and look at it.

    `check` is "quick_check" (pages and rows), "integrity_check" (indexes against rows as well) or None (only what opening reads).
    """
    if not path.exists():
        return Examined(None)
    try:
        with closing(connect_writer(path, synchronous="NORMAL", autocheckpoint_pages=1000, max_pages=None)) as connection:
            verdict = "ok"
            if check is not None:
                (verdict,) = connection.execute(f"PRAGMA {check}(1)").fetchone()
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            (_, frames, _) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            return Examined(None if verdict == "ok" else str(verdict).strip(), max(0, frames))
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return Examined(f"{error} ({error.sqlite_errorname})")
        raise


def forget_set_aside(state_dir: Path, *, keep: int) -> int:
    """Remove all but the newest `keep` damaged sets, so that they never fill the disk; returns how many were removed."""
    sets = sorted(state_dir.glob("*.db.corrupt-*"), key=lambda each: each.name.rpartition(".corrupt-")[2])
    databases = [each for each in sets if not each.name.endswith(("-wal", "-shm"))]
    gone = databases[:-keep] if keep else databases
    for database in gone:
        unlink(database)
    return len(gone)


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

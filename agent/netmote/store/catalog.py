"""The telemetry files of a state directory: which there are, in which order they were written, what each spans.

A name carries the UTC day for people; the order is the *generation* inside each file's UUID, for days can come twice
when the wall clock steps. Names: `telemetry-YYYYMMDD.db`, and `telemetry-YYYYMMDD-2.db` for a day begun again.
"""

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from netmote.store.connection import connect_reader
from netmote.store.position import generation_of

_NAME = re.compile(r"telemetry-(\d{8})(?:-(\d+))?\.db")


@dataclass(frozen=True, slots=True)
class TelemetryFile:
    """One file and what it holds. Spans are 0 while it holds nothing."""

    path: Path
    file_uuid: str
    day: str  # YYYYMMDD
    begun_at_ns: int  # wall time
    begun_running_ns: int
    last_batch_id: int = 0
    last_running_ns: int = 0
    first_start_ns: int = 0  # event time of the oldest batch
    last_end_ns: int = 0  # event time of the newest batch

    @property
    def generation(self) -> int:
        return generation_of(self.file_uuid)

    def with_batch(self, batch_id: int, start_ns: int, end_ns: int, running_ns: int) -> "TelemetryFile":
        """The same file, one batch later."""
        first = min(self.first_start_ns, start_ns) if self.last_batch_id else start_ns
        return replace(
            self,
            last_batch_id=batch_id,
            last_running_ns=max(self.last_running_ns, running_ns),
            first_start_ns=first,
            last_end_ns=max(self.last_end_ns, end_ns),
        )


def utc_day(now_ns: int) -> str:
    """YYYYMMDD of a wall time."""
    return datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).strftime("%Y%m%d")


def telemetry_paths(state_dir: Path) -> list[Path]:
    """Every telemetry file of the directory, by day and number."""
    matches = [(match, path) for path in state_dir.glob("telemetry-*.db") if (match := _NAME.fullmatch(path.name))]
    return [path for match, path in sorted(matches, key=lambda pair: (pair[0][1], int(pair[0][2] or 1)))]


def free_path(state_dir: Path, day: str) -> Path:
    """A name for a new file of that day."""
    number, path = 1, state_dir / f"telemetry-{day}.db"
    while path.exists():
        number += 1
        path = state_dir / f"telemetry-{day}-{number}.db"
    return path


def log_of(path: Path) -> Path:
    """The write-ahead log that SQLite keeps beside a database."""
    return path.with_name(path.name + "-wal")


def unlink(path: Path) -> None:
    """Remove a database with its companions, the database last."""
    for each in reversed(companions(path)):
        each.unlink(missing_ok=True)


def companions(path: Path) -> list[Path]:
    """A database and the files SQLite keeps beside it, those that exist."""
    candidates = (path, log_of(path), path.with_name(path.name + "-shm"))
    return [each for each in candidates if each.exists()]


def bytes_of(path: Path) -> int:
    """Bytes of a database with its companions; 0 when it has just gone."""
    total = 0
    for each in companions(path):
        try:
            total += each.stat().st_size
        except FileNotFoundError:  # SQLite removed a companion meanwhile
            continue
    return total


def describe(path: Path) -> TelemetryFile | None:
    """What a file holds, read without writing; None when it was never begun (a crash while it was being made).

    Raises sqlite3.Error when it cannot be read.
    """
    # Without a log nobody has it open: then a reader needs no shared memory, and leaves no files behind.
    with closing(connect_reader(path, immutable=not log_of(path).exists())) as connection:
        return describe_open(connection, path)


def describe_open(connection: sqlite3.Connection, path: Path) -> TelemetryFile | None:
    """As `describe`, of a file already open."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'telemetry_file'").fetchone() is None:
        return None
    head = connection.execute("SELECT file_uuid, day, begun_at_ns, begun_running_ns FROM telemetry_file").fetchone()
    if head is None:
        return None
    file_uuid, day, begun_at_ns, begun_running_ns = head
    (last,) = connection.execute("SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'batch'), 0)").fetchone()
    first_start, last_end = connection.execute(
        "SELECT (SELECT min(start_ns) FROM batch), (SELECT max(end_ns) FROM batch)"
    ).fetchone()
    newest = connection.execute("SELECT running_ns FROM batch ORDER BY batch_id DESC LIMIT 1").fetchone()
    return TelemetryFile(
        path,
        file_uuid,
        day,
        begun_at_ns,
        begun_running_ns,
        last_batch_id=int(last),
        last_running_ns=begun_running_ns if newest is None else int(newest[0]),
        first_start_ns=first_start or 0,
        last_end_ns=last_end or 0,
    )

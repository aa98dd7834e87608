"""The collector's own file: events, and per life of a sensor which numbers came, were withheld, and are accounted for.

One writer, `synchronous=FULL`: what was committed survives the machine. The one module outside the store that speaks SQLite, over
the store's connection (one thread, whole transactions); the file is the collector's and no part of a sensor's state.

A *life* is one (sensor, ledger epoch). Numbers are kept as runs, so a life costs some rows however long it is:

    received   came here, whether or not the event is still kept
    withheld   the sensor says it will never send them (silenced, quarantined, expired, before it knew this collector)
    judged     within reach of a heartbeat's books: what is neither received nor withheld of these is a gap
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from netmote.clock import Clock
from netmote.collector.intake import Arrival
from netmote.collector.runs import Runs, count, joined, shortened
from netmote.store.connection import PAGE_SIZE, Connection, open_reader, open_writer
from netmote.store.faults import StoreFull
from netmote.store.migrations import Migration, migrate
from netmote.store.state_lock import StateLock

_MIGRATIONS = (
    Migration(
        version=1,
        name="lives, runs of numbers, events",
        statements=(
            """CREATE TABLE life(
                 life_id INTEGER PRIMARY KEY,
                 sensor TEXT NOT NULL,
                 epoch TEXT NOT NULL,
                 first_heard_ns INTEGER NOT NULL,
                 last_heard_ns INTEGER NOT NULL,
                 events INTEGER NOT NULL DEFAULT 0,
                 duplicates INTEGER NOT NULL DEFAULT 0,
                 conflicts INTEGER NOT NULL DEFAULT 0,
                 given_up INTEGER NOT NULL DEFAULT 0,
                 beat BLOB,
                 UNIQUE(sensor, epoch)
               ) STRICT""",
            """CREATE TABLE run(
                 life_id INTEGER NOT NULL REFERENCES life(life_id),
                 kind TEXT NOT NULL CHECK(kind IN ('received', 'withheld', 'judged')),
                 first INTEGER NOT NULL,
                 last INTEGER NOT NULL,
                 PRIMARY KEY(life_id, kind, first)
               ) STRICT, WITHOUT ROWID""",
            """CREATE TABLE event(
                 position INTEGER PRIMARY KEY AUTOINCREMENT,
                 life_id INTEGER NOT NULL REFERENCES life(life_id),
                 event_id TEXT NOT NULL,
                 seq INTEGER,
                 type TEXT NOT NULL,
                 received_at_ns INTEGER NOT NULL,
                 body BLOB NOT NULL,
                 UNIQUE(life_id, event_id)
               ) STRICT""",
            "CREATE INDEX event_seq ON event(life_id, seq) WHERE seq IS NOT NULL",
        ),
    ),
)

_KINDS = ("received", "withheld", "judged")
_AUTOCHECKPOINT_PAGES = 1_000
_MOST_RUNS = 4_096  # of one kind and life; beyond it the oldest gaps are given up
_EXPIRY_CHUNK = 1_000
_MOST_ATTEMPTS = 8
_FILL = 0.9  # events go once the file is this full, so that the quota itself is only met by a flood


class TooManyLives(StoreFull):
    """No room for one more (sensor, epoch)."""


@dataclass(frozen=True, slots=True)
class Life:
    """One (sensor, epoch) as the file knows it."""

    sensor: str
    epoch: str
    first_heard_ns: int  # wall time of the collector
    last_heard_ns: int
    events: int  # distinct ones, ever
    duplicates: int
    conflicts: int  # events whose number another event already had: two machines write under one epoch
    given_up: int  # numbers in gaps that are no longer looked for: there were too many gaps
    received: Runs
    withheld: Runs
    judged: Runs
    beat: bytes | None  # the data of the latest heartbeat, JSON


@dataclass(frozen=True, slots=True)
class Kept:
    """One stored event and its place in the order of arrival."""

    position: int
    received_at_ns: int
    body: bytes


class CollectorLedger:
    """One file. `open`, then everything else; `close` is safe twice."""

    def __init__(self, path: Path, *, clock: Clock, size: int, lives: int) -> None:
        """`size` bounds the file in bytes: the oldest events make room. `lives` bounds the (sensor, epoch) pairs."""
        self._path, self._clock, self._size, self._most_lives = path, clock, size, lives
        self._lock = StateLock(path.parent, f"{path.name}.lock")
        self._writer: Connection | None = None
        self._reader: Connection | None = None
        self.expired = 0  # events that made room, since open

    async def open(self) -> None:
        """Raises StoreInUse naming another collector's pid, Permanent for a newer file, Retryable when it cannot be had."""
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._lock.acquire()
        self._writer = await open_writer(
            self._path,
            synchronous="FULL",
            autocheckpoint_pages=_AUTOCHECKPOINT_PAGES,
            max_pages=self._size // PAGE_SIZE,
        )
        await self._writer.write(lambda connection: migrate(connection, _MIGRATIONS, self._clock.now_ns()))
        self._reader = await open_reader(self._path)

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        reader, self._reader = self._reader, None
        for connection in (reader, writer):
            if connection is not None:
                await connection.close()
        self._lock.release()

    async def commit(self, arrivals: Sequence[Arrival]) -> None:
        """Store all of them, durable when it returns; known ones are counted. Raises StoreFull: nothing was stored."""
        job = partial(_commit, arrivals=arrivals, now_ns=self._clock.now_ns(), most_lives=self._most_lives)
        for _ in range(_MOST_ATTEMPTS):
            try:
                return await self._open_writer.write(job)
            except TooManyLives:
                raise
            except StoreFull:
                # A disk that others have filled never costs an event: only the quota of this file does.
                is_at_bound = await self._open_writer.run(_bytes_in_use) > _FILL * self._size
                if not is_at_bound or not await self._make_room():
                    raise
        return await self._open_writer.write(job)

    async def maintain(self) -> None:
        """Let the oldest events go while the file is nearly at its bound; call it about once a minute."""
        while await self._open_writer.run(_bytes_in_use) > _FILL * self._size:
            if not await self._make_room():
                return
        await self._open_writer.run(_bring_in_log)

    async def lives(self) -> list[Life]:
        """Every life, by sensor, the latest heard first."""
        return await self._open_reader.read(_lives)

    async def events_after(self, position: int, *, limit: int) -> list[Kept]:
        """Events in the order of their arrival."""

        def read(connection: sqlite3.Connection) -> list[Kept]:
            query = "SELECT position, received_at_ns, body FROM event WHERE position > ? ORDER BY position LIMIT ?"
            return [Kept(*row) for row in connection.execute(query, (position, limit))]

        return await self._open_reader.read(read)

    async def _make_room(self) -> bool:
        def expire(connection: sqlite3.Connection) -> int:
            oldest = "DELETE FROM event WHERE position IN (SELECT position FROM event ORDER BY position LIMIT ?)"
            return connection.execute(oldest, (_EXPIRY_CHUNK,)).rowcount

        removed = await self._open_writer.write(expire)
        self.expired += removed
        return removed > 0

    @property
    def _open_writer(self) -> Connection:
        assert self._writer is not None, "open() first"
        return self._writer

    @property
    def _open_reader(self) -> Connection:
        assert self._reader is not None, "open() first"
        return self._reader


def _commit(connection: sqlite3.Connection, arrivals: Sequence[Arrival], now_ns: int, most_lives: int) -> None:
    by_life: dict[tuple[str, str], list[Arrival]] = {}
    for arrival in arrivals:
        by_life.setdefault((arrival.sensor, arrival.epoch), []).append(arrival)
    for (sensor, epoch), of_life in by_life.items():
        life_id = _life_id(connection, sensor, epoch, now_ns, most_lives)
        runs = {kind: _runs(connection, life_id, kind) for kind in _KINDS}
        grown = {kind: list(known) for kind, known in runs.items()}
        for arrival in of_life:
            if arrival.beat is None:
                _keep(connection, life_id, arrival, now_ns)
                if arrival.seq is not None:
                    grown["received"].append((arrival.seq, arrival.seq))
                continue
            beat = arrival.beat
            grown["withheld"].extend(beat.withheld)
            grown["judged"].append((max(1, beat.withheld_from), beat.settled_seq))
            connection.execute("UPDATE life SET beat = ? WHERE life_id = ?", (beat.document, life_id))
        given_up = 0
        for kind, known in runs.items():
            wanted = joined(grown[kind])
            # What was judged so long ago is simply open again; of the others the oldest gaps are taken for filled, and counted.
            kept = wanted[-_MOST_RUNS:] if kind == "judged" else shortened(wanted, _MOST_RUNS)
            given_up += max(0, count(kept) - count(wanted))
            _write_runs(connection, life_id, kind, known, kept)
        connection.execute(
            "UPDATE life SET last_heard_ns = ?, given_up = given_up + ? WHERE life_id = ?", (now_ns, given_up, life_id)
        )


def _life_id(connection: sqlite3.Connection, sensor: str, epoch: str, now_ns: int, most_lives: int) -> int:
    found = connection.execute("SELECT life_id FROM life WHERE sensor = ? AND epoch = ?", (sensor, epoch)).fetchone()
    if found is not None:
        return int(found[0])
    (known,) = connection.execute("SELECT count(*) FROM life").fetchone()
    if known >= most_lives:
        raise TooManyLives(f"{known} sensors and epochs are known already, no more are taken")
    cursor = connection.execute(
        "INSERT INTO life(sensor, epoch, first_heard_ns, last_heard_ns) VALUES(?, ?, ?, ?)", (sensor, epoch, now_ns, now_ns)
    )
    return int(cursor.lastrowid or 0)


def _keep(connection: sqlite3.Connection, life_id: int, arrival: Arrival, now_ns: int) -> None:
    known = connection.execute("SELECT 1 FROM event WHERE life_id = ? AND event_id = ?", (life_id, arrival.event_id)).fetchone()
    if known is not None:
        connection.execute("UPDATE life SET duplicates = duplicates + 1 WHERE life_id = ?", (life_id,))
        return
    is_conflict = False
    if arrival.seq is not None:
        same_number = connection.execute("SELECT 1 FROM event WHERE life_id = ? AND seq = ?", (life_id, arrival.seq)).fetchone()
        is_conflict = same_number is not None
    # Stored all the same: whoever counts wrongly, no alert is lost here.
    connection.execute(
        "INSERT INTO event(life_id, event_id, seq, type, received_at_ns, body) VALUES(?, ?, ?, ?, ?, ?)",
        (life_id, arrival.event_id, arrival.seq, arrival.type, now_ns, arrival.body),
    )
    connection.execute(
        "UPDATE life SET events = events + 1, conflicts = conflicts + ? WHERE life_id = ?", (int(is_conflict), life_id)
    )


def _runs(connection: sqlite3.Connection, life_id: int, kind: str) -> Runs:
    rows = connection.execute("SELECT first, last FROM run WHERE life_id = ? AND kind = ? ORDER BY first", (life_id, kind))
    return tuple((first, last) for first, last in rows)


def _write_runs(connection: sqlite3.Connection, life_id: int, kind: str, known: Runs, runs: Runs) -> None:
    gone, come = set(known) - set(runs), set(runs) - set(known)
    connection.executemany(
        "DELETE FROM run WHERE life_id = ? AND kind = ? AND first = ?", [(life_id, kind, first) for first, _ in gone]
    )
    connection.executemany(
        "INSERT INTO run(life_id, kind, first, last) VALUES(?, ?, ?, ?)", [(life_id, kind, *run) for run in come]
    )


def _lives(connection: sqlite3.Connection) -> list[Life]:
    runs: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for life_id, kind, first, last in connection.execute(
        "SELECT life_id, kind, first, last FROM run ORDER BY life_id, kind, first"
    ):
        runs.setdefault((life_id, kind), []).append((first, last))
    rows = connection.execute(
        "SELECT life_id, sensor, epoch, first_heard_ns, last_heard_ns, events, duplicates, conflicts, given_up, beat FROM life"
        " ORDER BY sensor, last_heard_ns DESC, life_id DESC"
    )
    return [
        Life(*row, *(tuple(runs.get((life_id, kind), ())) for kind in _KINDS), beat=beat)  # type: ignore[misc]
        for life_id, *row, beat in rows
    ]


def _bytes_in_use(connection: sqlite3.Connection) -> int:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int((pages - free) * PAGE_SIZE)


def _bring_in_log(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    connection.execute("PRAGMA incremental_vacuum(1024)").fetchall()

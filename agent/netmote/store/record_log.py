"""The telemetry: batches appended to one file at a time, read back in the order of their commits across all files.

    append --> [ telemetry-20261122.db ]  newest generation, the only one written
    read_after <-- telemetry-20261120.db, -21, -22   read-only connections

A new file begins when the UTC day changes, when the current one has its share of the quota, when the wall clock went back
by more than an hour, or when the current one lost batches that a checkpoint already covers: then its next ids would be
ones given before. Ages count in running time (how long the agent has run), so no step of the wall clock unlinks anything,
and the newest file is never unlinked.
"""

import asyncio
import os
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.records.batch import Batch
from netmote.store import catalog
from netmote.store.batch_reader import read_file
from netmote.store.batch_rows import Stamp, insert_batch, prepare
from netmote.store.catalog import TelemetryFile
from netmote.store.config import StoreConfig
from netmote.store.connection import PAGE_SIZE, Connection, open_writer
from netmote.store.daily_writes import DailyWrites
from netmote.store.faults import StoreDamaged, StoreFull, translated
from netmote.store.interning import Interner
from netmote.store.migrations import migrate
from netmote.store.page_scan import committed_frames
from netmote.store.position import Gap, Position, Recovery, file_uuid
from netmote.store.recovery import CHECK_LIMIT_BYTES, examine, set_aside
from netmote.store.rollups import roll_up
from netmote.store.running_time import RunningTime
from netmote.store.salvage import finish_replacing, log_octets
from netmote.store.telemetry_salvage import put_back_telemetry, replace_telemetry
from netmote.store.telemetry_schema import TELEMETRY_MIGRATIONS
from netmote.store.uninterrupted import finish

_AUTOCHECKPOINT_PAGES = 4000  # 16 MB: measured as the best of syncs against log size for telemetry
_BACKWARD_TOLERANCE_NS = 3600 * 1_000_000_000
_LARGEST_SHARE = 8  # a file holds at most this share of the quota, so that unlinking one frees little
_SMALLEST_FILE = 1_000_000

T = TypeVar("T")


class RecordLog:
    """The telemetry files of one state directory. Made without I/O; `open` first."""

    def __init__(self, state_dir: Path, config: StoreConfig, clock: Clock, running: RunningTime) -> None:
        self._state_dir, self._config, self._clock, self._running = state_dir, config, clock, running
        self._files: list[TelemetryFile] = []  # in the order of generations
        self._writer: Connection | None = None
        self._interner = Interner()
        self._highest_generation = 0
        self.recoveries: list[Recovery] = []
        self.gaps: list[Gap] = []
        self._rebuilt: set[Path] = set()  # saved from damage: read, never written again
        self._damaged_until: dict[str, int] = {}  # per file: damage up to this id is counted
        self.damaged_batches = 0  # stored, but failed their check when they were read
        self._lock = asyncio.Lock()
        self.unlinked_files = 0
        self.refused_batches = 0  # for want of room
        self.appended_batches = 0
        self.held_log_bytes = (
            0  # what a reader's long transaction kept from being brought in; bounded by a file's share of the quota
        )
        self.recovered_from_log = 0  # batches behind a damaged frame of a log
        self._writes = DailyWrites()
        self._written_before = 0  # by writers closed since

    @property
    def written_bytes(self) -> int:
        """What telemetry cost the disk since the store was opened, in logs and files."""
        return self._written_before + (0 if self._writer is None else self._writer.written_bytes)

    @property
    def written_per_day(self) -> float | None:
        """Bytes; None until ten minutes were watched."""
        return self._writes.rate(self._running.now_ns())

    @property
    def files(self) -> tuple[TelemetryFile, ...]:
        """The files in the order they were written."""
        return tuple(self._files)

    async def open(self, checkpoint: Position | None) -> None:
        """Take stock, set damaged files aside, and open or begin the newest. A full disk does not fail it: `append` says so."""
        with translated("telemetry"):
            await asyncio.to_thread(self._take_stock)
        generations = [0 if checkpoint is None else checkpoint.generation, *(each.generation for each in self._files)]
        self._highest_generation = max(generations)
        if self._files:
            self._running.at_least(self._files[-1].last_running_ns)
        try:
            if self._files and self._files[-1].path not in self._rebuilt and self._is_current(self._files[-1], checkpoint):
                self._writer = await self._open_file(self._files[-1].path)
            else:
                await self._begin_file()
        except StoreFull:
            self._writer = None
        self._writes.note(self.written_bytes, self._running.now_ns())

    def _take_stock(self) -> None:
        self._files.clear()
        for fresh in self._state_dir.glob("telemetry-*.db.new"):
            finish_replacing(fresh.with_name(fresh.name.removesuffix(".new")))
        paths = catalog.telemetry_paths(self._state_dir)
        for path in paths:
            # A file with a log beside it was not closed; replaying the log makes it whole. The last by name is the usual newest.
            is_open = path == paths[-1] or catalog.log_of(path).exists()
            described = self._examined(path) if is_open else self._described(path)
            if described is not None:
                self._files.append(described)
        self._files.sort(key=lambda each: each.generation)

    def _examined(self, path: Path) -> TelemetryFile | None:
        log = log_octets(path)  # before SQLite opens the file: it drops what follows the first damaged frame
        examined = examine(path, check="quick_check" if path.stat().st_size <= CHECK_LIMIT_BYTES else None)
        if examined.damage is not None:
            return self._rebuild(path, examined.damage, log)
        frames = committed_frames(log, PAGE_SIZE)
        if len(frames) > examined.log_frames:
            try:
                self.recovered_from_log += put_back_telemetry(path, frames)
            except sqlite3.Error as error:  # no room, most likely: telemetry does not keep the daemon from starting
                reason = f"its log is damaged, and what lies behind the damage was not saved: {error}"
                self.recoveries.append(Recovery(path.name, reason, "", 0))
        return self._described(path)

    def _described(self, path: Path) -> TelemetryFile | None:
        try:
            described = catalog.describe(path)
        except sqlite3.DatabaseError as error:
            return self._rebuild(path, str(error), b"")
        if described is None:  # never begun: schema and head commit together, so it holds nothing
            catalog.unlink(path)
        return described

    def _rebuild(self, path: Path, damage: str, log: bytes) -> TelemetryFile | None:
        """Set a damaged file aside, and put what can be saved of it in its place; None when that is nothing."""
        if path.stat().st_size > CHECK_LIMIT_BYTES:
            self._set_aside(path, damage)
            return None
        try:
            recovery = replace_telemetry(path, damage, log, self._clock.now_ns())
        except (sqlite3.Error, OSError) as error:  # no room for a second file, or the disk fails: alerts must not wait for that
            self._set_aside(path, f"{damage}; nothing was saved of it: {error}")
            return None
        self.recoveries.append(recovery)
        if not recovery.recovered_rows:
            return None
        self._rebuilt.add(path)
        return catalog.describe(path)

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = set_aside(path, self._clock.now_ns())
        self.recoveries.append(Recovery(path.name, reason, aside.name, 0))

    def _is_current(self, file: TelemetryFile, checkpoint: Position | None) -> bool:
        if checkpoint is not None and checkpoint.file_uuid == file.file_uuid and checkpoint.batch_id > file.last_batch_id:
            self._note_gap(checkpoint, f"{file.path.name} ends at batch {file.last_batch_id}")
            return False
        if checkpoint is not None and checkpoint.generation > file.generation:
            return False
        now_ns = self._clock.now_ns()
        if now_ns < file.begun_at_ns:
            return file.begun_at_ns - now_ns <= _BACKWARD_TOLERANCE_NS
        if catalog.utc_day(now_ns) != file.day:
            return False
        return catalog.bytes_of(file.path) < max(_SMALLEST_FILE, self._config.telemetry_size // _LARGEST_SHARE)

    async def _open_file(self, path: Path) -> Connection:
        self._interner.forget()
        writer = await open_writer(path, synchronous="NORMAL", autocheckpoint_pages=_AUTOCHECKPOINT_PAGES)
        try:
            await writer.write(partial(migrate, migrations=TELEMETRY_MIGRATIONS, now_ns=self._clock.now_ns()))
        except BaseException:
            await writer.close()
            raise
        return writer

    async def _begin_file(self) -> None:
        now_ns, running_ns = self._clock.now_ns(), self._running.now_ns()
        day = catalog.utc_day(now_ns)
        path = catalog.free_path(self._state_dir, day)
        # The system's randomness on purpose: a file restored on another machine must not share its name.
        uuid = file_uuid(self._highest_generation + 1, secrets.token_bytes(10))
        file = TelemetryFile(path, uuid, day, now_ns, running_ns, last_running_ns=running_ns)

        def begin(connection: sqlite3.Connection) -> None:
            migrate(connection, TELEMETRY_MIGRATIONS, now_ns)
            connection.execute(
                "INSERT INTO telemetry_file(only, file_uuid, day, begun_at_ns, begun_running_ns) VALUES(1, ?, ?, ?, ?)",
                (uuid, day, now_ns, running_ns),
            )

        self._interner.forget()
        try:
            writer = await open_writer(path, synchronous="NORMAL", autocheckpoint_pages=_AUTOCHECKPOINT_PAGES)
            try:
                await writer.write(begin)
            except BaseException:
                await writer.close()
                raise
        except BaseException:
            catalog.unlink(path)
            raise
        self._highest_generation += 1
        self._files.append(file)
        self._writer = writer

    async def append(self, batches: Sequence[Batch]) -> Position:
        """Store batches in one transaction. Raises StoreFull when there is no room; then nothing of them was stored."""
        async with self._lock:
            try:
                with translated("telemetry"):
                    return await finish(self._append(batches))
            except StoreFull:
                self.refused_batches += len(batches)
                raise

    async def _append(self, batches: Sequence[Batch]) -> Position:
        free = self.free_bytes()
        if free < self._config.free_space_floor:
            raise StoreFull(f"{free} bytes free, below the floor of {self._config.free_space_floor}: telemetry is not stored")
        self._check_daily_writes()
        written = self.written_bytes
        try:
            if self._writer is None or not self._is_current(self._files[-1], None):
                await self._close_writer()
                await self._begin_file()
            try:
                return await self._insert(batches)
            except StoreDamaged as error:  # the file broke under us: save what can be read, and go on in a new one
                await self._close_writer()
                rebuilt = await asyncio.to_thread(self._rebuild, self._files[-1].path, str(error), b"")
                self._files[-1:] = [] if rebuilt is None else [rebuilt]
                await self._begin_file()
                return await self._insert(batches)
        finally:
            self._writes.note(self.written_bytes - written, self._running.now_ns())

    def _check_daily_writes(self) -> None:
        limit = self._config.daily_writes
        if not limit:
            return
        written = self._writes.of_last_day(self._running.now_ns())
        if written >= limit:
            raise StoreFull(f"{written} bytes were written within a day, daily_writes is {limit}: telemetry is not stored")

    def free_bytes(self) -> int:
        """Bytes of the filesystem that the agent may still fill."""
        status = os.statvfs(self._state_dir)
        return status.f_bavail * status.f_frsize

    async def _insert(self, batches: Sequence[Batch]) -> Position:
        assert self._writer is not None
        file = self._files[-1]
        if not batches:
            return Position(file.file_uuid, file.last_batch_id)
        stamp = Stamp(self._clock.now_ns(), self._running.now_ns())
        # Compressing is the costly part: in the writer's thread, off the loop, and before its transaction.
        prepared = await self._writer.run(lambda _: [prepare(batch) for batch in batches])

        def insert(connection: sqlite3.Connection) -> list[int]:
            numbers = []
            for batch, ready in zip(batches, prepared, strict=True):
                numbers.append(insert_batch(connection, self._interner, batch, ready, stamp))
                roll_up(connection, self._interner, batch)
            return numbers

        try:
            numbers = await self._writer.write(insert)
        except BaseException:
            self._interner.forget()  # it may hold numbers of the transaction that was rolled back
            raise
        for number, batch in zip(numbers, batches, strict=True):
            file = file.with_batch(number, batch.start_ns, batch.end_ns, stamp.running_ns)
        self._files[-1] = file
        self.appended_batches += len(batches)
        return Position(file.file_uuid, file.last_batch_id)

    async def read_after(self, position: Position | None, *, since_ns: int, limit: int) -> list[tuple[Position, Batch]]:
        """Batches after `position` in the order of their commits, those that end after `since_ns` (event time)."""
        found: list[tuple[Position, Batch]] = []
        for file, after in self._files_after(position):
            if len(found) == limit:
                break
            if file.last_batch_id > after and file.last_end_ns > since_ns:
                is_settled = file.file_uuid != self._files[-1].file_uuid
                reading = partial(read_file, file, after, since_ns=since_ns, limit=limit - len(found), is_settled=is_settled)
                with translated(file.path.name):
                    batches = await asyncio.to_thread(reading)
                self._count_damage(batches.damaged)
                found.extend(batches.found)
        return found

    def _count_damage(self, positions: Sequence[Position]) -> None:
        for position in positions:
            if position.batch_id > self._damaged_until.get(position.file_uuid, 0):
                self._damaged_until[position.file_uuid] = position.batch_id
                self.damaged_batches += 1

    def _files_after(self, position: Position | None) -> list[tuple[TelemetryFile, int]]:
        if position is None:
            return [(file, 0) for file in self._files]
        of_position = next((file for file in self._files if file.file_uuid == position.file_uuid), None)
        if of_position is None:
            self._note_gap(position, "the file is gone")
        elif position.batch_id > of_position.last_batch_id:
            self._note_gap(position, f"{of_position.path.name} ends at batch {of_position.last_batch_id}")
        later = [file for file in self._files if file.generation >= position.generation]
        return [(file, position.batch_id if file is of_position else 0) for file in later]

    def _note_gap(self, position: Position, reason: str) -> None:
        if all(gap.position != position for gap in self.gaps):
            self.gaps.append(Gap(position, self._clock.now_ns(), reason))

    async def retain(self) -> None:
        """Unlink whole files beyond age or quota, oldest first, never the newest; and bring the log into the file."""
        async with self._lock:
            await finish(self._retain())

    async def _retain(self) -> None:
        if self._writer is not None:
            # PASSIVE: a reader with a long transaction delays it, it never delays a reader or an append.
            checkpoint = "PRAGMA wal_checkpoint(PASSIVE)"
            _, frames, brought_in = await self._writer.run(lambda connection: connection.execute(checkpoint).fetchone())
            self.held_log_bytes = max(0, frames - brought_in) * PAGE_SIZE
        expired_before = self._running.now_ns() - round(self._config.telemetry_age * NANOSECONDS_PER_SECOND)
        sizes = {file.file_uuid: catalog.bytes_of(file.path) for file in self._files}
        while len(self._files) > 1:
            oldest = self._files[0]
            if oldest.last_running_ns >= expired_before and sum(sizes.values()) <= self._config.telemetry_size:
                break
            del sizes[oldest.file_uuid]
            self._unlink_oldest()

    async def rewrite(self, job: Callable[[Path], T]) -> list[T]:
        """Close what is being written, and run `job` on each file in a thread, oldest first; what follows is stored in a new file."""
        async with self._lock:
            await self._close_writer()
            return [await finish(asyncio.to_thread(job, file.path)) for file in tuple(self._files)]

    async def shed_oldest(self) -> bool:
        """Unlink the oldest file for the sake of alerts on a full disk, never the newest. False when there is none to shed."""
        async with self._lock:
            if len(self._files) < 2:
                return False
            self._unlink_oldest()
            return True

    def _unlink_oldest(self) -> None:
        oldest = self._files.pop(0)
        catalog.unlink(oldest.path)
        self._damaged_until.pop(oldest.file_uuid, None)
        self.unlinked_files += 1

    async def close(self) -> None:
        """Safe without open, safe twice."""
        async with self._lock:
            await self._close_writer()

    async def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            self._written_before += writer.written_bytes
            await writer.close()

"""The store: one door to the ledger and the telemetry of a state directory.

    append -----> telemetry-YYYYMMDD.db   synchronous=NORMAL, one writer    <-- read_after (recovery)
    commit -----> ledger.db               synchronous=FULL, one writer      <-- pending, active_alerts (read-only connection)

Life: construct (no I/O) -> `open` -> ... -> `close` (safe without open, safe twice). Every method that changes something
is one transaction, run to its end even when its caller is cancelled: a CancelledError leaves either all of it or nothing.
Raises StoreFull and other Retryable errors from any method; a ValueError or KeyError is a bug of the caller.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from netmote.alerts.alert import Alert, Committed, Silence
from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.privacy.forgetting import Forgetting
from netmote.records.batch import Batch
from netmote.store import alert_ledger, catalog, delivery_ledger, expiry, resending, silence_rows
from netmote.store.alert_rows import RowsRead
from netmote.store.config import StoreConfig
from netmote.store.connection import PAGE_SIZE, Connection, Job, T, open_reader, open_writer
from netmote.store.delivery_ledger import SinkOutbox
from netmote.store.epoch import Epoch
from netmote.store.faults import StoreFull, translated
from netmote.store.forgetting import ForgottenAlerts, ForgottenTelemetry, forget_in_ledger, forget_in_telemetry
from netmote.store.ledger_mark import machine_facts
from netmote.store.ledger_schema import LEDGER_NAME
from netmote.store.position import Checkpoint, Gap, Position, Recovery
from netmote.store.record_log import RecordLog
from netmote.store.recovery import examine, forget_set_aside
from netmote.store.reserve import Reserve
from netmote.store.running_time import RunningTime
from netmote.store.salvage import (
    Salvage,
    finish_replacing,
    fresh_of,
    log_octets,
    move_into_copy,
    put_back,
    replace_ledger,
    rows_in_log,
)
from netmote.store.state_lock import StateLock
from netmote.store.statistics import StoreStatistics, daily_rate, days_of_disk
from netmote.store.uninterrupted import finish
from netmote.telemetry.heartbeat import SinkBooks

__all__ = ["Checkpoint", "Gap", "Position", "Recovery", "SinkOutbox", "Store", "StoreFull", "StoreStatistics"]

_LEDGER_AUTOCHECKPOINT_PAGES = 1000
_EXPIRY_CHUNK = 1000
_MOST_ROOM_ATTEMPTS = 8
_ENDED_SILENCES_KEPT = 1000
_WITHHELD_TOLD = 100
_DAMAGED_KEPT = 4
_LEAST_MOVED_LOG = 2 * 2**20


class Store:
    """The asynchronous facade. One per state directory at a time, which the lock in it enforces."""

    def __init__(
        self,
        state_dir: Path,
        config: StoreConfig,
        *,
        sensor: str,
        clock: Clock,
        is_clock_synchronised: Callable[[], bool | None] = lambda: None,
        machine: Callable[[], Mapping[str, str]] = machine_facts,
    ) -> None:
        """`is_clock_synchronised` is asked at each commit and stamped on its alerts; None: not known.

        `machine` tells this machine from others (`ledger_mark`): a ledger that comes from another one gets a new epoch.
        """
        self._is_clock_synchronised = is_clock_synchronised
        self._epoch = Epoch(state_dir, machine)
        self._state_dir, self._config, self._sensor, self._clock = state_dir, config, sensor, clock
        self._running = RunningTime(clock)
        self._lock = StateLock(state_dir)
        self._reserve = Reserve(state_dir, config.ledger_size)
        self._records = RecordLog(state_dir, config, clock, self._running)
        self._ledger: Connection | None = None
        self._reader: Connection | None = None
        self._recoveries: list[Recovery] = []
        self._damaged_alerts: set[int] = set()
        self._is_checkpoint_damaged = False
        self._recovered_from_log = 0
        self._expired_alerts = 0
        self._expired_for_room = 0
        self._expired_queued = 0
        self._held_log_bytes = 0
        self._ledger_moves = 0

    async def open(self, *, with_telemetry: bool = True) -> None:
        """Take the lock, recover what a crash or a bad disk left, bring the schemas up.

        A command that only changes the ledger opens it `with_telemetry=False`. Raises StoreInUse naming the holder's pid,
        Permanent when a newer netmote wrote the ledger, Retryable when the disk does not let us.
        """
        try:
            with translated(str(self._state_dir)):
                self._state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
                self._lock.acquire()
                try:
                    await finish(self._open(with_telemetry))
                except StoreFull:
                    if not self._reserve.release():
                        raise
                    await finish(self._open(with_telemetry))
        except BaseException:
            await self.close()
            raise

    async def _open(self, with_telemetry: bool) -> None:
        path = self._state_dir / LEDGER_NAME
        with translated(LEDGER_NAME):
            log_rows = await asyncio.to_thread(self._recover_ledger, path)
        self._ledger = await open_writer(
            path,
            synchronous="FULL",
            autocheckpoint_pages=_LEDGER_AUTOCHECKPOINT_PAGES,
            max_pages=self._config.ledger_size // PAGE_SIZE,
        )
        await self._ledger.write(partial(alert_ledger.begin_ledger, now_ns=self._clock.now_ns()))
        if log_rows.rows:
            self._recovered_from_log += await self._ledger.write(partial(put_back, saved=log_rows))
        await self._epoch.settle(self._ledger)
        self._running.at_least(await self._ledger.read(alert_ledger.running_ns))
        self._reader = await open_reader(path)
        if with_telemetry:
            checkpoint = await self.checkpoint()
            await self._records.open(None if checkpoint is None else checkpoint.position)
            self._reserve.ensure(self._records.free_bytes())

    def _recover_ledger(self, path: Path) -> Salvage:
        """Replace a damaged ledger by what can be saved of it; returns the revisions that stand in the log a crash left."""
        finish_replacing(path)
        log = log_octets(path)  # before SQLite opens the file: it drops what follows the first damaged frame
        # The indexes too: a row that its index does not find would wait for ever.
        damage = examine(path, check="integrity_check").damage
        if damage is None:
            return rows_in_log(log)
        self._recoveries.append(replace_ledger(path, damage, log, self._clock.now_ns()))
        return Salvage()

    async def close(self) -> None:
        """Finish what is under way, note the running time, close the files, drop the lock."""
        await finish(self._close())

    async def _close(self) -> None:
        await self._records.close()
        reader, self._reader = self._reader, None
        ledger, self._ledger = self._ledger, None
        try:
            if reader is not None:
                await reader.close()
            if ledger is not None:
                try:
                    await ledger.write(partial(alert_ledger.note_running, running=self._running.now_ns()))
                    await self._epoch.advance(await ledger.read(alert_ledger.last_seq))
                finally:
                    await ledger.close()  # the last connection of a file brings its log in
        finally:
            self._lock.release()

    @property
    def ledger_epoch(self) -> str:
        """Random hexadecimal per ledger: with `sensor` and `seq` it names a revision in the world."""
        return self._epoch.value

    @property
    def epoch_renewal(self) -> str:
        """Why the epoch was renewed at `open`; empty when it was not. What was sent before is another sensor's life upstream."""
        return self._epoch.renewal

    @property
    def recoveries(self) -> tuple[Recovery, ...]:
        """Files found damaged since `open`, and what became of them."""
        return (*self._recoveries, *self._records.recoveries)

    @property
    def is_checkpoint_damaged(self) -> bool:
        """Whether the checkpoint failed its check: analysis then starts cold."""
        return self._is_checkpoint_damaged

    async def append(self, batches: Sequence[Batch]) -> Position:
        """Store batches in one transaction and return the position of the last. Raises StoreFull: nothing was stored."""
        return await self._records.append(batches)

    async def read_after(self, position: Position | None, *, since_ns: int = 0, limit: int = 64) -> list[tuple[Position, Batch]]:
        """Up to `limit` batches after `position` in the order of their commits; only those that end after `since_ns`.

        A position whose file is gone, or beyond its file's tail, goes on at the oldest batch after it and leaves a gap.
        """
        known = len(self._records.gaps)
        found = await self._records.read_after(position, since_ns=since_ns, limit=limit)
        await self._write_gaps(self._records.gaps[known:])
        return found

    async def _write_gaps(self, gaps: Sequence[Gap]) -> None:
        for gap in gaps:
            await self._write(partial(alert_ledger.add_gap, gap=gap))

    async def gaps(self) -> list[Gap]:
        """Every gap this ledger knows of, oldest first."""
        await self._write_gaps(self._records.gaps)
        return await self._read(alert_ledger.gaps)

    async def commit(self, alerts: Sequence[Alert], checkpoint: Checkpoint | None) -> list[Committed]:
        """Store alert revisions and the checkpoint they came with, together. Durable when it returns (synchronous=FULL).

        A revision already stored is not stored again; it is returned with its first number and time. On a full disk the
        reserve is given up, then the oldest telemetry; at the ledger's quota the oldest finished alerts go first, then the least severe (counted).
        """
        job = partial(
            alert_ledger.commit_alerts,
            alerts=alerts,
            checkpoint=checkpoint,
            sensor=self._sensor,
            now_ns=self._clock.now_ns(),
            running=self._running.now_ns(),
            is_clock_synchronised=self._is_clock_synchronised(),
        )
        with translated(LEDGER_NAME):
            return await finish(self._write_with_room(job))

    async def _write_with_room(self, job: Job[T], *, only_finished: bool = False) -> T:
        for _ in range(_MOST_ROOM_ATTEMPTS):
            try:
                return await self._write(job)
            except StoreFull:
                if not await self._make_room(only_finished=only_finished):
                    raise
        return await self._write(job)

    async def _make_room(self, *, only_finished: bool) -> bool:
        """Give something up for an alert, or for the word of a sink about one. False when there is nothing left that may be.

        On a full disk: the reserve, then old telemetry, then alerts every sink is done with. At the ledger's quota: those, then
        for an alert the least severe and oldest (counted as expired); a disk that others have filled never costs a pending alert.
        """
        is_disk_full = self._records.free_bytes() < self._reserve.size
        if is_disk_full and (self._reserve.release() or await self._records.shed_oldest()):
            return True
        expire = partial(expiry.expire_for_room, limit=_EXPIRY_CHUNK, only_finished=is_disk_full or only_finished)
        removed = await self._write(expire)
        self._expired_for_room += removed
        return removed > 0

    async def checkpoint(self) -> Checkpoint | None:
        """The last checkpoint committed; None when there is none, or it fails its check."""
        checkpoint, self._is_checkpoint_damaged = await self._read(alert_ledger.read_checkpoint)
        return checkpoint

    async def active_alerts(self) -> list[Alert]:
        """The latest revision of each alert that is firing."""
        return [each.alert for each in await self.active_revisions()]

    async def active_revisions(self) -> list[Committed]:
        """The same as committed revisions, oldest number first."""
        return self._sound(await self._read(alert_ledger.active_rows))

    async def recent_alerts(self, limit: int) -> list[Committed]:
        """The latest revision of each alert, newest first."""
        return self._sound(await self._read(partial(alert_ledger.recent_rows, limit=limit)))

    async def alert(self, alert_id: str) -> Committed | None:
        """The latest revision of one alert, by its whole id."""
        revisions = self._sound(await self._read(partial(alert_ledger.revision_rows, alert_id_prefix=alert_id)))
        return next((each for each in reversed(revisions) if each.alert.alert_id == alert_id), None)

    def _sound(self, rows: RowsRead) -> list[Committed]:
        self._damaged_alerts.update(rows.damaged)
        return rows.sound

    async def register_sink(self, sink: str, *, from_beginning: bool = False) -> None:
        """Give a sink its books. A new one starts at the present tail: an upstream just connected is not flooded with history.

        A sink that has books keeps them, so this is called at every start.
        """
        await self._write(partial(delivery_ledger.register_sink, sink=sink, from_beginning=from_beginning))

    async def forget_sink(self, sink: str) -> None:
        """Drop the books of a sink that left the configuration, so that it holds no alerts back."""
        await self._write(partial(delivery_ledger.forget_sink, sink=sink))

    async def pending(self, sink: str, *, limit: int) -> list[Committed]:
        """The next revisions for a sink in the order to offer them: the gravest first, then by number; never n+1 of an alert before n.

        Behind them come those asked for again by `resend`. A row that fails its check cannot be delivered: it is quarantined for the sink and counted. Raises KeyError when the
        sink is not registered.
        """
        while True:
            rows = await self._read(partial(delivery_ledger.pending_rows, sink=sink, limit=limit))
            for seq in rows.damaged:
                await self.quarantine(sink, seq, "damaged in the ledger: it fails its check")
            sound = self._sound(rows)
            if sound or not rows.damaged:
                return sound

    async def acknowledge(self, sink: str, numbers: Sequence[int]) -> None:
        """The sink accepted these revisions. Repeating it is nothing; neither is one that was quarantined meanwhile.

        On a full disk it makes room like `commit`: what cannot be acknowledged is sent again and again.
        Raises ValueError on a number this ledger never gave, KeyError when the sink is not registered.
        """
        await self._note(partial(delivery_ledger.acknowledge, sink=sink, numbers=numbers))

    async def quarantine(self, sink: str, seq: int, reason: str) -> None:
        """Take one pending revision out of a sink's way for ever, with the reason."""
        await self._note(partial(delivery_ledger.quarantine, sink=sink, seq=seq, reason=reason, now_ns=self._clock.now_ns()))

    async def _note(self, job: Job[None]) -> None:
        with translated(LEDGER_NAME):
            await finish(self._write_with_room(job, only_finished=True))

    async def resend(self, sink: str, *, since_ns: int | None = None, first: int | None = None, last: int | None = None) -> int:
        """Offer again what this sink was done with: committed since then (wall time), numbered from `first` to `last`; how many.

        They come behind what waits, with the ids and numbers they had. Raises KeyError when the sink is not registered.
        """
        return await self._write(partial(resending.resend, sink=sink, since_ns=since_ns, first=first, last=last))

    async def books(self, sink: str) -> SinkBooks:
        """How far a sink got, for its heartbeat: cheap, whatever waits. Raises KeyError when the sink is not registered."""
        return await self._read(partial(delivery_ledger.books, sink=sink, limit=_WITHHELD_TOLD))

    async def outbox(self) -> list[SinkOutbox]:
        """The books of every sink, by name."""
        return await self._read(partial(delivery_ledger.outbox, now_ns=self._clock.now_ns()))

    async def forget(self, forgetting: Forgetting) -> tuple[ForgottenAlerts, ForgottenTelemetry]:
        """Take addresses out of everything stored (see `store.forgetting`). Whoever reads on from positions is paused meanwhile."""

        def forget(connection: sqlite3.Connection) -> ForgottenAlerts:
            return forget_in_ledger(connection, forgetting)

        ledger = self._required(self._ledger)
        await ledger.run(lambda connection: connection.execute("PRAGMA secure_delete=ON").fetchall())
        alerts = await ledger.write(forget)
        await ledger.run(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        telemetry = ForgottenTelemetry()
        with translated("telemetry"):
            for each in await self._records.rewrite(partial(forget_in_telemetry, forgetting=forgetting)):
                telemetry.add(each)
        return alerts, telemetry

    async def add_silence(self, silence: Silence) -> None:
        """Store a silence; one of the same id is replaced."""
        await self._write(partial(silence_rows.add_silence, silence=silence))

    async def silences(self) -> list[Silence]:
        """Every stored silence, ended ones too, in the order they were made."""
        return await self._read(silence_rows.silences)

    async def expire_silence(self, silence_id: str) -> bool:
        """End a silence now. False when there is none of that id, or it had ended."""
        return await self._write(partial(silence_rows.expire_silence, silence_id=silence_id, now_ns=self._clock.now_ns()))

    async def maintain(self) -> StoreStatistics:
        """Retention, expiry, checkpoints of the logs and the reserve; call it about once a minute."""
        with translated(str(self._state_dir)):
            return await self._maintain()

    async def _maintain(self) -> StoreStatistics:
        await self._records.retain()
        await asyncio.to_thread(forget_set_aside, self._state_dir, keep=_DAMAGED_KEPT)
        self._reserve.ensure(self._records.free_bytes() - self._config.free_space_floor)
        running = self._running.now_ns()
        expired_before = running - round(self._config.alert_age * NANOSECONDS_PER_SECOND)
        queued_before = running - round(self._config.queued_age * NANOSECONDS_PER_SECOND) if self._config.queued_age else None

        def tidy(connection: sqlite3.Connection) -> tuple[int, int, int]:
            alert_ledger.note_running(connection, running)
            silence_rows.forget_ended(connection, self._clock.now_ns(), keep=_ENDED_SILENCES_KEPT)
            given_up = 0
            if queued_before is not None:
                given_up = expiry.expire_queued(connection, running_before=queued_before, limit=_EXPIRY_CHUNK)
            expired = expiry.expire_old(connection, running_before=expired_before, limit=_EXPIRY_CHUNK)
            return expired, given_up, alert_ledger.last_seq(connection)

        try:
            expired, given_up, last_seq = await self._write(tidy)
            self._expired_alerts += expired
            self._expired_queued += given_up
            await self._epoch.advance(last_seq)
            await self._bring_in_log(last_seq)
        except StoreFull:
            # A disk this full lets nothing be tidied; the statistics below say so, and the next call tries again.
            self._reserve.release()
        return self._statistics()

    async def _bring_in_log(self, last_seq: int) -> None:
        """Bring the ledger's log into its file; where somebody's long transaction holds it and it grows, go on in a copy."""
        ledger, path = self._required(self._ledger), self._state_dir / LEDGER_NAME
        self._held_log_bytes = await ledger.run(_checkpoint)
        if self._held_log_bytes < max(_LEAST_MOVED_LOG, self._config.ledger_size // 4):
            return
        await finish(self._move_ledger(ledger, path))
        await self._epoch.moved(last_seq)
        self._ledger_moves += 1
        self._held_log_bytes = 0

    async def _move_ledger(self, ledger: Connection, path: Path) -> None:
        fresh = fresh_of(path)
        await asyncio.to_thread(catalog.unlink, fresh)
        copy = partial(_copy_into, path=fresh)
        async with ledger.shut(copy), self._required(self._reader).shut():
            await asyncio.to_thread(move_into_copy, path)

    def _statistics(self) -> StoreStatistics:
        files, ledger = self._records.files, self._state_dir / LEDGER_NAME
        telemetry_bytes = sum(catalog.bytes_of(file.path) for file in files)
        logs = [catalog.log_of(path) for path in (ledger, *(file.path for file in files))]
        free_bytes = self._records.free_bytes()
        rate = daily_rate(telemetry_bytes, self._running.now_ns() - files[0].begun_running_ns) if files else None
        return StoreStatistics(
            telemetry_bytes=telemetry_bytes,
            ledger_bytes=catalog.bytes_of(ledger),
            wal_bytes=sum(log.stat().st_size for log in logs if log.exists()),
            held_log_bytes=self._held_log_bytes + self._records.held_log_bytes,
            ledger_moves=self._ledger_moves,
            free_bytes=free_bytes,
            bytes_per_day=rate,
            telemetry_written_bytes=self._records.written_bytes,
            ledger_written_bytes=self._required(self._ledger).written_bytes,
            written_per_day=self._records.written_per_day,
            days_left=days_of_disk(
                free_bytes=free_bytes,
                floor=self._config.free_space_floor,
                telemetry_bytes=telemetry_bytes,
                quota=self._config.telemetry_size,
                bytes_per_day=rate,
            ),
            oldest_ns=min((file.first_start_ns for file in files if file.last_batch_id), default=None),
            newest_ns=max((file.last_end_ns for file in files if file.last_batch_id), default=None),
            telemetry_files=len(files),
            is_telemetry_stored=free_bytes >= self._config.free_space_floor,
            is_reserve_held=self._reserve.is_held,
            appended_batches=self._records.appended_batches,
            refused_batches=self._records.refused_batches,
            damaged_batches=self._records.damaged_batches,
            damaged_alerts=len(self._damaged_alerts),
            expired_alerts=self._expired_alerts,
            expired_for_room=self._expired_for_room,
            expired_queued=self._expired_queued,
            unlinked_files=self._records.unlinked_files,
            recoveries=len(self.recoveries),
            recovered_from_log=self._recovered_from_log,
            batches_from_log=self._records.recovered_from_log,
            gaps=len(self._records.gaps),
        )

    async def _write(self, job: Job[T]) -> T:
        return await self._required(self._ledger).write(job)

    async def _read(self, job: Job[T]) -> T:
        return await self._required(self._reader).read(job)

    @staticmethod
    def _required(connection: Connection | None) -> Connection:
        if connection is None:
            raise RuntimeError("the store is not open")
        return connection


def _copy_into(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("VACUUM INTO ?", (str(path),)).close()


def _checkpoint(connection: sqlite3.Connection) -> int:
    """Bytes of the log that could not be brought in: somebody still reads what was before."""
    _, frames, brought_in = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    # A statement frees one page a step, so it is stepped to its end.
    connection.execute("PRAGMA incremental_vacuum(256)").fetchall()
    return int(max(0, frames - brought_in)) * PAGE_SIZE

"""One SQLite connection in one thread, whose every job is one whole transaction.

What aiosqlite alone leaves open (measured): two tasks on one connection interleave their statements, so that one
commits or rolls back the other's; and a cancelled task leaves its transaction open. Here a job is a plain function of
the connection. It runs from BEGIN to COMMIT inside one call on aiosqlite's thread, so it can neither be interleaved nor
cut in the middle, and a cancelled caller hears of it only when the job is over:

    caller A --job--.                   .-- BEGIN job COMMIT ----------.
                     >-- lock (FIFO) --<                                >-- one thread, one connection
    callers B, C ---'                   '-- BEGIN job B, job C COMMIT --'     jobs that wait together share a transaction

Exactly one connection per file is made by `open_writer`; it alone writes and checkpoints (SQLite before 3.51.3 can
damage a WAL that two connections checkpoint, https://www.sqlite.org/wal.html#walresetbug). All others come from
`open_reader` or `read_only` and cannot.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite

from netmote.store.faults import translated
from netmote.store.group_commit import MOST_IN_A_GROUP, Outcome, perform_all, transaction
from netmote.store.log_meter import LogMeter
from netmote.store.uninterrupted import finish

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

PAGE_SIZE = 4096
# Negative: KiB. Rows are appended and read once, so pages are hardly ever asked for again; the default is 2 MB a connection.
_CACHE_SIZE = -512
_BUSY_TIMEOUT_SECONDS = 5.0


class _Thread(aiosqlite.Connection):
    """aiosqlite's connection, which owns the thread, taking a whole function instead of one statement."""

    async def perform(self, job: Job[T]) -> T:
        return await self._execute(partial(job, self._conn))  # type: ignore[no-untyped-call, no-any-return]


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    job: Job[Any]
    done: asyncio.Future[Any]


class Connection:
    """The async door to one open file. Made by `open_writer` and `open_reader`."""

    def __init__(self, thread: _Thread, path: Path, connector: Callable[[], sqlite3.Connection]) -> None:
        self._thread, self._connector = thread, connector
        self._lock = asyncio.Lock()
        self._is_open = True
        self._waiting: deque[_Waiting] = deque()  # as many as there are callers
        self._meter = LogMeter(path.with_name(path.name + "-wal"), PAGE_SIZE)
        self.path = path

    def begin_metering(self) -> None:
        """What a crash left in the log was not written by this connection."""
        self._meter.begin()

    @property
    def written_bytes(self) -> int:
        """What this connection's transactions cost the disk so far, in log and file."""
        return self._meter.bytes

    async def write(self, job: Job[T]) -> T:
        """Run `job` whole or not at all, durable when it returns. Raises what `translated` raises, and Cancelled only between jobs.

        Jobs that wait for the connection at the same time are committed together.
        """
        mine = _Waiting(job, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        try:
            async with self._lock:
                if not mine.done.done():
                    await finish(self._write_those_waiting())
        except asyncio.CancelledError:
            if mine in self._waiting:  # nobody took it up: it never runs
                self._waiting.remove(mine)
                raise
            while not mine.done.done():  # with somebody else's group: heard of only when that is over
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([mine.done])
            raise asyncio.CancelledError from mine.done.exception()
        with translated(self.path.name):
            return cast("T", mine.done.result())

    async def _write_those_waiting(self) -> None:
        group = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_IN_A_GROUP))]
        try:
            outcomes = await self._thread.perform(partial(_metered, self._meter, [each.job for each in group]))
        except Exception as error:  # noqa: BLE001 -- raised by whose job it was
            outcomes = [Outcome(error=error)] * len(group)
        for each, outcome in zip(group, outcomes, strict=True):
            if outcome.error is None:
                each.done.set_result(outcome.result)
            else:
                each.done.set_exception(outcome.error)

    async def read(self, job: Job[T]) -> T:
        """Run `job` in one read transaction: everything it sees is of one instant."""
        return await self._run(partial(transaction, "BEGIN", job))

    async def run(self, job: Job[T]) -> T:
        """Run `job` outside a transaction: pragmas and checkpoints."""
        return await self._run(job)

    async def _run(self, job: Job[T]) -> T:
        async with self._lock:
            with translated(self.path.name):
                return await finish(self._thread.perform(job))

    @asynccontextmanager
    async def shut(self, last: Job[object] | None = None) -> AsyncIterator[None]:
        """Run `last`, close, and open anew when the body is done: nobody's job runs meanwhile. Stays closed when the body fails.

        Not to be cancelled: the caller runs it in `finish`.
        """
        async with self._lock:
            with translated(self.path.name):
                if last is not None:
                    await self._thread.perform(last)
                self._is_open = False
                await self._thread.close()
                yield
                self._thread = await _started(self._connector)
                self._is_open = True
                self._meter.reopen()

    async def close(self) -> None:
        """Wait for the running job and close. Safe twice."""
        async with self._lock:
            if self._is_open:
                self._is_open = False
                self._meter.close()
                with translated(self.path.name):
                    await finish(self._thread.close())


def _metered(meter: LogMeter, jobs: Sequence[Job[Any]], connection: sqlite3.Connection) -> list[Outcome]:
    outcomes = perform_all(jobs, connection)
    meter.note()
    return outcomes


def _tolerant_text(octets: bytes) -> str:
    """A flipped bit may leave no UTF-8: it is read as it is, and fails its CRC instead of the whole query."""
    return octets.decode("utf-8", "surrogateescape")


def connect_writer(path: Path, *, synchronous: str, autocheckpoint_pages: int, max_pages: int | None) -> sqlite3.Connection:
    """The writing connection itself, with its pragmas. The order matters: auto_vacuum is ignored once the file is WAL."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_TIMEOUT_SECONDS)
    try:
        connection.text_factory = _tolerant_text
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute(f"PRAGMA cache_size={_CACHE_SIZE}")
        connection.execute(f"PRAGMA wal_autocheckpoint={autocheckpoint_pages}")
        connection.execute(f"PRAGMA journal_size_limit={2 * autocheckpoint_pages * PAGE_SIZE}")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
        if max_pages is not None:
            connection.execute(f"PRAGMA max_page_count={max_pages}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """A connection that cannot write and never checkpoints. `immutable` is for files nobody can be writing."""
    options = "mode=ro&immutable=1" if immutable else "mode=ro"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=_BUSY_TIMEOUT_SECONDS,
    )
    try:
        connection.text_factory = _tolerant_text
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
    except BaseException:
        connection.close()
        raise
    return connection


async def open_writer(path: Path, *, synchronous: str, autocheckpoint_pages: int, max_pages: int | None = None) -> Connection:
    """The one writing connection of a file, created when absent. Raises what `translated` raises."""
    connector = partial(
        connect_writer, path, synchronous=synchronous, autocheckpoint_pages=autocheckpoint_pages, max_pages=max_pages
    )
    connection = await _open(connector, path)
    connection.begin_metering()
    return connection


async def open_reader(path: Path) -> Connection:
    """A read-only connection in a thread of its own."""
    return await _open(partial(connect_reader, path), path)


async def _open(connector: Callable[[], sqlite3.Connection], path: Path) -> Connection:
    with translated(path.name):
        return Connection(await _started(connector), path, connector)


async def _started(connector: Callable[[], sqlite3.Connection]) -> _Thread:
    return await _Thread(connector, iter_chunk_size=64)  # type: ignore[return-value]

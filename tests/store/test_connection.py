"""One job is one transaction: not interleaved, not left open, whatever happens to its caller."""

import asyncio
import sqlite3
import time

import pytest

from netmote.errors import Retryable
from netmote.store.connection import open_reader, open_writer


@pytest.fixture
async def writer(tmp_path):
    connection = await open_writer(tmp_path / "a.db", synchronous="NORMAL", autocheckpoint_pages=1000)
    await connection.write(lambda c: c.execute("CREATE TABLE t(v INTEGER)") and None)
    yield connection
    await connection.close()


def count(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def slow_insert(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t VALUES(1)")
    time.sleep(0.2)
    connection.execute("INSERT INTO t VALUES(2)")


async def test_cancellation_leaves_no_transaction_open(writer):
    """A caller cancelled in mid-transaction: the job ends whole, and the next BEGIN finds a free connection."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await writer.write(slow_insert)
    assert await writer.run(lambda c: c.in_transaction) is False
    assert await writer.read(count) == 2
    await writer.write(slow_insert)
    assert await writer.read(count) == 4


async def test_cancellation_is_heard_only_when_the_job_is_over(writer):
    """When the CancelledError comes out, nothing of the job is still running."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(writer.write(slow_insert))
        await asyncio.sleep(0.05)
        for _ in range(3):  # impatience changes nothing
            task.cancel()
            await asyncio.sleep(0.01)
        assert not task.done()
    assert task.cancelled()
    assert await writer.read(count) == 2


async def test_a_caller_cancelled_while_waiting_never_runs(writer):
    """A job still in the queue when its caller leaves is not run at all."""
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.write(slow_insert))
        await asyncio.sleep(0.05)  # under way: what comes now waits for it
        waiting = group.create_task(writer.write(slow_insert))
        await asyncio.sleep(0.02)
        waiting.cancel()
    assert await writer.read(count) == 2


async def test_jobs_of_many_tasks_do_not_mix(writer):
    """A job that fails takes only its own rows back, however many run beside it."""

    def insert_ten(connection: sqlite3.Connection) -> None:
        connection.executemany("INSERT INTO t VALUES(?)", [(1,)] * 10)

    def insert_and_fail(connection: sqlite3.Connection) -> None:
        insert_ten(connection)
        raise ValueError("refused")

    jobs = [writer.write(insert_ten if number % 2 else insert_and_fail) for number in range(40)]
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(each) for each in outcomes] == [ValueError, type(None)] * 20
    assert await writer.read(count) == 200


async def test_the_error_of_cancelled_work_is_kept(writer):
    """A job that fails after its caller was cancelled is the cause of the cancellation, so nothing is swallowed."""

    def fail(connection: sqlite3.Connection) -> None:
        time.sleep(0.1)
        raise ValueError("late")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(writer.write(fail))
        await asyncio.sleep(0.02)
        task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    causes, error = [], caught.value
    while error is not None:
        causes.append(type(error))
        error = error.__cause__ or error.__context__
    assert ValueError in causes


async def test_a_reader_cannot_write_or_checkpoint(writer):
    """Only one connection writes and checkpoints; all others are refused."""
    reader = await open_reader(writer.path)
    with pytest.raises(Retryable, match="readonly"):
        await reader.write(slow_insert)
    with pytest.raises(Retryable):
        await reader.run(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    await reader.close()
    await reader.close()


async def test_closing_waits_for_the_job(writer):
    """A close asked for in mid-transaction comes after its commit."""
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.write(slow_insert))
        await asyncio.sleep(0.05)
        await writer.close()
    reader = await open_reader(writer.path)
    assert await reader.read(count) == 2
    await reader.close()

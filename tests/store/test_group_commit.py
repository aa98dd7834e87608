"""Changes that wait together share a transaction, and nothing else: not their errors, not their cancellations, not their results."""

import asyncio
import sqlite3
import struct
import time

import pytest

from netmote.store.connection import open_writer
from netmote.store.faults import StoreFull
from netmote.store.group_commit import MOST_IN_A_GROUP


@pytest.fixture
async def writer(tmp_path):
    connection = await open_writer(tmp_path / "a.db", synchronous="FULL", autocheckpoint_pages=10_000, max_pages=300)
    await connection.write(lambda c: c.execute("CREATE TABLE t(v INTEGER PRIMARY KEY, b BLOB)") and None)
    yield connection
    await connection.close()


def insert(number, octets=0):
    def job(connection):
        connection.execute("INSERT INTO t VALUES(?, zeroblob(?))", (number, octets))
        return number

    return job


def values(connection):
    return [value for (value,) in connection.execute("SELECT v FROM t ORDER BY v")]


def commits(tmp_path):
    """Transactions in the log: frames that carry the size after a commit."""
    log = (tmp_path / "a.db-wal").read_bytes()
    return sum(struct.unpack_from(">I", log, at + 4)[0] != 0 for at in range(32, len(log) - 4119, 4120))


async def together(writer, *jobs):
    """Hold the connection until all jobs wait for it; returns their tasks, done."""
    async with asyncio.TaskGroup() as group:
        holder = group.create_task(writer.run(lambda _: time.sleep(0.1)))
        await asyncio.sleep(0.02)
        waiting = [asyncio.ensure_future(writer.write(job)) for job in jobs]
        await holder
    await asyncio.wait(waiting)
    return waiting


async def test_one_transaction_and_each_its_own_result(writer, tmp_path):
    """Twenty that wait cost one commit, so one sync; more than a group holds cost two."""
    before = commits(tmp_path)
    done = await together(writer, *(insert(number) for number in range(20)))
    assert [each.result() for each in done] == list(range(20))
    assert commits(tmp_path) == before + 1
    done = await together(writer, *(insert(number) for number in range(100, 100 + MOST_IN_A_GROUP + 5)))
    assert commits(tmp_path) == before + 3
    assert len(await writer.read(values)) == 20 + MOST_IN_A_GROUP + 5


async def test_one_that_fails_takes_nothing_along(writer):
    """An error of one job is its own: what it did is undone, the others are kept; a bug stays the exception it was."""

    def buggy(connection):
        insert(50)(connection)
        raise ZeroDivisionError

    done = await together(writer, insert(1), insert(1), buggy, insert(2))
    assert done[0].result() == 1
    with pytest.raises(sqlite3.IntegrityError):
        done[1].result()
    with pytest.raises(ZeroDivisionError):
        done[2].result()
    assert done[3].result() == 2
    assert await writer.read(values) == [1, 2]


async def test_a_group_that_does_not_fit_fails_only_where_it_must(writer):
    """A full file rolls the whole transaction back: then each is tried alone, and only the one too large is refused."""
    done = await together(writer, insert(1), insert(2, octets=10_000_000), insert(3))
    with pytest.raises(StoreFull):
        done[1].result()
    assert (done[0].result(), done[2].result()) == (1, 3)
    assert await writer.read(values) == [1, 3]


async def test_a_caller_that_leaves_before_its_turn_never_runs(writer):
    """Cancelled while it waits, a job is not run; the others of its group are."""
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run(lambda _: time.sleep(0.1)))
        await asyncio.sleep(0.02)
        kept, gone = group.create_task(writer.write(insert(1))), group.create_task(writer.write(insert(2)))
        await asyncio.sleep(0.02)
        gone.cancel()
    assert kept.result() == 1
    assert gone.cancelled()
    assert await writer.read(values) == [1]


@pytest.mark.parametrize("who", [0, 1])
async def test_a_caller_cancelled_in_a_group_hears_of_it_when_it_is_over(writer, who):
    """Whoever's task runs the group, and whoever is cancelled: all jobs are kept, and nothing runs on afterwards."""

    def slow(connection):
        insert(1)(connection)
        time.sleep(0.15)

    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run(lambda _: time.sleep(0.05)))
        await asyncio.sleep(0.01)
        tasks = [group.create_task(writer.write(slow)), group.create_task(writer.write(insert(2)))]
        await asyncio.sleep(0.1)  # the group is under way
        tasks[who].cancel()
        tasks[who].cancel()
    assert tasks[who].cancelled()
    assert not tasks[1 - who].cancelled()
    assert await writer.read(values) == [1, 2]

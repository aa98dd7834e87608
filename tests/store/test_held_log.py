"""A reader that holds a long transaction: the log it keeps from being brought in is told, and does not grow for ever."""

import sqlite3
from contextlib import closing, contextmanager

import pytest
from store_samples import alert, flow_batch

from netmote.alerts.alert import AlertState
from netmote.errors import Retryable
from netmote.store.store import Checkpoint


@contextmanager
def long_reader(path):
    """Somebody with sqlite3 who began a transaction and forgot it; yields a function that counts what they see."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        table = "alert_revision" if path.name == "ledger.db" else "batch"

        def count():
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

        count()
        yield count


async def commit_some(store, first, count):
    for number in range(first, first + count):
        await store.commit([alert(number, state=AlertState.RESOLVED)], Checkpoint(None, number, b"x" * 20_000))


async def test_a_ledger_whose_log_is_held_goes_on_in_a_copy(opened, tmp_path):
    """Nothing is lost, numbers and epoch go on, the reader reads on what it saw, and the log begins anew: also over restarts."""
    store = await opened(ledger_size="10MB")
    await store.register_sink("webhook")
    await commit_some(store, 1, 10)
    with long_reader(tmp_path / "ledger.db") as count:
        moves = rows = 0
        while moves < 2:
            await commit_some(store, 1000 + rows, 30)
            rows += 30
            statistics = await store.maintain()
            if statistics.ledger_moves == moves:
                assert statistics.held_log_bytes > 0
            moves = max(moves, statistics.ledger_moves)
            if moves == 1:
                break
        assert statistics.held_log_bytes == 0
        assert not (tmp_path / "ledger.db-wal").exists() or (tmp_path / "ledger.db-wal").stat().st_size < 2**20
        assert count() == 10, "the reader still sees its instant"
        epoch = store.ledger_epoch
        await store.commit([alert(9999)], None)
        await store.acknowledge("webhook", [1])
        await store.close()
        store = await opened(ledger_size="10MB")
        assert (store.recoveries, store.epoch_renewal, store.ledger_epoch) == ((), "", epoch)
        assert [row.seq for row in await store.pending("webhook", limit=10_000)] == list(range(2, 10 + rows + 2))
        assert (await store.checkpoint()).state == b"x" * 20_000
        assert (await store.outbox())[0].holds
        assert sorted(path.name for path in tmp_path.glob("ledger.db*")) == ["ledger.db", "ledger.db-shm", "ledger.db-wal"]


@pytest.mark.parametrize("step", ["copied", "database moved", "log dropped", "in place"])
async def test_a_crash_while_moving_loses_nothing(opened, tmp_path, step):
    """Killed between any two steps of the move, the next start has the whole ledger, and no log of the file that went."""
    state_dir = tmp_path / "crashed"
    state_dir.mkdir()
    store = await opened()
    await store.register_sink("webhook")
    await store.commit([alert(number) for number in range(20)], None)
    copy = tmp_path / "ledger.db.new"
    await store._ledger.run(lambda connection: connection.execute("VACUUM INTO ?", (str(copy),)).close())
    for path in tmp_path.glob("ledger.*"):
        (state_dir / path.name).write_bytes(path.read_bytes())
    (state_dir / "ledger.db-shm").unlink()
    if step != "copied":
        (state_dir / "ledger.db").rename(state_dir / "ledger.db.held")
    if step in ("log dropped", "in place"):
        (state_dir / "ledger.db-wal").unlink()
    if step == "in place":
        (state_dir / "ledger.db.new").rename(state_dir / "ledger.db")
    moved = await opened(state_dir=state_dir)
    assert not list(state_dir.glob("*.held"))
    assert moved.recoveries == ()
    assert [row.seq for row in await moved.pending("webhook", limit=99)] == list(range(1, 21))
    assert (await moved.outbox())[0].holds


async def test_work_waits_while_the_ledger_moves(opened, tmp_path):
    """Commits and reads of other tasks go on after the move, in the copy; a move that fails is said."""
    store = await opened()
    await store.register_sink("webhook")
    with long_reader(tmp_path / "ledger.db"):
        await commit_some(store, 1, 5)
        await store._move_ledger(store._ledger, tmp_path / "ledger.db")
        await commit_some(store, 6, 5)
        assert len(await store.pending("webhook", limit=99)) == 10
        (tmp_path / "ledger.db.new").mkdir()
        with pytest.raises((Retryable, OSError)):
            await store._move_ledger(store._ledger, tmp_path / "ledger.db")
        (tmp_path / "ledger.db.new").rmdir()


async def test_telemetry_whose_log_is_held_goes_on_in_another_file(opened, tmp_path):
    """The log counts towards a file's share of the quota, so it is bounded by that; the reader keeps what it saw."""
    store = await opened(telemetry_size=10_000_000)
    first = await store.append([flow_batch(rows=2000)])
    (path,) = tmp_path.glob("telemetry-*.db")
    with long_reader(path) as count:
        for number in range(60):
            await store.append([flow_batch(rows=2000, seed=number)])
            if number % 10 == 0:
                assert (await store.maintain()).held_log_bytes >= 0
        assert count() == 1
        last = await store.append([flow_batch()])
        assert last.generation > first.generation + 1
        sizes = [log.stat().st_size for log in tmp_path.glob("telemetry-*.db-wal")]
        assert max(sizes) < 10_000_000 // 8 + 400_000
    assert (await store.maintain()).held_log_bytes == 0

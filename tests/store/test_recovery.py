"""Damaged files at start: the store always opens, says what was lost, and keeps the damaged set for inspection."""

import random
import sqlite3
import time

import numpy as np
import pytest
from store_samples import SECOND, T0, alert, flow_batch, one_of_each

from netmote.alerts.alert import Silence
from netmote.store.store import Checkpoint


async def filled(opened):
    """A closed store with a few hundred kB in both files."""
    store = await opened()
    await store.register_sink("webhook")
    for number in range(20):
        position = await store.append([flow_batch(T0 + number * 5 * SECOND, seed=number)])
        await store.commit([alert(number * 20 + each) for each in range(20)], Checkpoint(position, number, b"s" * 500))
    epoch = store.ledger_epoch
    await store.close()
    return epoch


def damage(path, kind, rng):
    data = bytearray(path.read_bytes())
    match kind:
        case "header":
            data[:100] = bytes(100)
        case "truncated":
            del data[len(data) // 2 :]
        case "emptied":
            data.clear()
        case "torn":
            del data[-1234:]
        case "flipped":
            for _ in range(8):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case "page":
            page = rng.randrange(1, len(data) // 4096) * 4096
            data[page : page + 4096] = rng.randbytes(4096)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(("kind", "least"), [("header", 400), ("truncated", 150), ("torn", 395), ("page", 390)])
async def test_a_damaged_ledger_is_set_aside_and_its_rows_saved(opened, tmp_path, kind, least):
    """The ledger begins anew under a new epoch with every row outside the damage; the old one lies beside it."""
    epoch = await filled(opened)
    damage(tmp_path / "ledger.db", kind, random.Random(1))
    store = await opened()
    (recovery,) = store.recoveries
    assert recovery.file == "ledger.db"
    assert recovery.reason
    assert (tmp_path / recovery.set_aside_as).exists()
    assert recovery.set_aside_as.startswith("ledger.db.corrupt-2023")
    assert store.ledger_epoch != epoch
    rows = await store.recent_alerts(1000)
    assert len(rows) == recovery.recovered_rows >= least
    await store.register_sink("webhook")
    assert [row.seq for row in await store.pending("webhook", limit=1000)] == list(range(1, len(rows) + 1))
    assert (await store.outbox())[0].holds
    await store.commit([alert(9999)], None)
    assert len(await store.read_after(None)) == 20, "the telemetry is untouched"
    assert (await store.maintain()).recoveries == 1


@pytest.mark.parametrize(("kind", "least", "gaps"), [("header", 20, 0), ("truncated", 0, 1), ("page", 18, 0)])
async def test_a_damaged_telemetry_file_is_set_aside_and_its_batches_saved(opened, tmp_path, kind, least, gaps):
    """What can be read stays under its file's name and its positions, bit for bit; new batches go into a new file after it."""
    epoch = await filled(opened)
    (path,) = tmp_path.glob("telemetry-*.db")
    damage(path, kind, random.Random(1))
    store = await opened()
    (recovery,) = store.recoveries
    assert recovery.file == path.name
    assert (tmp_path / recovery.set_aside_as).exists()
    assert store.ledger_epoch == epoch
    assert len(await store.recent_alerts(1000)) == 400
    found = await store.read_after(None, limit=100)
    assert len(found) == recovery.recovered_rows >= least
    for position, batch in found:
        seed = position.batch_id - 1
        assert batch.slices.tobytes() == flow_batch(T0 + seed * 5 * SECOND, seed=seed).slices.tobytes()
    checkpoint = await store.checkpoint()
    after = await store.append([flow_batch()])
    assert after.order > checkpoint.position.order
    assert [at for at, _ in await store.read_after(checkpoint.position)] == [after], "nothing analysed is analysed again"
    assert len(await store.gaps()) == gaps


async def test_every_kind_of_batch_is_saved(opened, tmp_path):
    """Flows, ports, devices, gauges and facts come back as they were, and the roll-ups with them; the schema page is gone."""
    store = await opened()
    for second in range(30):
        await store.append(one_of_each(T0 + second * SECOND))
    before = await store.read_after(None, limit=1000)
    await store.close()
    (path,) = tmp_path.glob("telemetry-*.db")
    with sqlite3.connect(path) as connection:
        minutes = connection.execute("SELECT * FROM interface_traffic_per_minute ORDER BY 1, 2").fetchall()
    connection.close()
    damage(path, "header", random.Random(1))
    store = await opened()
    found = await store.read_after(None, limit=1000)
    assert len(found) == 150
    for (position, was), (same_position, now) in zip(before, found, strict=True):
        assert position == same_position
        assert_same(was, now)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT * FROM interface_traffic_per_minute ORDER BY 1, 2").fetchall() == minutes
    connection.close()


def assert_same(was, now):
    assert type(was) is type(now)
    for name in was.__dataclass_fields__:
        one, other = getattr(was, name), getattr(now, name)
        if isinstance(one, np.ndarray):
            assert one.tobytes() == other.tobytes(), name
        else:
            assert repr(one) == repr(other), name  # NaN equals itself there


async def test_damaged_sets_never_fill_the_disk(opened, tmp_path, clock):
    """The newest few are kept for who wants to look; older ones go, each with its companions."""
    for number in range(6):
        await filled(opened) if number == 0 else None
        damage(tmp_path / "ledger.db", "header", random.Random(number))
        store = await opened()
        clock.advance(60)
        await store.maintain()
        await store.close()
    kept = sorted(path.name for path in tmp_path.glob("ledger.db.corrupt-*"))
    assert len(kept) == 4
    assert kept[-1].endswith(clock_text(clock, -60))


def clock_text(clock, seconds):
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(clock.now_ns() / 1e9 + seconds))


async def test_saved_rows_keep_their_place_and_their_cursors(opened, tmp_path):
    """Old order, old times, old ids, old checkpoint; what a sink had acknowledged is not sent again; silences stay."""
    store = await opened()
    await store.register_sink("ahead")
    await store.register_sink("behind")
    silence = Silence("s", 1, 2, "kept")
    await store.add_silence(silence)
    before = []
    for number in range(10):
        checkpoint = Checkpoint(None, number, bytes(5000))  # over several pages
        before += await store.commit([alert(number, is_silenced=number == 3)], checkpoint)
    await store.acknowledge("ahead", [1, 2, 3, 4, 5, 6, 7, 8])
    await store.close()
    data = bytearray((tmp_path / "ledger.db").read_bytes())
    page = next(
        start
        for start in range(4096, len(data), 4096)
        if data[start] == 0x0A and alert(1).alert_id.encode() in data[start : start + 4096]
    )
    data[page : page + 4096] = bytes(4096)  # the index of alert ids: no row is touched, but the file is no sound database
    (tmp_path / "ledger.db").write_bytes(bytes(data))
    store = await opened()
    assert store.recoveries[0].recovered_rows == 10
    after = sorted(await store.recent_alerts(100), key=lambda row: row.seq)
    assert [(row.alert, row.committed_at_ns, row.sensor) for row in after] == [
        (row.alert, row.committed_at_ns, row.sensor) for row in before
    ]
    assert await store.checkpoint() == checkpoint
    assert await store.silences() == [silence]
    assert [row.seq for row in await store.pending("ahead", limit=100)] == [9, 10]
    assert len(await store.pending("behind", limit=100)) == 9
    assert all(books.holds for books in await store.outbox())


async def test_a_flipped_bit_in_the_log_loses_no_commit(opened, tmp_path):
    """SQLite silently forgets every commit behind a damaged frame of its log; the ledger puts them back."""
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    store = await opened()
    await store.register_sink("webhook")
    await store.commit([alert(0)], None)
    await store.maintain()
    for number in range(1, 101):
        await store.commit([alert(number)], None)
    for path in tmp_path.glob("ledger.db*"):  # what a kill would leave
        if path.is_file():
            (crashed / path.name).write_bytes(path.read_bytes())
    log = bytearray((crashed / "ledger.db-wal").read_bytes())
    frames = (len(log) - 32) // 4120
    log[32 + frames // 3 * 4120 + 24 + 2000] ^= 16
    (crashed / "ledger.db-wal").write_bytes(bytes(log))
    (crashed / "ledger.db-shm").unlink(missing_ok=True)
    recovered = await opened(state_dir=crashed)
    assert recovered.recoveries == ()
    rows = await recovered.pending("webhook", limit=1000)
    assert [row.alert.alert_id for row in rows] == [alert(number).alert_id for number in range(101)]
    assert [row.seq for row in rows] == list(range(1, 102))
    assert (await recovered.maintain()).recovered_from_log > 30
    assert (await recovered.outbox())[0].holds
    (row,) = await recovered.commit([alert(500)], None)
    assert row.seq == 102


async def test_an_interrupted_replacement_is_taken_up(opened, tmp_path):
    """A kill between the two renames of a replacement leaves the new ledger under its first name: the next start takes it."""
    await filled(opened)
    (tmp_path / "ledger.db").rename(tmp_path / "ledger.db.new")
    store = await opened()
    assert len(await store.recent_alerts(1000)) == 400
    await store.close()
    (tmp_path / "ledger.db.new").write_bytes(b"not finished")
    await opened()
    assert not (tmp_path / "ledger.db.new").exists()


async def test_an_emptied_file_is_begun_anew(opened, tmp_path):
    """A file of no bytes (a crash while it was made) is no database yet, so nothing was lost and nothing is set aside."""
    await filled(opened)
    (path,) = tmp_path.glob("telemetry-*.db")
    damage(path, "emptied", random.Random(1))
    store = await opened()
    assert store.recoveries == ()
    await store.append([flow_batch()])


@pytest.mark.parametrize("seed", range(25))
async def test_random_damage_never_stops_the_start(opened, tmp_path, seed):
    """Bit flips and truncations anywhere: the store opens, what it then gives is sound or counted as damaged."""
    await filled(opened)
    rng = random.Random(seed)
    (telemetry,) = tmp_path.glob("telemetry-*.db")
    damage(rng.choice([telemetry, tmp_path / "ledger.db"]), rng.choice(["flipped", "truncated", "torn", "page"]), rng)
    store = await opened()
    known = {alert(number).alert_id: alert(number) for number in range(400)}
    rows = await store.recent_alerts(1000)
    assert len(rows) >= 100
    for row in rows:
        assert row.alert == known[row.alert.alert_id]
    for _, batch in await store.read_after(None, limit=100):
        seed_of = (batch.start_ns - T0) // (5 * SECOND)
        assert batch.slices.tobytes() == flow_batch(batch.start_ns, seed=seed_of).slices.tobytes()
    await store.append([flow_batch()])
    await store.commit([alert(9999)], None)
    statistics = await store.maintain()
    assert statistics.appended_batches == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alert_revision SET alert_id = CAST(x'30ff31' AS TEXT) WHERE seq = 7",
        "UPDATE alert_revision SET sensor = 'other' WHERE seq = 7",
        "UPDATE alert_revision SET revision = 2 WHERE seq = 7",
        "UPDATE alert_revision SET committed_at_ns = committed_at_ns + 1 WHERE seq = 7",
        "UPDATE alert_revision SET body = substr(body, 2) WHERE seq = 7",
    ],
)
async def test_a_change_anywhere_in_a_row_is_noticed(opened, tmp_path, change):
    """Number, sensor, id, revision, time and body are under one CRC; text that is no UTF-8 fails the row, not the query."""
    await filled(opened)
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute(change)
    connection.close()
    store = await opened()
    assert len(await store.recent_alerts(1000)) == 399
    assert (await store.maintain()).damaged_alerts == 1


async def test_damage_met_while_reading_costs_only_what_it_hit(opened, tmp_path):
    """A damaged page in an older file: the batches around it are still read, the others are counted, once."""
    await filled(opened)
    (path,) = tmp_path.glob("telemetry-*.db")
    store = await opened()
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 3 * 4096] = b"\xa5" * (3 * 4096)
    path.write_bytes(bytes(data))
    found = await store.read_after(None, limit=100)
    assert 10 <= len(found) < 20
    lost = (await store.maintain()).damaged_batches
    assert lost == 20 - len(found)
    await store.read_after(None, limit=100)
    assert (await store.maintain()).damaged_batches == lost


async def test_a_file_that_breaks_while_it_is_written_is_replaced(opened, tmp_path, clock):
    """Damage under a running daemon: the append goes into a new file and the old one is set aside and reported."""
    store = await opened()
    await store.append([flow_batch(rows=5000)])
    await store.maintain()
    (path,) = tmp_path.glob("telemetry-*.db")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(0)
        file.write(b"\xff" * size)
    await store._records._writer.run(lambda connection: connection.execute("PRAGMA shrink_memory"))  # as memory pressure would
    for number in range(10):
        position = await store.append([flow_batch(seed=number)])
    assert position.generation == 2
    assert len(store.recoveries) == 1
    assert [at for at, _ in await store.read_after(None)][-1] == position

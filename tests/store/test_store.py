"""The facade: append, read back, commit, deliver, silence, maintain; open and close in every order."""

import sqlite3

import pytest
from store_samples import SECOND, T0, alert, device_record, flow_batch, host_record, one_of_each

from netmote.alerts.alert import AlertState, Silence
from netmote.records.entity import Entity, EntityKind
from netmote.store.config import StoreConfig
from netmote.store.store import Checkpoint, Position, Store


async def test_appended_batches_come_back_in_order(opened):
    """read_after gives what was appended, in commit order, and goes on from any position."""
    store = await opened()
    await store.append(one_of_each())
    last = await store.append([device_record(T0 + SECOND)])
    everything = await store.read_after(None)
    assert [type(batch).__name__ for _, batch in everything] == [
        "FlowBatch", "InterfaceBatch", "DeviceRecord", "HostRecord", "FactBatch", "DeviceRecord",
    ]  # fmt: skip
    assert everything[-1][0] == last
    assert [at for at, _ in await store.read_after(everything[3][0])] == [at for at, _ in everything[4:]]
    assert await store.read_after(last) == []
    assert len(await store.read_after(None, limit=2)) == 2


async def test_since_leaves_out_what_ended_before(opened):
    """since_ns is event time: batches that end at or before it are not read."""
    store = await opened()
    await store.append([device_record(T0), device_record(T0 + 10 * SECOND)])
    found = await store.read_after(None, since_ns=T0 + SECOND)
    assert [batch.start_ns for _, batch in found] == [T0 + 10 * SECOND]


async def test_positions_survive_a_restart(opened):
    """The same file goes on after a restart on the same day, and ids go on with it."""
    store = await opened()
    first = await store.append([device_record()])
    await store.close()
    store = await opened()
    second = await store.append([device_record()])
    assert second == Position(first.file_uuid, first.batch_id + 1)
    assert len(await store.read_after(first)) == 1


async def test_appending_nothing_names_the_tail(opened):
    """An empty append stores nothing and still answers."""
    store = await opened()
    assert (await store.append([])).batch_id == 0
    position = await store.append([device_record()])
    assert await store.append([]) == position


async def test_a_replayed_revision_keeps_its_number(opened, clock):
    """After a crash analysis commits the same revisions again: same number, same time, nothing doubled."""
    store = await opened()
    await store.register_sink("webhook", from_beginning=True)
    first = await store.commit([alert(1), alert(2)], None)
    clock.advance(5)
    again = await store.commit([alert(2), alert(3)], None)
    assert [each.seq for each in first] == [1, 2]
    assert [each.seq for each in again] == [2, 3]
    assert again[0] == first[1]
    assert again[1].committed_at_ns == clock.now_ns()
    assert [each.seq for each in await store.pending("webhook", limit=10)] == [1, 2, 3]


async def test_alerts_and_checkpoint_are_one_transaction(opened):
    """A commit that fails stores neither."""
    store = await opened()
    kept = Checkpoint(None, 1, b"one")
    await store.commit([alert(1)], kept)
    with pytest.raises(sqlite3.IntegrityError):  # a bug of the caller stays visible as what it is
        await store.commit([alert(2)], Checkpoint(None, None, b"two"))
    assert await store.checkpoint() == kept
    assert len(await store.recent_alerts(10)) == 1
    (row,) = await store.commit([alert(2)], None)
    assert row.seq == 2, "the number of the failed commit is not lost"


async def test_checkpoint_survives_a_restart(opened):
    """What was committed is what the next start finds."""
    store = await opened()
    assert await store.checkpoint() is None
    position = await store.append([device_record()])
    kept = Checkpoint(position, T0, b"\x00\xff" * 1000)
    await store.commit([], kept)
    await store.close()
    assert await (await opened()).checkpoint() == kept


async def test_active_and_recent_are_the_latest_revisions(opened):
    """An alert is shown once, as it stands now; resolved ones are not active."""
    store = await opened()
    await store.commit([alert(1), alert(2)], None)
    await store.commit([alert(1, 2), alert(2, 2, state=AlertState.RESOLVED), alert(3)], None)
    assert [each.event_id[-6:] for each in await store.active_alerts()] == [alert(1, 2).event_id[-6:], alert(3).event_id[-6:]]
    recent = await store.recent_alerts(10)
    assert [each.alert for each in recent] == [alert(3), alert(2, 2, state=AlertState.RESOLVED), alert(1, 2)]
    assert [each.seq for each in await store.recent_alerts(1)] == [5]
    found = await store.alert(alert(1).alert_id)
    assert found is not None
    assert found.alert == alert(1, 2)
    assert await store.alert(alert(1).alert_id[:-1]) is None


async def test_the_epoch_is_of_the_ledger(opened, tmp_path):
    """The epoch stays through restarts and differs between ledgers; it is in every committed row."""
    store = await opened()
    epoch = store.ledger_epoch
    (row,) = await store.commit([alert()], None)
    assert (row.sensor, row.ledger_epoch) == ("edge", epoch)
    await store.close()
    assert (await opened()).ledger_epoch == epoch
    assert (await opened(state_dir=tmp_path / "other")).ledger_epoch != epoch


async def test_silences(opened, clock):
    """A silence is stored, found after a restart, and ended."""
    store = await opened()
    silence = Silence(
        "s1", clock.now_ns(), clock.now_ns() + 60 * SECOND, "maintenance", None, Entity(EntityKind.HOST, "192.0.2.7")
    )
    await store.add_silence(silence)
    await store.close()
    store = await opened()
    assert await store.silences() == [silence]
    clock.advance(1)
    assert await store.expire_silence("s1")
    assert not await store.expire_silence("s1")
    assert not await store.expire_silence("unknown")
    assert not (await store.silences())[0].matches(alert(), clock.now_ns())


async def test_life_cycle(tmp_path, clock):
    """Closing is safe without open and twice; a closed store opens again; using a closed one is an error, not a hang."""
    store = Store(tmp_path, StoreConfig(), sensor="edge", clock=clock)
    await store.close()
    await store.open()
    await store.close()
    await store.close()
    with pytest.raises(RuntimeError, match="not open"):
        await store.commit([], None)
    await store.open()
    await store.append([host_record()])
    await store.close()
    await store.open()
    assert len(await store.read_after(None)) == 1, "opened again, each file is counted once"
    await store.close()
    assert not list(tmp_path.glob("*-wal")), "the last connection brings the log in"


async def test_constructing_does_no_io(tmp_path, clock):
    """The state directory appears with open, not before."""
    Store(tmp_path / "state", StoreConfig(), sensor="edge", clock=clock)
    assert not (tmp_path / "state").exists()


async def test_a_command_opens_the_ledger_alone(tmp_path, clock):
    """Silencing without a daemon leaves no telemetry file behind."""
    store = Store(tmp_path, StoreConfig(), sensor="edge", clock=clock)
    await store.open(with_telemetry=False)
    await store.add_silence(Silence("s", 0, 1, "r"))
    await store.close()
    assert not list(tmp_path.glob("telemetry-*"))


async def test_statistics_say_what_is_there(opened, clock):
    """Bytes, spans and the daily rate follow from what was appended."""
    store = await opened()
    await store.append([flow_batch(T0)])
    clock.advance(1200)
    await store.append([flow_batch(T0 + 1200 * SECOND)])
    statistics = await store.maintain()
    assert statistics.appended_batches == 2
    assert (statistics.oldest_ns, statistics.newest_ns) == (T0, T0 + 1205 * SECOND)
    assert statistics.bytes_per_day == pytest.approx(statistics.telemetry_bytes * 72)
    assert statistics.days_left is None, "the quota is reached long before this disk is full"
    assert statistics.ledger_bytes > 0
    assert statistics.is_telemetry_stored

"""What is removed and when: whole days by age and size, never by a step of the clock, never the newest."""

import pytest
from store_samples import SECOND, alert, device_record, flow_batch

from netmote.alerts.alert import AlertState
from netmote.scoring.finding import Severity
from netmote.store.store import Checkpoint
from netmote.telemetry.heartbeat import Withheld

DAY = 86400


def names(tmp_path):
    return sorted(path.name for path in tmp_path.glob("telemetry-*.db"))


async def record_days(store, clock, days):
    for _ in range(days):
        for _ in range(4):
            await store.append([device_record(clock.now_ns())])
            clock.advance(DAY / 4)


async def test_a_file_a_day_and_unlinked_by_age(opened, clock, tmp_path):
    """Each UTC day has its file; days older than telemetry_age go, whole."""
    store = await opened(telemetry_age=2.0 * DAY)
    await record_days(store, clock, 5)
    assert len(names(tmp_path)) == 6, "the first and the last day are parts"
    statistics = await store.maintain()
    assert statistics.unlinked_files == 6 - len(names(tmp_path)) == 3
    assert names(tmp_path)[0] == "telemetry-20231117.db"
    oldest = (await store.read_after(None))[0][1]
    assert clock.now_ns() - oldest.start_ns <= 3 * DAY * SECOND


@pytest.mark.parametrize("step", [400 * DAY, 20000 * DAY, -400 * DAY, -19000 * DAY, 3 * 3600, -3 * 3600])
async def test_a_clock_step_unlinks_nothing(opened, clock, tmp_path, step):
    """Steps of hours or years, forth and back, remove neither telemetry nor alerts, in this life or the next."""
    store = await opened(telemetry_age=2.0 * DAY, alert_age=float(DAY))
    await store.register_sink("webhook")
    await store.append([device_record(clock.now_ns())])
    (row,) = await store.commit([alert(1, state=AlertState.RESOLVED)], None)
    await store.acknowledge("webhook", [row.seq])
    for direction in (1, -1):
        clock.step(direction * step)
        await store.append([device_record(clock.now_ns())])
        await store.maintain()
        await store.close()
        store = await opened(telemetry_age=2.0 * DAY, alert_age=float(DAY))
        await store.append([device_record(clock.now_ns())])
        await store.maintain()
    assert len(await store.read_after(None)) == 5
    assert len(await store.recent_alerts(9)) == 1


async def test_order_of_commits_survives_a_clock_that_goes_back(opened, clock):
    """Batches come back in the order they were appended, not in the order of their files' days."""
    store, appended = await opened(), []
    for step in (0, 5 * DAY, -9 * DAY, 4 * DAY, 0):
        clock.step(step)
        appended.append(await store.append([device_record(clock.now_ns())]))
    assert [at for at, _ in await store.read_after(None)] == appended
    assert appended == sorted(appended, key=lambda each: each.order)
    await store.close()
    store = await opened()
    assert [at for at, _ in await store.read_after(appended[1])] == appended[2:]


async def test_unlinked_by_size_but_never_the_newest(opened, clock, tmp_path):
    """Over the quota the oldest files go; a single day is split, so that the quota holds within it too."""
    store = await opened(telemetry_size=10_000_000)
    for number in range(60):
        await store.append([flow_batch(clock.now_ns(), rows=20_000, seed=number)])
        await store.maintain()
        clock.advance(5)
    assert names(tmp_path)[0].startswith("telemetry-20231114-"), "one day, several files"
    total = sum(path.stat().st_size for path in tmp_path.glob("telemetry-*"))
    assert total < 10_000_000 + 2_500_000
    positions = [at for at, _ in await store.read_after(None, limit=100)]
    assert 5 < len(positions) < 60
    assert positions == sorted(positions, key=lambda each: each.order)


async def test_a_gone_file_leaves_a_gap(opened, clock):
    """A position whose file retention took goes on at the oldest batch after it, and the gap is written down once."""
    store = await opened(telemetry_age=float(DAY))
    first = await store.append([device_record(clock.now_ns())])
    await record_days(store, clock, 4)
    await store.maintain()
    found = await store.read_after(first)
    assert found[0][0].generation > first.generation
    await store.read_after(first)
    (gap,) = await store.gaps()
    assert (gap.position, gap.reason) == (first, "the file is gone")
    await store.close()
    assert await (await opened()).gaps() == [gap]


async def test_a_position_beyond_the_tail_leaves_a_gap_and_ids_are_not_reused(opened, tmp_path):
    """After a power cut the ledger may be ahead of the telemetry: a new file begins, for the lost ids were given already."""
    store = await opened()
    position = await store.append([device_record()])
    ahead = type(position)(position.file_uuid, position.batch_id + 5)
    await store.commit([], Checkpoint(ahead, 1, b""))
    await store.close()
    store = await opened()
    after = await store.append([device_record()])
    assert after.generation == position.generation + 1
    assert [at for at, _ in await store.read_after(ahead)] == [after]
    assert "ends at batch 1" in (await store.gaps())[0].reason


async def test_losing_all_telemetry_keeps_the_order(opened, tmp_path):
    """When every telemetry file is gone, new ones still come after the checkpoint's."""
    store = await opened()
    position = await store.append([device_record()])
    await store.commit([], Checkpoint(position, 1, b""))
    await store.close()
    for path in tmp_path.glob("telemetry-*"):
        path.unlink()
    store = await opened()
    after = await store.append([device_record()])
    assert after.order > position.order
    assert [at for at, _ in await store.read_after(position)] == [after]


async def test_alerts_expire_only_delivered_and_old(opened, clock):
    """A revision goes when it is older than alert_age and every sink is done with it; a firing alert's latest stays."""
    store = await opened(alert_age=float(DAY))
    await store.register_sink("fast")
    await store.register_sink("slow")
    await store.commit([alert(1), alert(1, 2, state=AlertState.RESOLVED), alert(2), alert(3, state=AlertState.RESOLVED)], None)
    await store.acknowledge("fast", [1, 2, 3, 4])
    await store.acknowledge("slow", [1, 2, 3])
    clock.advance(DAY - 60)
    assert (await store.maintain()).expired_alerts == 0
    clock.advance(120)
    assert (await store.maintain()).expired_alerts == 2
    assert [row.seq for row in await store.recent_alerts(9)] == [4, 3]
    assert [row.seq for row in await store.pending("slow", limit=9)] == [4]


async def test_age_counts_time_the_agent_ran(opened, clock):
    """Time in which the agent was off ages nothing; running time goes on where it stood."""
    store = await opened(alert_age=float(DAY))
    await store.commit([alert(1, state=AlertState.RESOLVED)], None)
    clock.advance(DAY / 2)
    await store.close()
    clock.advance(30 * DAY)
    store = await opened(alert_age=float(DAY))
    assert (await store.maintain()).expired_alerts == 0
    clock.advance(DAY / 2 + 60)
    assert (await store.maintain()).expired_alerts == 1


async def test_what_a_sink_did_not_take_in_time_is_given_up_for_it(opened, clock):
    """By queued_age: counted and announced as expired for the sink that lacked it; the row stays, and can still be sent again."""
    store = await opened(queued_age=3600.0)
    await store.register_sink("fast")
    await store.register_sink("slow")
    await store.commit([alert(1, severity=Severity.NOTICE), alert(2, severity=Severity.CRITICAL), alert(3)], None)
    await store.acknowledge("fast", [1, 2, 3])
    await store.acknowledge("slow", [2])
    clock.advance(3000)
    await store.commit([alert(4, severity=Severity.NOTICE)], None)
    assert (await store.maintain()).expired_queued == 0
    clock.step(400 * DAY)
    assert (await store.maintain()).expired_queued == 0, "a step of the clock is no age"
    clock.advance(601)
    assert (await store.maintain()).expired_queued == 2
    assert [row.seq for row in await store.pending("slow", limit=9)] == [4]
    (fast, slow) = await store.outbox()
    assert (fast.expired, fast.queued, fast.holds) == (0, 1, True)
    assert (slow.expired, slow.delivered, slow.queued, slow.holds) == (2, 1, 1, True)
    assert (await store.books("slow")).withheld == (Withheld(1, 1, "expired"), Withheld(3, 3, "expired"))
    assert len(await store.recent_alerts(9)) == 4
    assert await store.resend("slow", first=1, last=3) == 3


async def test_without_queued_age_alerts_wait_for_ever(opened, clock):
    """The default: however long a sink is away, its alerts wait."""
    store = await opened()
    await store.register_sink("slow")
    await store.commit([alert(1, state=AlertState.RESOLVED)], None)
    clock.advance(400 * DAY)
    statistics = await store.maintain()
    assert (statistics.expired_queued, statistics.expired_alerts) == (0, 0)
    assert len(await store.pending("slow", limit=9)) == 1

"""A really full disk: telemetry is refused and counted, alerts still commit, and all is well when room comes back."""

import os
import subprocess

import pytest
from store_samples import alert, flow_batch

from netmote.store.store import Checkpoint, StoreFull

pytestmark = pytest.mark.root

MEGABYTE = 10**6


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request, tmp_path):
    """A filesystem of 40 MB of its own."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if request.param == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(mount)]
    else:
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(40 * MEGABYTE)
        subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", str(image)], check=True)
        command = ["mount", "-o", "loop", str(image), str(mount)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode:
        pytest.skip(f"cannot mount a {request.param} here: {outcome.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(mount, *, leave=0):
    """Take all the room but `leave` bytes."""
    status = os.statvfs(mount)
    size = max(0, status.f_bavail * status.f_frsize - leave)
    for chunk in (65536, 512) if not leave else (65536,):  # the last bytes too
        with (mount / "filler").open("ab", buffering=0) as file:
            try:
                while size > 0 or not leave:
                    size -= file.write(b"\0" * chunk)
            except OSError:
                continue


async def test_below_the_floor_telemetry_is_refused(opened, small_disk):
    """With less free than the floor, append raises StoreFull and stores nothing; alerts commit; room back, all goes on."""
    store = await opened(state_dir=small_disk, free_space_floor=10 * MEGABYTE, ledger_size=20 * MEGABYTE)
    first = await store.append([flow_batch()])
    fill(small_disk, leave=5 * MEGABYTE)
    with pytest.raises(StoreFull, match="below the floor"):
        await store.append([flow_batch(), flow_batch()])
    assert len(await store.commit([alert(1)], Checkpoint(first, 1, b"x"))) == 1
    statistics = await store.maintain()
    assert (statistics.refused_batches, statistics.is_telemetry_stored) == (2, False)
    (small_disk / "filler").unlink()
    assert (await store.append([flow_batch()])).batch_id == first.batch_id + 1


async def test_alerts_commit_on_a_full_disk(opened, small_disk):
    """Not one byte free: telemetry is refused, a thousand alerts still commit out of the reserve, and survive a restart."""
    settings = {"state_dir": small_disk, "free_space_floor": 0, "ledger_size": 64 * MEGABYTE}
    store = await opened(**settings)
    await store.register_sink("webhook")
    await store.append([flow_batch()])
    fill(small_disk)
    with pytest.raises(StoreFull):
        await store.append([flow_batch(rows=20_000, seed=seed) for seed in range(50)])
    for number in range(0, 1000, 50):
        await store.commit([alert(number + each) for each in range(50)], Checkpoint(None, number, b"state"))
        if number == 500:
            fill(small_disk, leave=2 * MEGABYTE)  # what the reserve gave back is taken as well, nearly
    await store.maintain()
    await store.close()
    os.truncate(
        small_disk / "filler", (small_disk / "filler").stat().st_size - MEGABYTE
    )  # a start needs a little: the log's index
    store = await opened(**settings)
    assert store.recoveries == ()
    assert len(await store.recent_alerts(2000)) == 1000
    assert [row.seq for row in await store.pending("webhook", limit=2000)] == list(range(1, 1001))
    (small_disk / "filler").unlink()
    await store.append([flow_batch(rows=20_000)])
    statistics = await store.maintain()
    assert statistics.is_reserve_held, "laid by again when there is room"


async def test_sinks_are_heard_on_a_full_disk(opened, small_disk):
    """What a sink accepts or refuses with no byte free is noted, else it would be sent again for ever."""
    store = await opened(state_dir=small_disk, free_space_floor=0, ledger_size=64 * MEGABYTE)
    await store.register_sink("webhook")
    await store.commit([alert(number) for number in range(1, 201)], None)
    await store.maintain()
    fill(small_disk)
    for number in range(1, 200, 2):
        await store.quarantine("webhook", number, "refused: " + "x" * 2000)
        await store.acknowledge("webhook", [number + 1])
    assert await store.pending("webhook", limit=9) == []
    (books,) = await store.outbox()
    assert (books.delivered, books.quarantined, books.holds) == (100, 100, True)


async def test_starting_on_a_full_disk(opened, small_disk):
    """A start with no byte free succeeds when a ledger exists: the reserve makes the room."""
    settings = {"state_dir": small_disk, "free_space_floor": 0, "ledger_size": 64 * MEGABYTE}
    store = await opened(**settings)
    await store.commit([alert(1)], None)
    await store.close()
    fill(small_disk)
    store = await opened(**settings)
    await store.commit([alert(2)], None)
    assert len(await store.recent_alerts(9)) == 2


async def test_old_telemetry_is_shed_for_alerts(opened, small_disk, clock):
    """When the reserve is spent, the oldest telemetry goes before an alert is refused; the newest file stays."""
    store = await opened(state_dir=small_disk, free_space_floor=0, ledger_size=64 * MEGABYTE)
    for day in range(3):
        await store.append([flow_batch(clock.now_ns(), rows=20_000, seed=day * 10 + part) for part in range(8)])
        clock.advance(86400)
    await store.maintain()
    (small_disk / "ledger.reserve").unlink()
    fill(small_disk)
    for number in range(0, 3000, 100):
        await store.commit([alert(number + each) for each in range(100)], None)
    assert (await store.maintain()).unlinked_files >= 1
    assert await store.read_after(None), "the newest file is never shed"
    assert len(await store.recent_alerts(5000)) == 3000


async def test_a_full_disk_that_gives_no_room_is_retryable(opened, small_disk):
    """With nothing left to give up, a commit says StoreFull, changes nothing, and works once there is room."""
    store = await opened(state_dir=small_disk, free_space_floor=0, ledger_size=64 * MEGABYTE)
    await store.commit([alert(1)], None)
    (small_disk / "ledger.reserve").unlink(missing_ok=True)
    fill(small_disk)

    async def commit_for_ever():
        for number in range(2, 100_000, 100):
            await store.commit([alert(number + each) for each in range(100)], None)

    with pytest.raises(StoreFull):
        await commit_for_ever()
    stored = len(await store.recent_alerts(100_000))
    assert stored % 100 == 1
    (small_disk / "filler").unlink()
    rows = await store.commit([alert(200_000)], None)
    assert rows[0].seq == stored + 1


async def test_the_ledgers_quota_makes_room_by_stated_policy(opened, tmp_path):
    """At the quota finished alerts go first, then the least severe; each is counted as expired for the sinks that lacked it."""
    from netmote.alerts.alert import AlertState
    from netmote.scoring.finding import Severity

    store = await opened(ledger_size=10 * MEGABYTE)
    await store.register_sink("webhook")
    number = 0
    for _ in range(140):
        rows = [
            alert(number + each, state=AlertState.RESOLVED, severity=Severity.CRITICAL if each % 10 == 0 else Severity.NOTICE)
            for each in range(100)
        ]
        number += 100
        await store.commit(rows, None)
    statistics = await store.maintain()
    assert statistics.expired_for_room > 0
    (books,) = await store.outbox()
    assert books.holds
    assert books.created == 14_000
    assert books.expired == statistics.expired_for_room
    severities = [row.alert.severity for row in await store.pending("webhook", limit=20_000)]
    assert severities.count(Severity.CRITICAL) == 1400, "no critical one was removed while less severe ones were there"
    assert (tmp_path / "ledger.db").stat().st_size <= 10 * MEGABYTE

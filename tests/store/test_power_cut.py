"""The power goes: of what a commit had returned nothing is lost, telemetry loses its last minutes, and all of it starts again."""

import random
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from failing_disk import FailingDisk
from store_samples import alert, flow_batch

from netmote.errors import Retryable
from netmote.store.store import Checkpoint

pytestmark = pytest.mark.root

FAKES = str(Path(__file__).resolve().parents[1] / "fakes")
ROUNDS = 4

# Commits for ever; says each number on standard output after its commit has returned.
CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_samples import T0, alert, flow_batch
from netmote.clock import SystemClock
from netmote.store.config import StoreConfig
from netmote.store.store import Checkpoint, Store

async def main():
    store = Store(Path(sys.argv[1]), StoreConfig(free_space_floor=0, ledger_size="10MB"), sensor="edge", clock=SystemClock())
    await store.open()
    assert store.recoveries == (), store.recoveries
    assert store.epoch_renewal == "", store.epoch_renewal
    await store.register_sink("webhook", from_beginning=True)
    checkpoint = await store.checkpoint()
    number = 0 if checkpoint is None else checkpoint.event_time_ns
    while True:
        position = await store.append([flow_batch(rows=50, seed=number % 7)])
        rows = await store.commit([alert(number * 2 + each) for each in range(2)], Checkpoint(position, number + 1, b"state"))
        print(*(f"{row.seq}={row.alert.event_id}" for row in rows), flush=True)
        number += 1

asyncio.run(main())
"""


@pytest.fixture
def disk(tmp_path):
    try:
        disk = FailingDisk(tmp_path)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no ext4 can be mounted here: {error.stderr.decode().strip()}")
    yield disk
    disk.unmount()


def run_until_the_power_goes(disk, announced, seconds):
    """Let the child commit for so long, cut the power under it, and add what it had announced before."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(disk.path), FAKES], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert select.select([child.stdout], [], [], 20)[0]
        time.sleep(seconds)
        disk.cut_power()
        child.kill()
        for line in child.stdout.read().decode().split("\n")[:-1]:
            for said in line.split():
                seq, event_id = said.split("=")
                assert announced.setdefault(event_id, int(seq)) == int(seq), "an event keeps its number for ever"
    disk.unmount()
    disk.mount()


async def test_power_cuts_lose_no_alert(opened, disk):
    """Each time: everything announced is there once, under its number; no damage, no new epoch, and the books balance."""
    rng, announced = random.Random(3), {}
    for _ in range(ROUNDS):
        run_until_the_power_goes(disk, announced, rng.uniform(0.05, 0.4))
    store = await opened(state_dir=disk.path, ledger_size="10MB")
    assert store.recoveries == ()
    stored = {row.alert.event_id: row.seq for row in await store.pending("webhook", limit=1_000_000)}
    assert len(announced) > 20 * ROUNDS
    assert announced.items() <= stored.items()
    assert sorted(stored.values()) == list(range(1, len(stored) + 1))
    (books,) = await store.outbox()
    assert books.holds
    checkpoint = await store.checkpoint()
    assert checkpoint.event_time_ns * 2 == len(stored), "the checkpoint stands with exactly the alerts it covers"
    # Telemetry is not synced with each append: what is lost is noted, and a lost id is not given again.
    after = await store.append([flow_batch()])
    assert after.order > checkpoint.position.order
    await store.close()


async def test_a_disk_that_fails_under_the_store(opened, disk):
    """Every write fails from one moment on: each call says so and may be repeated; after a new mount nothing acknowledged is lost."""
    store = await opened(state_dir=disk.path, ledger_size="10MB")
    await store.register_sink("webhook")
    position = await store.append([flow_batch()])
    await store.commit([alert(1)], Checkpoint(position, 1, b""))
    disk.cut_power()
    for _ in range(2):
        with pytest.raises(Retryable):
            await store.commit([alert(2)], None)
        with pytest.raises(Retryable):
            await store.append([flow_batch(rows=5000)])
    with pytest.raises(Retryable):
        await store.maintain()
    with pytest.raises(Retryable):
        await store.close()
    disk.unmount()
    disk.mount()
    store = await opened(state_dir=disk.path, ledger_size="10MB")
    assert [row.seq for row in await store.pending("webhook", limit=9)] == [1]
    await store.commit([alert(2)], None)
    await store.close()


async def test_a_read_only_disk(opened, disk):
    """A start on a read-only disk says so and may be repeated; it leaves nothing behind."""
    store = await opened(state_dir=disk.path, ledger_size="10MB")
    await store.commit([alert(1)], None)
    await store.close()
    disk.unmount()
    disk.mount("ro")
    for _ in range(2):
        with pytest.raises(Retryable, match=r"(?i)read-only"):
            await opened(state_dir=disk.path, ledger_size="10MB")
    disk.unmount()
    disk.mount()
    store = await opened(state_dir=disk.path, ledger_size="10MB")
    assert len(await store.recent_alerts(9)) == 1
    await store.close()

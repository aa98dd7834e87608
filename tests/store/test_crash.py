"""kill -9 in the middle of commits: no alert whose commit returned is lost, none is doubled, the checkpoint agrees."""

import random
import subprocess
import sys
import time
from pathlib import Path

CHILD = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_samples import T0, alert, device_record, flow_batch
from netmote.clock import SystemClock
from netmote.store.config import StoreConfig
from netmote.store.store import Checkpoint, Store

async def main():
    state_dir, announced = Path(sys.argv[1]), os.open(sys.argv[1] + "/announced", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    store = Store(state_dir, StoreConfig(free_space_floor=0), sensor="edge", clock=SystemClock())
    await store.open()
    assert store.recoveries == (), store.recoveries
    assert store.epoch_renewal == "", store.epoch_renewal
    await store.register_sink("webhook", from_beginning=True)
    checkpoint = await store.checkpoint()
    # Analysis goes on from its checkpoint; what it made after that is made again, with the same ids.
    number = 0 if checkpoint is None else checkpoint.event_time_ns
    print("ready", flush=True)
    while True:
        position = await store.append([device_record(T0 + number), flow_batch(rows=50, seed=number % 7)])
        rows = await store.commit([alert(number * 3 + each) for each in range(3)], Checkpoint(position, number + 1, str(number).encode()))
        os.write(announced, "".join(f"{row.seq} {row.alert.event_id}\\n" for row in rows).encode())
        number += 1

asyncio.run(main())
"""


FAKES = str(Path(__file__).resolve().parents[1] / "fakes")


def run_and_kill(state_dir, seconds):
    """Let the child commit for so long, then kill -9 it."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(state_dir), FAKES], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        child.kill()


async def test_twenty_kills_lose_and_double_nothing(opened, tmp_path):
    """After each of 20 kills at random moments the ledger holds everything announced, once, numbered without gaps."""
    rng = random.Random(20)
    for _ in range(20):
        run_and_kill(tmp_path, rng.uniform(0.0, 0.15))
    # A line may be torn by the kill: only whole ones were announced.
    lines = (tmp_path / "announced").read_text().split("\n")[:-1]
    announced = {}
    for line in lines:
        seq, event_id = line.split()
        assert announced.setdefault(event_id, int(seq)) == int(seq), "an event keeps its number for ever"
    store = await opened()
    stored = {row.alert.event_id: row.seq for row in await store.pending("webhook", limit=1_000_000)}
    assert len(announced) > 100
    assert announced.items() <= stored.items()
    assert sorted(stored.values()) == list(range(1, len(stored) + 1)), "no number lost, none given twice"
    assert len(stored) - len(announced) <= 20 * 3, "beyond the announced, at most the commit under way at each kill"
    checkpoint = await store.checkpoint()
    assert checkpoint is not None
    assert checkpoint.event_time_ns * 3 == len(stored), "the checkpoint stands with exactly the alerts it covers"
    (books,) = await store.outbox()
    assert books.holds
    assert books.created == len(stored)
    # A kill loses no appended batch either (only a power cut may, up to the last sync).
    batches = await store.read_after(None, limit=1_000_000)
    assert batches[-1][0].order >= checkpoint.position.order
    assert await store.gaps() == []

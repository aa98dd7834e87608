"""Two hundred random corruptions of ledger, telemetry and their logs: it always starts, and keeps every row outside the damage.

What lies outside the damage is worked out beforehand, without SQLite: the images of damaged pages (and damaged frames of a log)
are blanked, and whatever can still be read of the rest must be kept.
"""

import asyncio
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from manual_clock import ManualClock
from store_samples import SECOND, T0, alert, flow_batch, host_record, interface_batch

from netmote.store import salvage
from netmote.store.config import StoreConfig
from netmote.store.page_scan import Pages, committed_frames
from netmote.store.store import Checkpoint, Store
from netmote.store.telemetry_salvage import _scan as scan_telemetry

ROUNDS, PARTS = 200, 4
ALERTS, BATCHES = 160, 32
PAGE, FRAME = 4096, 4096 + 24
SLOWEST_START_SECONDS = 5.0
CONFIG = StoreConfig.model_validate({"free_space_floor": 0, "ledger_size": "10MB"})


def batch(number):
    start = T0 + number * 5 * SECOND
    return (flow_batch(start, seed=number, rows=60), interface_batch(start), host_record(start), flow_batch(start, rows=3))[
        number % 4
    ]


async def fill(state_dir, copy):
    """A state directory closed in good order, and a copy of it as a crash would have left it, with logs."""
    store = Store(state_dir, CONFIG, sensor="edge", clock=ManualClock())
    await store.open()
    await store.register_sink("webhook")
    for number in range(BATCHES):
        position = await store.append([batch(number)])
        rows = [alert(number * 5 + each + 1) for each in range(ALERTS // BATCHES)]
        await store.commit(rows, Checkpoint(position, number, b"state" * 20))
        if number == BATCHES // 2:
            await store.maintain()  # half in the files, half in the logs
    shutil.copytree(state_dir, copy)
    await store.close()


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    root = tmp_path_factory.mktemp("pristine")
    (root / "closed").mkdir()
    asyncio.run(fill(root / "closed", root / "crashed"))
    for needless in (*root.glob("*/*-shm"), *root.glob("*/ledger.reserve")):
        needless.unlink()
    return root


@dataclass
class Damage:
    """What was done to a file, and what of it is still whole."""

    said: str
    octets: bytes  # damaged
    whole: bytes  # the damaged pages or frames blanked
    pages: set[int]  # from 0; of a log: frames


def damaged(octets, rng, *, is_log):
    head, size = (32, FRAME) if is_log else (0, PAGE)
    result, whole, pages = bytearray(octets), bytearray(octets), set()
    if rng.random() < 0.5:
        flips = rng.choice([1, 1, 2, 8])
        for _ in range(flips):
            at = rng.randrange(len(octets))
            result[at] ^= 1 << rng.randrange(8)
            if at >= head:
                page = (at - head) // size
                pages.add(page)
                whole[head + page * size : head + (page + 1) * size] = bytes(size)
        return Damage(f"{flips} bits flipped", bytes(result), bytes(whole), pages)
    cut = rng.randrange(1, len(octets))
    del result[cut:]
    last = max(0, cut - head) // size  # the page that was cut in the middle
    pages.update(range(last, -(-len(octets) // size)))
    return Damage(f"cut to {cut} of {len(octets)} bytes", bytes(result), bytes(whole[: head + last * size]), pages)


def frames_of(log):
    return committed_frames(log, PAGE) if len(log) > 32 else []


def expected_alerts(file, log):
    rows = salvage._scan(Pages(file, frames_of(log), PAGE)).rows
    return {alert_id for alert_id, _ in rows}


def expected_batches(file, log):
    """Ids of columnar batches whose row, names and layout are whole; of the others those whose row is."""
    saved = scan_telemetry(Pages(file, frames_of(log), PAGE))
    tables = {name: saved.tables.get(name, {}) for name in ("batch", "text", "layout", "entity", "gauge")}
    kept = set()
    for batch_id, row in tables["batch"].items():
        _, kind, source_id, *_, entity_id, _, layout_id, _, body = row
        names = source_id in tables["text"] and (entity_id is None or entity_id in tables["entity"])
        if kind == "interface":
            names = names and len(tables["entity"]) == 5 and len(tables["text"]) == len(PRISTINE_TEXTS)
        if kind == "host":
            names = names and len(tables["text"]) == len(PRISTINE_TEXTS)
            names = names and sum(key[0] == batch_id for key in tables["gauge"]) == 13
        if names and (body is None or layout_id in tables["layout"]):
            kept.add(batch_id)
    return kept


PRISTINE_TEXTS: set[str] = set()


@pytest.mark.parametrize("part", range(PARTS))
async def test_random_damage_keeps_every_row_outside_it(states, tmp_path, part):
    """Each start succeeds within seconds; what is kept is right, bit for bit; and the store goes on working, with books that balance."""
    slowest, kept_alerts, kept_batches = 0.0, 0, 0
    known_alerts = {alert(number).alert_id: alert(number) for number in range(1, ALERTS + 1)}
    for round_ in range(part, ROUNDS, PARTS):
        rng = random.Random(round_)
        kind = rng.choice(["closed", "crashed", "crashed"])
        state_dir = tmp_path / str(round_)
        shutil.copytree(states / kind, state_dir)
        (telemetry,) = state_dir.glob("telemetry-*.db")
        is_log = kind == "crashed" and rng.random() < 0.6
        target = rng.choice([state_dir / "ledger.db", telemetry])
        said, alerts, batches = harm(target, telemetry, is_log=is_log, rng=rng)

        store = Store(state_dir, CONFIG, sensor="edge", clock=ManualClock())
        began = time.perf_counter()
        await store.open()
        slowest = max(slowest, time.perf_counter() - began)
        try:
            where = f"round {round_}: {kind} {target.name}{'-wal' if is_log else ''}, {said}; {store.recoveries}"
            rows = {row.alert.alert_id: row.alert for row in await store.recent_alerts(10_000)}
            assert alerts <= rows.keys(), where
            for alert_id, found in rows.items():
                assert found == known_alerts[alert_id], where
            await store.register_sink("webhook")
            waiting = {row.alert.alert_id for row in await store.pending("webhook", limit=10_000)}
            assert alerts <= waiting, f"kept, and still delivered; {where}"
            read = dict(await store.read_after(None, limit=1000))
            ids = {position.batch_id for position in read}
            assert batches <= ids, f"{sorted(batches - ids)} are lost; {where}"
            for position, found in read.items():
                same = batch(position.batch_id - 1)
                assert (found.start_ns, found.end_ns) == (same.start_ns, same.end_ns), where
                assert position.batch_id not in batches or found.source == same.source, where
                if hasattr(found, "slices"):
                    assert found.slices.tobytes() == same.slices.tobytes(), where
            await store.append([flow_batch()])
            await store.commit([alert(9999)], None)
            assert (await store.outbox())[0].holds, where
            kept_alerts, kept_batches = kept_alerts + len(rows), kept_batches + len(ids)
        finally:
            await store.close()
        shutil.rmtree(state_dir)
    rounds = ROUNDS // PARTS
    print(
        f"{rounds} corruptions: slowest start {slowest * 1e3:.0f} ms, kept {kept_alerts / rounds:.0f} of {ALERTS} alerts", end=" "
    )
    print(f"and {kept_batches / rounds:.1f} of {BATCHES} batches on average")
    assert slowest < SLOWEST_START_SECONDS


def harm(target: Path, telemetry: Path, *, is_log: bool, rng: random.Random) -> tuple[str, set[str], set[int]]:
    """Damage the file or its log; returns what was done, and the alerts and batches that must be kept."""
    ledger = target.with_name("ledger.db")
    whole = {}
    for path in (ledger, telemetry):
        log = path.with_name(path.name + "-wal")
        whole[path] = [path.read_bytes(), log.read_bytes() if log.exists() else b""]
    if not PRISTINE_TEXTS:
        scanned = scan_telemetry(Pages(whole[telemetry][0], frames_of(whole[telemetry][1]), PAGE))
        PRISTINE_TEXTS.update(row[1] for row in scanned.tables["text"].values())
    victim = target.with_name(target.name + "-wal") if is_log else target
    damage = damaged(victim.read_bytes(), rng, is_log=is_log)
    victim.write_bytes(damage.octets)
    whole[target][1 if is_log else 0] = damage.whole
    return damage.said, expected_alerts(*whole[ledger]), expected_batches(*whole[telemetry])

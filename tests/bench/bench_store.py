"""The store: what an append costs beside raw sqlite3, how many alerts a second are durable, how a backlog drains.

    python tests/bench/bench_store.py [--slices N] [--alerts N]

Appends are measured in turn with `executemany` of the same columns in one thread, in batches of the same size and with the same
pragmas. Syncs of 5 and 20 ms (a small SSD, a memory card) are made with a library that delays fsync(2). The backlog is drained by
the daemon's delivery task into a sink that accepts everything at once, so it is the ledger's own limit that shows.
"""

import argparse
import asyncio
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakes"))
sys.path.insert(0, str(Path(__file__).parent))
from report import Row, machine, print_table, say
from store_samples import T0, alert, flow_batch

from netmote.alerts.alert import Committed
from netmote.clock import SystemClock
from netmote.daemon.deliver import Deliver
from netmote.records.flow import FLOW_DTYPE, PANE_NS, FlowBatch
from netmote.scoring.finding import Severity
from netmote.store.config import StoreConfig
from netmote.store.store import Store
from netmote.telemetry.health import Health
from netmote.telemetry.heartbeat import Heartbeat
from netmote.telemetry.metrics import Metrics

ROWS_A_PANE = 5_000
ROUNDS = 3
SYNCS_MS = (0, 5, 20)
ROOMY = {"free_space_floor": 0, "ledger_size": "1GB"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=100_000)
    parser.add_argument("--alerts", type=int, default=100_000, help="Length of the backlog.")
    parser.add_argument("--part", choices=("commits", "drain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part = commits() if options.part == "commits" else drain(options.alerts)
        print(json.dumps(asyncio.run(part)))
        return 0
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = appends(Path(folder), options.slices)
        library = Path(folder) / "slow_sync.so"
        source = str(Path(__file__).with_name("slow_sync.c"))
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", source, "-o", str(library), "-ldl"], check=True)
        for milliseconds in SYNCS_MS:
            say(f"commits with syncs of {milliseconds} ms more")
            slow = {"LD_PRELOAD": str(library), "SLOW_SYNC_US": str(milliseconds * 1000)} if milliseconds else {}
            for name, figure in in_a_process("commits", options.alerts, slow).items():
                rows.append(
                    Row(
                        f"alerts committed a second, {name}, sync {f'+{milliseconds} ms' if milliseconds else 'as it is'}", figure
                    )
                )
        say(f"a backlog of {options.alerts:,} alerts")
        drained = in_a_process("drain", options.alerts, {})
    rows += [
        Row("alerts drained a second, batches of 100", drained["rate"]),
        Row("memory that the drain takes", drained["memory_mb"], "MB", at_most=30, beside=f"peak {drained['peak_mb']:.0f} MB"),
        Row("a critical alert behind the backlog is offered after", drained["overtaken_ms"], "ms", at_most=1000),
    ]
    print_table(rows)
    return sum(row.is_met is False for row in rows)


def in_a_process(part: str, alerts: int, environment: dict[str, str]) -> dict[str, float]:
    """A figure of memory or of delayed syncs needs a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--alerts", str(alerts)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment})
    return dict(json.loads(answer.stdout))


def appends(folder: Path, slices: int) -> list[Row]:
    """Round by round in turn, the medians."""
    panes = max(1, slices // ROWS_A_PANE)
    batches = [flow_batch(T0 + number * PANE_NS, rows=ROWS_A_PANE, seed=number) for number in range(panes)]
    total = sum(len(batch.slices) for batch in batches)
    ours, raw = [], []
    for number in range(ROUNDS):
        say(f"appends, round {number + 1}")
        state_dir = folder / f"ours{number}"
        took = asyncio.run(append(state_dir, batches))
        ours.append((*took, sum(path.stat().st_size for path in state_dir.glob("telemetry-*"))))
        raw.append(executemany(folder / f"raw{number}.db", batches))
    seconds, cpu, size = (statistics.median(values) for values in zip(*ours, strict=True))
    raw_seconds, raw_cpu, raw_size = (statistics.median(values) for values in zip(*raw, strict=True))
    return [
        Row("slices appended a second", total / seconds, beside=f"executemany {total / raw_seconds:,.0f}"),
        Row("... against executemany", raw_seconds / seconds, "times", at_least=0.8),
        Row("processor time a slice", cpu / total * 1e6, "us", beside=f"executemany {raw_cpu / total * 1e6:.2f}"),
        Row("... against executemany", raw_cpu / cpu, "times", at_least=0.8),
        Row("bytes of a million slices", size / total, "MB", beside=f"executemany {raw_size / total:.0f}"),
    ]


async def append(folder: Path, batches: Sequence[FlowBatch]) -> tuple[float, float]:
    """Seconds and processor seconds (all threads)."""
    store = Store(folder, StoreConfig.model_validate(ROOMY), sensor="bench", clock=SystemClock())
    await store.open()
    began, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        await store.append([batch])
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    await store.close()
    return seconds, cpu


def executemany(path: Path, batches: Sequence[FlowBatch]) -> tuple[float, float, float]:
    """The same of one thread of sqlite3, a row a slice."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    names = list(FLOW_DTYPE.names or ())
    types = ", ".join(f"{name} {'BLOB' if FLOW_DTYPE[name].kind == 'V' else 'INTEGER'}" for name in names)
    connection.execute(f"CREATE TABLE flow({types}) STRICT")
    insert = f"INSERT INTO flow VALUES({', '.join('?' * len(names))})"
    began, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        columns = [
            [value.tobytes() for value in batch.slices[name]] if FLOW_DTYPE[name].kind == "V" else batch.slices[name].tolist()
            for name in names
        ]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, zip(*columns, strict=True))
        connection.execute("COMMIT")
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    connection.close()
    return seconds, cpu, path.stat().st_size


async def commits() -> dict[str, float]:
    """Alerts a second, one and a hundred at a time, and one each by many callers, whose changes share transactions."""
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), StoreConfig.model_validate(ROOMY), sensor="bench", clock=SystemClock())
        await store.open()
        for at_once, rounds in ((1, 100), (100, 30)):
            began, offset = time.perf_counter(), at_once * 1_000_000
            for number in range(rounds):
                await store.commit([alert(offset + number * at_once + each) for each in range(at_once)], None)
            rates[f"{at_once} at a time"] = rounds * at_once / (time.perf_counter() - began)
        began = time.perf_counter()
        for number in range(20):
            await asyncio.gather(*(store.commit([alert(9_000_000 + number * 20 + each)], None) for each in range(20)))
        rates["1 at a time by 20 callers"] = 400 / (time.perf_counter() - began)
        await store.close()
    return rates


class Accepting:
    """A sink that takes everything at once and counts."""

    name = "bench"

    def __init__(self, all_of: int) -> None:
        self.first: Committed | None = None
        self.count, self._all_of, self.finished = 0, all_of, asyncio.Event()

    async def open(self) -> None: ...

    async def deliver(self, batch: Sequence[Committed]) -> None:
        self.first = self.first or batch[0]
        self.count += len(batch)
        if self.count >= self._all_of:
            self.finished.set()

    async def beat(self, heartbeat: Heartbeat) -> None: ...

    async def close(self) -> None: ...


async def drain(alerts: int) -> dict[str, float]:
    """Rate and memory of draining so many infos, and how soon a critical alert behind them is offered."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), StoreConfig.model_validate(ROOMY), sensor="bench", clock=SystemClock())
        await store.open()
        await store.register_sink(Accepting.name)
        for first in range(0, alerts, 500):
            await store.commit([alert(first + each, severity=Severity.INFORMATIONAL) for each in range(500)], None)
        await store.commit([alert(alerts + 1, severity=Severity.CRITICAL)], None)
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sink, clock = Accepting(alerts + 1), SystemClock()
        began = time.perf_counter()
        (overtaken,) = await store.pending(sink.name, limit=1)
        overtaken_ms = (time.perf_counter() - began) * 1e3
        assert overtaken.alert.severity is Severity.CRITICAL
        deliver = Deliver(sink, store, batch_limit=100, clock=clock, random=Random(1), health=Health(clock), metrics=Metrics())
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(deliver.run())
            await sink.finished.wait()
            seconds = time.perf_counter() - began
            task.cancel()
        assert sink.first == overtaken
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
        await store.close()
    peak_mb = (before_kb + grown_kb) / 1e3
    return {"rate": (alerts + 1) / seconds, "memory_mb": grown_kb / 1e3, "peak_mb": peak_mb, "overtaken_ms": overtaken_ms}


if __name__ == "__main__":
    raise SystemExit(main())

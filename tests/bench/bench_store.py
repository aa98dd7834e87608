"""How fast the store takes flow slices and alerts, beside raw sqlite3 in the same run.

    python tests/bench/store.py [slices]

Rows per second and CPU per row against `executemany` of the same columns in one thread, in batches of the same size and
with the same pragmas; bytes per million slices of both; reading back; alerts per second committed one by one and by 100.
"""

import asyncio
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakes"))
from store_samples import T0, alert, flow_batch

from netmote.clock import SystemClock
from netmote.records.flow import FLOW_DTYPE, PANE_NS
from netmote.store.config import StoreConfig
from netmote.store.store import Store

ROWS_A_PANE = 5_000


def raw(directory: Path, batches) -> tuple[float, float, int]:
    """Seconds, CPU seconds and bytes of one thread of sqlite3, a row per slice."""
    connection = sqlite3.connect(directory / "raw.db", isolation_level=None)
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
    return seconds, cpu, (directory / "raw.db").stat().st_size


async def ours(directory: Path, batches) -> None:
    slices = sum(len(batch.slices) for batch in batches)
    raw_seconds, raw_cpu, raw_bytes = raw(directory, batches)
    store = Store(directory, StoreConfig(), sensor="bench", clock=SystemClock())
    await store.open()
    began, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        await store.append([batch])
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    await store.maintain()
    size = (await store.maintain()).telemetry_bytes
    print(f"append: {slices / seconds:,.0f} slices/s, {cpu / slices * 1e6:.2f} us CPU each; {size / slices:.1f} MB per million")
    print(
        f"sqlite3 executemany: {slices / raw_seconds:,.0f} rows/s, {raw_cpu / slices * 1e6:.2f} us; {raw_bytes / slices:.1f} MB per million"
    )
    print(f"ratio store / sqlite3: rows {raw_seconds / seconds:.2f}, CPU {cpu / raw_cpu:.2f}, bytes {size / raw_bytes:.2f}")
    began, position, read = time.perf_counter(), None, 0
    while found := await store.read_after(position):
        position = found[-1][0]
        read += sum(len(batch.slices) for _, batch in found)
    print(f"read_after: {read / (time.perf_counter() - began):,.0f} slices/s")
    for at_once, commits in ((1, 300), (100, 30)):
        began, offset = time.perf_counter(), at_once * 1_000_000
        for number in range(commits):
            await store.commit([alert(offset + number * at_once + each) for each in range(at_once)], None)
        seconds = time.perf_counter() - began
        print(f"commit of {at_once}: {commits * at_once / seconds:,.0f} alerts/s, {seconds / commits * 1e3:.2f} ms each")
    await store.close()


def main() -> None:
    slices = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    panes = max(1, slices // ROWS_A_PANE)
    batches = [flow_batch(T0 + number * PANE_NS, rows=ROWS_A_PANE, seed=number) for number in range(panes)]
    np.testing.assert_array_equal(batches[0].slices.dtype, FLOW_DTYPE)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(ours(Path(directory), batches))


if __name__ == "__main__":
    main()

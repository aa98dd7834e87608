"""The live stream of a running daemon, read by `netmote tail` itself."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from daemon_legs import Legs, until
from numpy.typing import NDArray
from observed_records import scan_story
from running_daemon import beating
from sample_alert import sample_alert
from store_samples import flow_batch

from netmote.daemon.live import Live
from netmote.telemetry.metrics import Metrics
from netmote.windows.schemas import TRAFFIC
from netmote.windows.vector import VectorBatch


async def tail(state_dir: Path, *options: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "netmote", "tail", "--state-dir", str(state_dir), *options)
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)


async def line_of(process: asyncio.subprocess.Process, kind: str) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while True:
            line = json.loads(await process.stdout.readline())
            if line["kind"] == kind:
                return line


async def test_records_and_alerts_come_live(tmp_path: Path) -> None:
    """A reader of all kinds sees readings and durable alerts as they come; when the daemon stops it ends with 1."""
    async with beating(tmp_path) as daemon:
        process = await tail(tmp_path, "--records", "--scores", "--alerts")
        await until(lambda: len(daemon.live._stream) == 1)
        assert (await line_of(process, "host"))["gauges"]
        rows = await daemon.store.commit([sample_alert(1)], None)
        daemon._committed(rows)
        assert (await line_of(process, "alert"))["alert_id"] == sample_alert(1).alert_id
        assert b"netmote_live_readers 1.0" in daemon.metrics.render()
    async with asyncio.timeout(10):
        assert await process.wait() == 1
    assert process.stderr is not None
    assert b"the daemon stopped" in await process.stderr.read()


class Volume:
    """Raw score: the received octets of a host's window."""

    name, version, schema = "volume", "1", TRAFFIC

    def score(self, vectors: VectorBatch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return vectors.values[:, 0].astype(float), np.zeros(vectors.values.shape)


async def test_scores_of_closing_windows_come_live(legs: Legs) -> None:
    """What analysis scored in a step is shown once, with its detector and entities."""
    store = await legs.store()
    analyse = legs.analyse(store, legs.analysis(detectors=[Volume()]))
    live = Live(legs.metrics)
    analyse._scored = live.note_scores
    following = live.follow({"kinds": ["scores"]})
    async with asyncio.TaskGroup() as group:
        running = group.create_task(analyse.run())
        await legs.give(store, analyse, scan_story())
        async with asyncio.timeout(20):
            block = await anext(aiter(following))
        running.cancel()
    await following.aclose()
    line = json.loads(block.splitlines()[0])
    assert (line["kind"], line["end_ns"] > line["start_ns"]) == ("score", True)
    assert line["detector"]


async def test_a_slow_reader_is_dropped_and_counted() -> None:
    """A reader that takes nothing while a busy link goes on is dropped; the metric says so, and the stream is free again."""
    metrics = Metrics()
    live = Live(metrics, limit=1_000)
    following = live.follow({"kinds": ["records"]})
    for number in range(20):
        live.note_records([flow_batch(rows=100, seed=number)])
    read = [block async for block in following]
    await following.aclose()
    assert read == []
    assert metrics.registry.get_sample_value("netmote_live_readers_dropped_total") == 1
    assert b"netmote_live_readers 0.0" in metrics.render()


async def test_nobody_listens_nothing_is_made() -> None:
    """Without a reader a batch is not even looked at."""
    Live(Metrics()).note_records([object()])  # type: ignore[list-item]

"""The survey: what it shows of the models that run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from daemon_legs import until
from observed_records import pane

from netmote.clock import SystemClock
from netmote.daemon.config import Config
from netmote.daemon.lifecycle import Daemon
from netmote.models.graph_detector import GraphDetector
from netmote.models.run_times import RunTimes
from netmote.telemetry.snapshot import ModelStatus

QUIET = {"sensor": "s1", "capture": {"interfaces": []}, "store": {"free_space_floor": 0}, "web": {"address": ""}, "sinks": []}
MODEL = "traffic-autoencoder"


@asynccontextmanager
async def running(state_dir: Path, *settings: Config) -> AsyncIterator[Daemon]:
    """A daemon that captures nothing; each reload takes the next of `settings`."""
    wanted = iter([*settings, settings[-1]])
    daemon = Daemon(next(wanted), load=lambda: next(wanted), state_dir=state_dir, clock=SystemClock(), random=Random(1))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(daemon.run())
        await until(lambda: task.done() or ("survey" in daemon.legs and daemon.analyse.progress > 1))
        yield daemon
        daemon.request_stop()


def feed(daemon: Daemon) -> None:
    """A minute of traffic some minutes ago, so that its windows close at once."""
    origin_ns = daemon.started_at_ns // 10**10 * 10**10 - 300 * 10**9
    for number in range(12):
        daemon.ingest.put(pane(number, origin_ns=origin_ns))


def run_times(daemon: Daemon) -> RunTimes:
    (times,) = (each.run_times for each in daemon.analyse.analysis.detectors if isinstance(each, GraphDetector))
    return times


def observed(daemon: Daemon) -> float:
    """The count of the histogram as a scraper sees it."""
    text = daemon.metrics.render().decode()
    counts = [line for line in text.splitlines() if line.startswith("netmote_inference_duration_seconds_count")]
    return sum(float(line.rpartition(" ")[2]) for line in counts if f'model="{MODEL}"' in line)


def model(daemon: Daemon) -> ModelStatus:
    (status,) = daemon.survey.snapshot().models
    return status


async def test_latency_of_models_is_shown_and_counted(tmp_path: Path) -> None:
    """No figure before the first run; then percentiles in milliseconds, and each run once in the histogram, over a reload too."""
    first = Config.model_validate(QUIET)
    second = Config.model_validate(QUIET | {"alerts": {"cool_down": "1m"}})
    async with running(tmp_path, first, second) as daemon:
        assert (model(daemon).state, model(daemon).p50_ms, model(daemon).p99_ms) == ("active", None, None)
        assert observed(daemon) == 0
        feed(daemon)
        await until(lambda: run_times(daemon).total >= 5)
        shown = model(daemon)
        assert shown.p50_ms is not None
        assert shown.p99_ms is not None
        assert 0 < shown.p50_ms <= shown.p99_ms < 1_000
        await until(lambda: observed(daemon) == run_times(daemon).total)
        before = run_times(daemon)
        # Two runs that nobody has seen when the detector is replaced are counted all the same.
        before.note(0.001)
        before.note(0.002)
        assert "analysis" in await daemon.reload()
        after = run_times(daemon)
        assert after is not before
        after.note(0.003)
        await until(lambda: observed(daemon) == before.total + after.total)
        assert observed(daemon) == before.total + after.total

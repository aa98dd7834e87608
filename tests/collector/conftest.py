"""A real collector, listening on loopback over a file of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from manual_clock import ManualClock

from netmote.collector.config import CollectorConfig
from netmote.collector.server import Collector

Opener = Callable[..., Awaitable[Collector]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def opened(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Opener]:
    """Call and await it with keys of the configuration: a collector that listens; all are closed in the end."""
    collectors: list[Collector] = []

    async def open_one(**changes: object) -> Collector:
        settings = {"database": tmp_path / "collector.db", "port": 0, "page_port": 0, **changes}
        collector = Collector(CollectorConfig.model_validate(settings), clock=clock)
        collectors.append(collector)
        await collector.open()
        return collector

    yield open_one
    for collector in collectors:
        await collector.close()

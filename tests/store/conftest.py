"""Open stores on a real directory; every one is closed at the end of its test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from manual_clock import ManualClock

from netmote.store.config import StoreConfig
from netmote.store.store import Store

Opener = Callable[..., Awaitable[Store]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def opened(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Opener]:
    """Open stores on demand: on `tmp_path` (or `state_dir`), open, with StoreConfig fields by name."""
    stores: list[Store] = []

    async def open_store(*, state_dir: Path | None = None, sensor: str = "edge", **config: object) -> Store:
        settings = StoreConfig.model_validate({"free_space_floor": 0, **config})
        store = Store(state_dir or tmp_path, settings, sensor=sensor, clock=clock)
        stores.append(store)
        await store.open()
        return store

    yield open_store
    for store in stores:
        await store.close()

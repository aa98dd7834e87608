"""Fixtures of the daemon's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from daemon_legs import Legs


@pytest.fixture
async def legs(tmp_path: Path) -> AsyncIterator[Legs]:
    legs = Legs(tmp_path)
    yield legs
    await legs.close()

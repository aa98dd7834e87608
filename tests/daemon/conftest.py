"""Fixtures of the daemon's tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from daemon_legs import Legs
from veth_link import Link, link_of_our_own


@pytest.fixture
async def legs(tmp_path: Path) -> AsyncIterator[Legs]:
    legs = Legs(tmp_path)
    yield legs
    await legs.close()


@pytest.fixture
def link() -> Iterator[Link]:
    with link_of_our_own() as link:
        yield link

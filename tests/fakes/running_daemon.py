"""A daemon of the test's own process, quiet but for what a test asks for: beats every second, no page, no capture, no model."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from daemon_legs import until

from netmote.clock import SystemClock
from netmote.daemon.config import Config
from netmote.daemon.lifecycle import Daemon

QUIET: dict[str, Any] = {
    "sensor": "s1",
    "capture": {"interfaces": []},
    "host": {"interval": "1s"},
    "store": {"free_space_floor": 0},
    "web": {"address": ""},
    "heartbeat": {"interval": "1s"},
    "models": {"bundles": []},
}


@asynccontextmanager
async def running(state_dir: Path, **changes: Any) -> AsyncIterator[Daemon]:
    settings = Config.model_validate({**QUIET, **changes})
    daemon = Daemon(settings, load=None, state_dir=state_dir, clock=SystemClock(), random=Random(1))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(daemon.run())
        await until(lambda: task.done() or "heartbeat" in daemon.legs)
        yield daemon
        daemon.request_stop()

"""A whole daemon within the test's own loop, and its control socket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from daemon_legs import until

from netmote.clock import SystemClock
from netmote.control.client import request
from netmote.daemon.config import Config
from netmote.daemon.lifecycle import Daemon

QUIET: dict[str, Any] = {
    "sensor": "s1",
    "capture": {"interfaces": []},
    "host": {"interval": "1s"},
    "store": {"free_space_floor": 0},
    "web": {"address": ""},
    "sinks": [],
}


def config(**changes: Any) -> Config:
    return Config.model_validate({**QUIET, **changes})


@asynccontextmanager
async def running(
    state_dir: Path, settings: Config | None = None, *, load: Callable[[], Config] | None = None
) -> AsyncIterator[Daemon]:
    """A daemon that has started; stopped in good order afterwards."""
    daemon = Daemon(settings or config(), load=load, state_dir=state_dir, clock=SystemClock(), random=Random(1))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(daemon.run())
        await until(lambda: task.done() or ("survey" in daemon.legs and daemon.analyse.progress > 1))
        yield daemon
        daemon.request_stop()


@asynccontextmanager
async def beating(state_dir: Path, **changes: Any) -> AsyncIterator[Daemon]:
    """A daemon without a model that beats every second."""
    async with running(state_dir, config(**{"heartbeat": {"interval": "1s"}, "models": {"bundles": []}, **changes})) as daemon:
        await until(lambda: "heartbeat" in daemon.legs)
        yield daemon


async def ask(state_dir: Path, command: str, **arguments: Any) -> dict[str, Any]:
    return await asyncio.to_thread(request, state_dir, command, **arguments)

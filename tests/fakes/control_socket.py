"""A control socket that answers `status` with a given snapshot, as a daemon's would, on an event loop of its own thread."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netmote.control.protocol import socket_path
from netmote.control.server import ControlServer
from netmote.telemetry.snapshot import Snapshot


@contextmanager
def answering(state_dir: Path, shown: Snapshot) -> Iterator[None]:
    """While it is open, a daemon seems to run in this state directory."""
    loop = asyncio.new_event_loop()

    async def status(_request: dict[str, Any]) -> dict[str, Any]:
        return {"snapshot": json.loads(shown.to_json())}

    server = ControlServer(socket_path(state_dir), {"status": status})
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.open(), loop).result(5)
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()

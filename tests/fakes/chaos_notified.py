"""Whom Alertmanager notifies in the chaos run: writes the state and the id of each alert it is told of, before it answers.

python tests/fakes/chaos_notified.py --port P --file FILE
"""

import argparse
import asyncio
import os
import signal
from pathlib import Path

from alertmanager_server import Notified


class Noting(Notified):
    """Every notification a line `firing ID` or `resolved ID` of a file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def note(self, state: str, labels: dict[str, str], annotations: dict[str, str]) -> None:
        os.write(self._descriptor, f"{state} {annotations['alert_id']}\n".encode())


async def _serve(path: Path, port: int) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    noting = Noting(path)
    await noting.start(port)
    await stopped.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.file, arguments.port))

"""Real servers as processes on loopback, which tests stop, freeze, kill and start again."""

import asyncio
import contextlib
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest


class ServerProcess:
    """One server with its log in a file; ready when its port answers."""

    def __init__(self, command: list[str], *, port: int, log: Path, ready: Callable[[], bool] | None = None) -> None:
        self.command, self.port, self.log = command, port, log
        self._ready = ready or (lambda: answers(port))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self.start_process()
        self.wait_ready()

    def start_process(self) -> None:
        with self.log.open("ab") as stream:
            self._process = subprocess.Popen(self.command, stdout=stream, stderr=subprocess.STDOUT)

    def wait_ready(self, seconds: float = 60.0) -> None:
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{self.command[0]} did not start:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.01)

    def freeze(self) -> None:
        """It accepts connections (the kernel does) and does nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def thaw_later(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.thaw)

    def kill(self) -> None:
        """Kill -9."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)


_handed_out: set[int] = set()


def low_port() -> int:
    """A free port below the range of which clients get theirs, so that nobody takes it while its server is down for a while."""
    for _ in range(1_000):
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                if port not in _handed_out:
                    _handed_out.add(port)
                    return port
    raise OSError("no port is free")


def answers(port: int) -> bool:
    """Whether somebody accepts connections on that port of loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
        return True
    return False


def beside_python(name: str) -> str:
    """The path of a program that a wheel put beside this interpreter; skips the test where it is not."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"{name} is not installed beside this Python")
    return str(path)

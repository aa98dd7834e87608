"""The real daemon and a collector as processes, and network namespaces of our own: what end-to-end tests are made of."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from netmote.clock import SystemClock
from netmote.records.batch import Batch
from netmote.store.config import StoreConfig
from netmote.store.store import Store

FAKES = Path(__file__).parent
PYTHON = sys.executable


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Poll until the condition is true and return its value; fail saying what did not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    pytest.fail(f"{what} did not come within {seconds:g} s")


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, **options)


@dataclass
class Network:
    """Two namespaces and a wire: the sensor's end has 10.77.0.1, the peer's 10.77.0.2 (more addresses on request)."""

    sensor: str
    peer: str

    def in_sensor(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.sensor, *command]

    def in_peer(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.peer, *command]


@dataclass
class DaemonProcess:
    """One netmote daemon in a state directory of its own."""

    state_dir: Path
    config: dict[str, Any]
    prefix: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    _said_ready: int = 0

    @property
    def config_path(self) -> Path:
        return self.state_dir.parent / "netmote.yaml"

    @property
    def log(self) -> str:
        return (self.state_dir.parent / "daemon.log").read_text(errors="replace")

    def write_config(self) -> None:
        self.config_path.write_text(yaml.safe_dump(self.config))

    def launch(self, *, log: str = "daemon.log") -> None:
        """Start the process without waiting for anything."""
        self.state_dir.mkdir(exist_ok=True)
        self.write_config()
        with (self.state_dir.parent / log).open("ab") as stream:
            command = [PYTHON, "-m", "netmote", "run", "--config", str(self.config_path), "--state-dir", str(self.state_dir)]
            self.process = subprocess.Popen([*self.prefix, *command], stdout=stream, stderr=subprocess.STDOUT)

    def start(self, seconds: float = 20.0) -> float:
        """Start and wait until it is ready; returns how long that took."""
        began = time.monotonic()
        self._said_ready = self.log.count(" ready") if (self.state_dir.parent / "daemon.log").exists() else 0
        self.launch()
        wait_for(self._is_ready, seconds, f"ready; log:\n{self.log}")
        return time.monotonic() - began

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"the daemon ended with {self.process.returncode}:\n{self.log}")
        return (
            (self.state_dir / "control.sock").exists()
            and self.log.count(" ready") > self._said_ready
            and self.status() is not None
        )

    def netmote(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PYTHON, "-m", "netmote", *arguments, "--state-dir", str(self.state_dir)],
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def status(self) -> dict[str, Any] | None:
        answer = self.netmote("status", "--json")
        return json.loads(answer.stdout) if answer.returncode in (0, 1) and answer.stdout else None

    def alerts(self) -> list[dict[str, Any]]:
        answer = self.netmote("alerts", "list", "--json")
        return [json.loads(line) for line in answer.stdout.splitlines()]

    def reload(self) -> None:
        """SIGHUP, and wait until the daemon has said what it did."""
        assert self.process is not None
        before = self.log.count("reload")
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log.count("reload") > before, 15, "the end of the reload")

    def stored_batches(self) -> list[Batch]:
        """What a stopped daemon has in its telemetry, in the order of the commits."""

        async def read() -> list[Batch]:
            store = Store(self.state_dir, StoreConfig(free_space_floor=0), sensor="e2e", clock=SystemClock())
            await store.open()
            try:
                found: list[Batch] = []
                position = None
                while rows := await store.read_after(position, limit=500):
                    found.extend(batch for _, batch in rows)
                    position = rows[-1][0]
                return found
            finally:
                await store.close()

        return asyncio.run(read())

    def kill(self) -> None:
        """Kill -9, as a power button would."""
        assert self.process is not None
        # The prefix (ip netns exec) replaces itself by the daemon, so this pid is the daemon's.
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()


@dataclass
class CollectorProcess:
    """The upstream collector as a process that can be killed and started again on its port."""

    database: Path
    port: int
    prefix: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    address: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}/"

    def start(self) -> None:
        command = [PYTHON, str(FAKES / "collector.py"), "--address", self.address, "--port", str(self.port)]
        command += ["--database", str(self.database)]
        self.process = subprocess.Popen([*self.prefix, *command], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert b"listening" in self.process.stdout.readline()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def events(self) -> list[dict[str, Any]]:
        """What it has committed, read from its database."""
        import sqlite3

        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return [json.loads(body) for (body,) in connection.execute("SELECT body FROM event ORDER BY position")]
        finally:
            connection.close()

    def findings(self) -> list[dict[str, Any]]:
        """The OCSF findings among them, without the signs of life."""
        return [event["data"] for event in self.events() if event["type"].startswith("io.netmote.alert.")]

    def alert_ids(self) -> set[str]:
        """Of which alerts it has a revision."""
        return {finding["finding_info"]["uid"] for finding in self.findings()}

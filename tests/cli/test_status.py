"""`netmote status`: one screen from a daemon's answer, and exit statuses that scripts rely on."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from netmote.cli.main import app
from netmote.control.protocol import socket_path
from netmote.control.server import ControlServer
from netmote.telemetry.health import Level, Reason
from netmote.telemetry.snapshot import (
    AlertSummary,
    DeviceStatus,
    InputStatus,
    InterfaceStatus,
    ModelStatus,
    SinkStatus,
    Snapshot,
    StoreStatus,
)

runner = CliRunner()
NOW = 1_700_000_000_000_000_000


def snapshot(**changes: Any) -> Snapshot:
    values: dict[str, Any] = {
        "taken_at_ns": NOW,
        "sensor": "attic",
        "version": "1.2.3",
        "level": Level.FULL,
        "started_at_ns": NOW - 7_200_000_000_000,
        "inputs": (
            InputStatus(
                "eth0", "capture", "running", 1.5, 1234.0, received_total=99, dropped={"ring": 1234, "arp": 5, "softnet": 7}
            ),
        ),
        "devices": (
            DeviceStatus(
                "core",
                "192.0.2.1",
                "up",
                NOW - 3_000_000_000,
                0.012,
                10.0,
                interfaces=(InterfaceStatus("ge-0/0/1", "up"),),
                backend="pysnmp",
                fallback_reason="a length is indefinite",
            ),
        ),
        "drops": {"capture/arp": 12},
        "models": (ModelStatus("traffic", "1.0.0", "active", p50_ms=0.1, p99_ms=0.25),),
        "alerts": (
            AlertSummary("abcdef0123", "firing", "error", "a scan", "host:192.0.2.7", "vertical_scan", 0.99, NOW, NOW, 3),
        ),
        "alerts_firing": 1,
        "sinks": (SinkStatus("up", "retrying", 5, 61.0, 10, 1, "refused"),),
        "store": StoreStatus(1000, 2_000_000, 10**9, 12.5),
        "memory_rss_bytes": 100_000_000,
    }
    return Snapshot(**(values | changes))


@contextmanager
def daemon(state_dir: Path, shown: Snapshot) -> Iterator[None]:
    """A control socket that answers `status`, on an event loop of its own thread."""
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


def test_healthy(tmp_path: Path) -> None:
    """Everything on one screen, exit status 0."""
    with daemon(tmp_path, snapshot()):
        result = runner.invoke(app, ["status", "--state-dir", str(tmp_path)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    for shown in (
        "attic",
        "full",
        "up 2 h",
        "100.0 MB",
        "capture eth0",
        "1,234 packets/s",
        "core",
        "1/1",
        "pysnmp",
        "a length is indefinite",
        "capture/arp 12",
        "packets lost on eth0: softnet 7, ring 1,234",
        "traffic 1.0.0 active, p99 0.25 ms",
        "5 wait",
        "1 quarantined",
        "refused",
        "12.5 days left",
        "a scan",
    ):
        assert shown in result.output, shown


def test_degraded_names_the_reason(tmp_path: Path) -> None:
    """A reason alone makes exit status 1, and is shown."""
    shown = snapshot(level=Level.RULES, reasons=(Reason("models", "no usable model", NOW, Level.RULES),))
    with daemon(tmp_path, shown):
        result = runner.invoke(app, ["status", "--state-dir", str(tmp_path)])
        as_json = runner.invoke(app, ["status", "--state-dir", str(tmp_path), "--json"])
    assert result.exit_code == as_json.exit_code == 1
    assert "models: no usable model" in result.output
    record = json.loads(as_json.output)
    assert record["running"] is True
    assert record["level"] == "rules"
    assert as_json.output.count("\n") == 1


def test_not_running(tmp_path: Path) -> None:
    """Without a daemon exit status 3, in words or as an object."""
    result = runner.invoke(app, ["status", "--state-dir", str(tmp_path)])
    assert result.exit_code == 3
    assert str(tmp_path) in result.output
    record = json.loads(runner.invoke(app, ["status", "--state-dir", str(tmp_path), "--json"]).output)
    assert record["running"] is False

"""A disk that fills up under the running daemon: telemetry stops, alerts do not, and all is well again when there is room."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import DaemonProcess, wait_for

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

FLOOR = 8 * 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 48 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "nme2e", str(place)], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=False, capture_output=True)


def fill(place: Path, *, leave: int) -> Path:
    """Write a file that leaves `leave` bytes free."""
    import os

    filler = place / "filler"
    with filler.open("ab") as stream:
        while (free := os.statvfs(place).f_bavail * os.statvfs(place).f_frsize - leave) > 0:
            try:
                stream.write(b"x" * min(free, 2**20))
                stream.flush()
            except OSError:
                break
    return filler


def listeners(daemon: DaemonProcess) -> set[str]:
    return {alert["group"] for alert in daemon.alerts() if alert["group"].startswith("new_listener")}


def test_the_disk_fills_and_empties(daemon: DaemonProcess, small_disk: Path) -> None:
    """Below the floor the level is `ledger`; an alert made then is committed, also with no byte left; with room it is `full` again."""
    daemon.state_dir = small_disk / "state"
    daemon.config["store"] = {"free_space_floor": FLOOR, "ledger_size": "10MB", "telemetry_size": "10MB"}
    daemon.start()
    wait_for(lambda: daemon.status()["inputs"][0]["received_total"], 20, "readings")
    assert daemon.status()["level"] == "full"

    filler = fill(small_disk, leave=FLOOR // 2)
    status = wait_for(lambda: (s := daemon.status())["level"] == "ledger" and s, 20, "the level ledger")
    assert "floor" in next(reason["text"] for reason in status["reasons"] if reason["component"] == "store")
    assert daemon.netmote("status").returncode == 1
    known = listeners(daemon)
    with socket.create_server(("127.0.0.1", 0)):
        wait_for(lambda: listeners(daemon) - known, 20, "an alert below the floor")

    fill(small_disk, leave=0)
    time.sleep(1)
    known = listeners(daemon)
    with socket.create_server(("127.0.0.1", 0)):
        wait_for(lambda: listeners(daemon) - known, 20, "an alert on a full disk")
    drops = daemon.status()["drops"]
    assert drops["store/StoreFull"] > 0

    filler.unlink()
    wait_for(lambda: daemon.status()["level"] == "full", 30, "the level full")
    made = {alert["alert_id"] for alert in daemon.alerts()}
    daemon.kill()
    daemon.start()
    assert made <= {alert["alert_id"] for alert in daemon.alerts()}
    assert daemon.stop() == 0

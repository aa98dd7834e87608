"""What the service manager is told, against a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from netmote.daemon.service_notify import ServiceNotify


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(2)
        yield receiver


def test_the_messages(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call is one datagram in the words of sd_notify(3); a status is one line."""
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    notify = ServiceNotify()
    notify.ready("full: all\nis well")
    notify.status("rules")
    notify.watchdog()
    notify.reloading(12.5)
    notify.stopping()
    assert [manager.recv(4096).decode() for _ in range(5)] == [
        "READY=1\nSTATUS=full: all; is well",
        "STATUS=rules",
        "WATCHDOG=1",
        "RELOADING=1\nMONOTONIC_USEC=12500000",
        "STOPPING=1",
    ]


def test_the_abstract_namespace() -> None:
    """A leading @ stands for a NUL byte."""
    name = f"netmote-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name)
        receiver.settimeout(2)
        ServiceNotify("@" + name).watchdog()
        assert receiver.recv(100) == b"WATCHDOG=1"


def test_without_a_manager_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket, and one that is gone, are both no error."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    ServiceNotify().ready("x")
    ServiceNotify(str(tmp_path / "gone")).ready("x")


@pytest.mark.parametrize(
    ("microseconds", "pid", "expected"),
    [
        ("30000000", "", 15.0),
        ("30000000", "ours", 15.0),
        ("30000000", "1", None),
        ("", "", None),
        ("soon", "", None),
    ],
)
def test_the_watchdog_interval(monkeypatch: pytest.MonkeyPatch, microseconds: str, pid: str, expected: float | None) -> None:
    """Half of WatchdogSec, and only when this very process is watched."""
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "ours" else pid)
    assert ServiceNotify.watchdog_interval() == expected

"""Fixtures of the end-to-end tests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import CollectorProcess, DaemonProcess, Network, free_port, run


@pytest.fixture
def network() -> Iterator[Network]:
    """A veth pair between two namespaces, removed afterwards."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2 for network namespaces")
    tag = f"{os.getpid() % 100_000}"
    net = Network(f"nme2es{tag}", f"nme2ep{tag}")
    try:
        for name in (net.sensor, net.peer):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "link", "add", "wire0", "netns", net.sensor, "type", "veth", "peer", "name", "wire1", "netns", net.peer)
        for name, link, address in ((net.sensor, "wire0", "10.77.0.1/24"), (net.peer, "wire1", "10.77.0.2/24")):
            run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            run("ip", "-n", name, "addr", "add", address, "dev", link)
            run("ip", "-n", name, "link", "set", link, "up")
        yield net
    finally:
        for name in (net.sensor, net.peer):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon not started yet, without capture, page on a free port; the test fills in the rest."""
    daemon = DaemonProcess(
        tmp_path / "state",
        {
            "sensor": "e2e",
            "capture": {"interfaces": []},
            "host": {"interval": "1s"},
            "web": {"port": 0},
            "store": {"free_space_floor": "1MB"},
            "sinks": [{"type": "journal", "format": "json"}],
        },
    )
    yield daemon
    daemon.close()


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[CollectorProcess]:
    """A collector not started yet."""
    collector = CollectorProcess(tmp_path / "upstream.db", free_port())
    yield collector
    collector.kill()

"""The scan rules on the real nmap, between two network namespaces of our own, captured by tcpdump."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from netmote.capture.pcap_file import read_capture
from netmote.metering.flow_meter import FlowMeter
from netmote.scoring.rules.rule_set import RuleSet
from netmote.windows.config import WindowsConfig
from netmote.windows.sliding import Windows

SCANNER, TARGET = "10.231.7.1", "10.231.7.2"
NS = f"nmrules{os.getpid()}"
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not all(map(shutil.which, ("nmap", "tcpdump", "ip"))), reason="needs nmap, tcpdump and ip"),
]


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def link() -> Iterator[tuple[str, str]]:
    """Two namespaces and a wire between them, gone afterwards."""
    ends = (f"{NS}a", f"{NS}b")
    try:
        for end in ends:
            run("ip", "netns", "add", end)
        run("ip", "-n", ends[0], "link", "add", "v0", "type", "veth", "peer", "name", "v0", "netns", ends[1])
        for end, address in zip(ends, (SCANNER, TARGET), strict=True):
            run("ip", "-n", end, "address", "add", f"{address}/24", "dev", "v0")
            run("ip", "-n", end, "link", "set", "v0", "up")
        yield ends
    finally:
        for end in ends:
            with contextlib.suppress(subprocess.CalledProcessError):
                run("ip", "netns", "delete", end)


def scanned_by(link: tuple[str, str], path: Path, *options: str) -> Path:
    """A capture at the target while nmap runs. With whole packets tcpdump's ring would hold 32 of them."""
    capturing = subprocess.Popen(
        [
            "ip",
            "netns",
            "exec",
            link[1],
            "tcpdump",
            "--immediate-mode",
            "-s",
            "256",
            "-B",
            "8192",
            "-U",
            "-i",
            "v0",
            "-w",
            str(path),
            "-Z",
            "root",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert capturing.stderr is not None
        assert "listening on" in capturing.stderr.readline()
        run("ip", "netns", "exec", link[0], "nmap", "-n", "-Pn", *options, TARGET)
        _wait_until_written(path)
    finally:
        capturing.terminate()
        capturing.communicate(timeout=10)
    return path


def _wait_until_written(path: Path) -> None:
    """Until tcpdump has had nothing to write for half a second: what still waits in its ring when it is told to end is lost."""
    size, since = -1, time.monotonic()
    while time.monotonic() - since < 0.5:
        if path.stat().st_size != size:
            size, since = path.stat().st_size, time.monotonic()
        time.sleep(0.05)


def first_alarm(path: Path) -> dict[tuple[str, str], float]:
    """Rule and entity, and seconds from the first packet to the end of the first window in which it held."""
    meter = FlowMeter(
        source="capture:v0",
        interface="v0",
        max_flows=65_536,
        active_timeout_ns=1_800_000_000_000,
        idle_timeout_ns=30_000_000_000,
        when_full="evict",
    )
    windows, rules = Windows(WindowsConfig(), sensor="probe"), RuleSet.load(["builtin"])
    first: dict[tuple[str, str], float] = {}
    begun_ns = 0
    for packets in read_capture(path):
        begun_ns = begun_ns or int(packets.timestamp_ns.min())
        for batch in meter.meter(packets):
            windows.add(batch)
    for batch in meter.flush():
        windows.add(batch)
    for window in windows.finish():
        for finding in rules.evaluate(window, evidence=partial(windows.evidence, end_ns=window.end_ns)):
            first.setdefault((finding.group, finding.entity.name), (finding.end_ns - begun_ns) / 1e9)
    return first


@pytest.mark.parametrize("options", [["-sS"], ["-sT"], ["-sF"], ["-sX"], ["-sS", "-p-", "-T4"], ["-sS", "--top-ports", "60"]])
def test_nmap_is_named_within_twenty_seconds(link, options, tmp_path):
    """SYN, connect, FIN and Xmas scans, of all or of a few ports: both hosts see a scan at the first window end, and no flood."""
    found = first_alarm(scanned_by(link, tmp_path / "scan.pcap", *options))
    assert found["vertical_scan", SCANNER] <= 20
    assert found["scanned", TARGET] <= 20
    assert not [group for group, _ in found if "flood" in group]

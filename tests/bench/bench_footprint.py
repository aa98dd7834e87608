"""Memory and start of the whole daemon: model loaded, capture running, ten devices polled, traffic on the wire.

Limits: 120 MB resident beside ring and flow table; 1.5 s from start to ready; p99 from the close of a window to its alerts
committed 100 ms; no callback holds the event loop for more than 10 ms.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from processes import DaemonProcess, free_port, run, wait_for

from netmote.capture.config import CaptureConfig
from netmote.metering.config import MeteringConfig
from netmote.metering.flow_key import FlowHash
from netmote.metering.flow_table import FlowTable

SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
DEVICES = 10


def main() -> None:
    if os.geteuid() != 0 or shutil.which("snmpd") is None:
        print("needs root and snmpd: skipped")
        return
    sensor, peer = f"nmbs{os.getpid()}", f"nmbp{os.getpid()}"
    with tempfile.TemporaryDirectory() as directory:
        try:
            _network(sensor, peer)
            _measure(Path(directory), sensor, peer)
        finally:
            for name in (sensor, peer):
                subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _network(sensor: str, peer: str) -> None:
    for name in (sensor, peer):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    run("ip", "link", "add", "wire0", "netns", sensor, "type", "veth", "peer", "name", "wire1", "netns", peer)
    for name, link, address in ((sensor, "wire0", "10.77.0.1/24"), (peer, "wire1", "10.77.0.2/24")):
        run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        run("ip", "-n", name, "addr", "add", address, "dev", link)
        run("ip", "-n", name, "link", "set", link, "up")


def _measure(directory: Path, sensor: str, peer: str) -> None:
    prefix = ["ip", "netns", "exec", sensor]
    agent_port, page_port = free_port(), free_port()
    snmpd = _snmpd(directory, prefix, agent_port)
    targets = [{"name": f"d{n}", "address": "127.0.0.1", "port": agent_port} for n in range(DEVICES)]
    daemon = DaemonProcess(
        directory / "state",
        {
            "sensor": "bench",
            "capture": {"interfaces": ["wire0"]},
            "snmp": {"interval": "5s", "targets": targets},
            "web": {"port": page_port},
            "store": {"free_space_floor": "1MB"},
        },
        prefix,
    )
    try:
        starts = []
        for _ in range(3):
            starts.append(_start_to_ready(daemon))
            daemon.stop()
        _start_to_ready(daemon)
        _ping(peer, SECONDS / 3)
        light = _resident(daemon)
        traffic = _traffic(peer, SECONDS)
        loaded = _resident(daemon)
        metrics = _metrics(prefix, page_port)
    finally:
        daemon.close()
        snmpd.terminate()
        snmpd.wait(10)
    table = FlowTable(MeteringConfig().max_flows, FlowHash(1)).memory_bytes / 1e6
    ring = (CaptureConfig().ring_size + CaptureConfig().evidence_size) / 1e6
    print(
        f"start to ready        {min(starts):6.2f} s best of 3 (limit 1.5 s, ratio {min(starts) / 1.5:.2f}); median {sorted(starts)[1]:.2f} s"
    )
    print(f"packet rings          {ring:6.1f} MB; flow table {table:.1f} MB, both allocated at start")
    for what, resident in ((f"{DEVICES} devices polled, pings", light), (traffic, loaded)):
        beside = resident - table - ring
        print(f"resident beside both  {beside:6.1f} MB (limit 120 MB, ratio {beside / 120:.2f}) of {resident:.1f} MB; {what}")
    p99 = _quantile(metrics, "netmote_window_close_to_commit_seconds", 0.99)
    print(f"window close to commit, p99 at most {p99 * 1e3:.0f} ms (limit 100 ms, ratio {p99 / 0.1:.2f})")
    lag = _value(metrics, "netmote_event_loop_lag_max_seconds")
    p99_lag = _quantile(metrics, "netmote_event_loop_lag_seconds", 0.99)
    print(f"event loop held, max  {lag * 1e3:6.1f} ms, p99 at most {p99_lag * 1e3:.1f} ms (limit 10 ms)")


def _start_to_ready(daemon: DaemonProcess) -> float:
    """From the start of the process to READY as its own log says it, told by the log file growing."""
    log = daemon.state_dir.parent / "daemon.log"
    before = log.read_text().count("ready") if log.exists() else 0
    daemon.state_dir.mkdir(exist_ok=True)
    daemon.write_config()
    with log.open("ab") as stream:
        command = [
            sys.executable,
            "-m",
            "netmote",
            "run",
            "--config",
            str(daemon.config_path),
            "--state-dir",
            str(daemon.state_dir),
        ]
        began = time.monotonic()
        daemon.process = subprocess.Popen([*daemon.prefix, *command], stdout=stream, stderr=subprocess.STDOUT)
    while daemon.log.count("ready") == before:
        if daemon.process.poll() is not None:
            raise SystemExit(daemon.log)
        time.sleep(0.005)
    return time.monotonic() - began


def _snmpd(directory: Path, prefix: list[str], port: int) -> "subprocess.Popen[bytes]":
    (directory / "snmpd.conf").write_text(f"agentAddress udp:127.0.0.1:{port}\nrocommunity public 127.0.0.1\n")
    command = ["snmpd", "-f", "-Lo", "-C", "-c", str(directory / "snmpd.conf"), "-p", str(directory / "snmpd.pid")]
    return subprocess.Popen([*prefix, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _ping(peer: str, seconds: float) -> None:
    count = str(int(seconds / 0.05))
    command = ["ip", "netns", "exec", peer, "ping", "-q", "-i", "0.05", "-c", count, "10.77.0.1"]
    subprocess.run(command, check=True, capture_output=True, timeout=seconds + 30)


def _traffic(peer: str, seconds: float) -> str:
    """Scans in a loop (each port a new flow) and pings, until the time is up."""
    flood = subprocess.Popen(["ip", "netns", "exec", peer, "ping", "-q", "-i", "0.002", "10.77.0.1"], stdout=subprocess.DEVNULL)
    until, scans = time.monotonic() + seconds, 0
    try:
        while time.monotonic() < until:
            command = ["ip", "netns", "exec", peer, "nmap", "-sS", "-n", "-Pn", "--max-retries", "0", "-p", "1-1000", "10.77.0.1"]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            scans += 1
            time.sleep(1.8)
    finally:
        flood.terminate()
        flood.wait(5)
    return f"{scans} scans of 1,000 ports in {seconds:.0f} s"


def _resident(daemon: DaemonProcess) -> float:
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024 / 1e6


def _metrics(prefix: list[str], port: int) -> str:
    code = f"import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:{port}/metrics', timeout=10).read().decode())"
    return wait_for(
        lambda: subprocess.run([*prefix, sys.executable, "-c", code], check=False, capture_output=True, text=True).stdout,
        10,
        "metrics",
    )


def _value(metrics: str, name: str) -> float:
    return float(next(line.split()[-1] for line in metrics.splitlines() if line.startswith(name + " ")))


def _quantile(metrics: str, name: str, quantile: float) -> float:
    """Upper bound of the bucket that holds the quantile."""
    buckets = []
    for line in metrics.splitlines():
        if line.startswith(f"{name}_bucket{{"):
            bound = line.split('le="')[1].split('"')[0]
            buckets.append((float(bound), float(line.split()[-1])))
    total = max(count for _, count in buckets)
    return min(bound for bound, count in buckets if count >= quantile * total)


if __name__ == "__main__":
    main()

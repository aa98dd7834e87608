"""The daemon's whole live path under load: capture, metering, store, windows, rules and model, alerts, on one processor.

Run as root: python tests/bench/bench_daemon.py [--seconds S]. A generated capture of 100,000 packets and 2,000 new flows a second of
1,000 local hosts is sent over a veth pair from the first processor; the daemon has the last one. CPU is what the scheduler gave its
threads while packets came; the capture thread is told from the others by what it waits for. Ends with an error when a packet sent is
neither received nor counted as dropped.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
sys.path.insert(0, str(Path(__file__).parent))
import peers
from generated_capture import write_capture
from processes import DaemonProcess, free_port, wait_for
from report import Row, machine, print_table
from wire import Sender, Wire

_PACKETS, _FLOWS, _HOSTS = 100_000, 2_000, 1_000
_WAITS = {"7": "poll", "230": "clock_nanosleep", "271": "ppoll"}  # x86-64; of a thread that waits for packets


class _Watch(threading.Thread):
    """Once a second: the largest resident size, and what each thread waits for."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._folder = Path(f"/proc/{process}")
        self.process = process
        self.resident_mb = 0.0
        self.waits: dict[int, int] = {}
        self.is_over = threading.Event()

    def run(self) -> None:
        while not self.is_over.wait(0.2):
            status = (self._folder / "status").read_text()
            self.resident_mb = max(self.resident_mb, int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024 / 1e6)
            for task in self._folder.glob("task/*"):
                if (task / "syscall").read_text().split()[0] in _WAITS:
                    self.waits[int(task.name)] = self.waits.get(int(task.name), 0) + 1

    def cpu_seconds(self) -> dict[int, float]:
        """By thread."""
        return {int(path.parent.name): int(path.read_text().split()[0]) / 1e9 for path in self._folder.glob("task/*/schedstat")}

    @property
    def capturing(self) -> int:
        """The thread that waits for packets."""
        return max((task for task in self.waits if task != self.process), key=self.waits.__getitem__)


def main() -> int:
    """Print the table; 1 when packets are not accounted for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    processors = sorted(os.sched_getaffinity(0))
    if os.geteuid() or not shutil.which("gcc") or len(processors) < 2:
        print("not measured: needs root (network namespaces, AF_PACKET), gcc and two processors")
        return 0
    print(machine(), flush=True)
    os.nice(-20)  # of sender and daemon alike
    with tempfile.TemporaryDirectory() as name, Wire(address="10.77.0.1/24") as wire:
        folder = Path(name)
        peers.build("packet_generator.c", folder)
        write_capture(
            folder / "packets.pcap", packets=_PACKETS * seconds, flows=_FLOWS * seconds, seconds=float(seconds), clients=_HOSTS
        )
        sender = Sender(wire, folder, folder / "packets.pcap", processors[0])
        return _measure(folder, wire, sender, processors[-1], seconds)


def _measure(folder: Path, wire: Wire, sender: Sender, processor: int, seconds: int) -> int:
    prefix, port = wire.inside(wire.right), free_port()
    config = {
        "sensor": "bench",
        "capture": {"interfaces": [wire.right]},
        "metering": {"max_flows": 131_072},  # 2,000 a second, each held half a minute beyond its last packet
        "snmp": {"targets": []},
        "web": {"port": port},
        "store": {"free_space_floor": "1MB"},
    }
    daemon = DaemonProcess(folder / "state", config, [*prefix, "taskset", "-c", str(processor)])
    try:
        daemon.start()
        assert daemon.process is not None
        watch = _Watch(daemon.process.pid)
        time.sleep(3.0)
        watch.start()
        before = watch.cpu_seconds()
        sent, elapsed = sender.send("sendmmsg", _PACKETS, seconds)
        time.sleep(1.0)
        spent = {task: cpu - before.get(task, 0.0) for task, cpu in watch.cpu_seconds().items()}
        wait_for(lambda: _value(_metrics(prefix, port), "received_packets_total") >= sent, 5.0, "the last packets")
        time.sleep(15.0)  # the last window closes
        watch.is_over.set()
        metrics = _metrics(prefix, port)
    finally:
        daemon.close()
    received, dropped = _value(metrics, "received_packets_total"), _value(metrics, "dropped_packets_total")
    print_table(_table(metrics, watch, spent, elapsed, sent))
    return int(received + dropped != sent)


def _table(metrics: str, watch: _Watch, spent: dict[int, float], elapsed: float, sent: int) -> list[Row]:
    received, dropped = _value(metrics, "received_packets_total"), _value(metrics, "dropped_packets_total")
    share = 100 / elapsed
    threads = sorted((cpu for task, cpu in spent.items() if task not in (watch.process, watch.capturing)), reverse=True)
    beside = " / ".join(f"{cpu * share:.1f} %" for cpu in threads if cpu * share >= 0.1)
    total = sum(spent.values())
    ns = total / sent * 1e9
    discarded = _value(metrics, "discarded_records_total")
    windows = {quality: int(_value(metrics, "windows_total", f'quality="{quality}"')) for quality in _qualities(metrics)}
    table = _value(metrics, "flow_cache_evictions_total")
    closes = _value(metrics, "window_close_to_commit_seconds_count")
    mean = _value(metrics, "window_close_to_commit_seconds_sum") / max(1.0, closes)
    what = f"{_PACKETS:,} packets and {_FLOWS:,} new flows a second"
    return [
        Row(f"{what} for {elapsed:.0f} s: packets sent", sent),
        Row("packets lost", dropped, at_most=0),
        Row("packets neither received nor dropped", sent - received - dropped, at_most=0),
        Row("flows ended or refused for want of room", table, at_most=0),
        Row("records discarded", discarded, at_most=0),
        Row("CPU of the whole daemon, share of a core", total * share, "%", beside=f"{ns:,.0f} ns a packet"),
        Row("- capture and metering thread", spent[watch.capturing] * share, "%"),
        Row("- event loop: hand-over, store's calls, status page", spent[watch.process] * share, "%"),
        Row("- other threads: analysis, writers of the store", sum(threads) * share, "%", beside=beside),
        Row(
            "resident, largest",
            watch.resident_mb,
            "MB",
            beside=f"{_value(metrics, 'flow_cache_entries'):,.0f} flows held at the end",
        ),
        Row(
            "window close to alerts committed, p99 at most",
            1e3 * _quantile(metrics, 0.99),
            "ms",
            at_most=100,
            beside=f"p50 at most {1e3 * _quantile(metrics, 0.5):.0f} ms, mean {mean * 1e3:.0f} ms of {closes:.0f}",
        ),
        Row("event loop held by one callback, longest", 1e3 * _value(metrics, "event_loop_lag_max_seconds"), "ms", at_most=10),
        Row(
            "windows closed", sum(windows.values()), beside=", ".join(f"{count} {quality}" for quality, count in windows.items())
        ),
    ]


def _metrics(prefix: list[str], port: int) -> str:
    code = f"import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:{port}/metrics', timeout=10).read().decode())"
    command = [*prefix, sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def _value(metrics: str, name: str, label: str = "") -> float:
    """Sum over the series of a metric that have the label."""
    values = [line for line in metrics.splitlines() if re.match(rf"netmote_{name}[ {{]", line) and label in line]
    return sum(float(line.rpartition(" ")[2]) for line in values)


def _qualities(metrics: str) -> list[str]:
    return sorted(set(re.findall(r'netmote_windows_total\{.*quality="(\w+)"', metrics)))


def _quantile(metrics: str, quantile: float) -> float:
    """Upper bound of the bucket of the window latency that holds the quantile; 0 where no window closed."""
    buckets = re.findall(r'netmote_window_close_to_commit_seconds_bucket\{le="([^"]+)"\} (\S+)', metrics)
    counts = [(float(bound), float(count)) for bound, count in buckets]
    total = max((count for _, count in counts), default=0.0)
    return min((bound for bound, count in counts if count >= quantile * total), default=0.0) if total else 0.0


if __name__ == "__main__":
    raise SystemExit(main())

"""Live capture over a veth pair: loss, CPU per packet of the capture thread, and the ratio to softflowd on the same wire.

Run as root: python tests/bench/bench_live.py [--seconds S]. Two network namespaces; the generator (packet_generator.c, built with
gcc into a temporary directory) sends from the first processor, who captures runs on the last. Runs of netmote and of softflowd
alternate, and the median counts. CPU is what the scheduler gave the process between the first packet and the last (schedstat).
Packets sent must be packets received and dropped, exactly.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Self

sys.path.insert(0, str(Path(__file__).parent))
from generated_capture import write_capture

_FLOWS = 150_000
_PATIENCE = 30.0  # seconds a reader may take to be ready or to end
_NETMOTE = """
import json, os, signal, sys
from netmote.capture.ring import Ring
from netmote.metering.flow_meter import FlowMeter
os.sched_setaffinity(0, {int(sys.argv[3])})
meter = FlowMeter(source="capture:x", interface="x", max_flows=262_144, active_timeout_ns=300 * 10**9, idle_timeout_ns=30 * 10**9,
                  when_full="evict")
ring = Ring(sys.argv[1], ring_size=int(sys.argv[2]), promiscuous=True)
is_over = []
signal.signal(signal.SIGTERM, lambda *_: is_over.append(True))
print("ready", flush=True)
slices = 0
while True:
    was_over = bool(is_over)
    packets = ring.read(0.25)
    dropped = ring.take_dropped()
    if packets is not None:
        slices += sum(len(batch.slices) for batch in meter.meter(packets, dropped=dropped))
    elif was_over:
        break
slices += sum(len(batch.slices) for batch in meter.flush())
account = meter.accounting
assert account.received == account.metered + account.refused + sum(account.undecodable.values()), account
print(json.dumps({"received": account.received, "dropped": ring.packets_dropped, "flows": meter.flows_begun,
                  "walked": ring.records_walked}), flush=True)
"""


class _Wire:
    """A veth pair whose ends are in namespaces named like them; nothing but the generator sends on it."""

    def __init__(self) -> None:
        self.left, self.right = f"nmbl{os.getpid() % 100_000}", f"nmbr{os.getpid() % 100_000}"

    def __enter__(self) -> Self:
        for name in (self.left, self.right):
            _run("ip", "netns", "add", name)
        _run("ip", "link", "add", self.left, "netns", self.left, "type", "veth", "peer", "name", self.right, "netns", self.right)
        for name in (self.left, self.right):
            _run("ip", "netns", "exec", name, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
            _run("ip", "-n", name, "link", "set", "lo", "up")
            _run("ip", "-n", name, "link", "set", name, "arp", "off", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for name in (self.left, self.right):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE).stdout


def _cpu_ns(process: int) -> int:
    """Nanoseconds the process has run; both readers have one thread that works."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{process}/task").glob("*/schedstat"))


class _Netmote:
    name = "netmote"

    def __init__(self, wire: _Wire, processor: int, ring_size: int) -> None:
        command = ["ip", "netns", "exec", wire.right, sys.executable, "-c", _NETMOTE, wire.right, str(ring_size), str(processor)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the capture did not start")
        self.process_id = self._process.pid  # `ip netns exec` has become the interpreter

    def finish(self) -> dict[str, int]:
        """End it once the ring is empty; what it counted."""
        self._process.send_signal(signal.SIGTERM)
        said, _ = self._process.communicate(timeout=_PATIENCE)
        if self._process.returncode:
            raise RuntimeError(f"the capture ended with {self._process.returncode}")
        told: dict[str, int] = json.loads(said)
        return told

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class _Softflowd:
    name = "softflowd"

    def __init__(self, wire: _Wire, processor: int, folder: Path) -> None:
        self._control = folder / "softflowd.ctl"
        command = ["ip", "netns", "exec", wire.right, "taskset", "-c", str(processor), "softflowd", "-d", "-i", wire.right]
        command += ["-n", "127.0.0.1:9", "-v", "9", "-m", "300000", "-B", str(64 << 20), "-C", "96"]
        command += ["-c", str(self._control), "-p", str(folder / "softflowd.pid")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.process_id = self._process.pid
        end = time.monotonic() + _PATIENCE
        while not self._control.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("softflowd did not start")
            time.sleep(0.05)

    def finish(self) -> dict[str, int]:
        """End it; what libpcap counted."""
        said = _run("softflowctl", "-c", str(self._control), "statistics")
        self.kill()
        found = {"received": 0, "dropped": 0}
        for line in said.splitlines():
            words = line.replace(":", " ").split()
            for name, phrase in (("received", "Packets processed"), ("dropped", "Packets dropped by libpcap")):
                if line.startswith(phrase):
                    found[name] = int(next(word for word in words if word.isdigit()))
        return found

    def kill(self) -> None:
        self._process.terminate()
        self._process.wait()


@contextlib.contextmanager
def _ended(reader: _Netmote | _Softflowd) -> Iterator[_Netmote | _Softflowd]:
    try:
        yield reader
    finally:
        reader.kill()


def _measure(reader: _Netmote | _Softflowd, generate: list[str]) -> dict[str, float]:
    """Send, and say what was sent, received and dropped, and the CPU that took."""
    with _ended(reader):
        before = _cpu_ns(reader.process_id)
        sent, elapsed = _run(*generate).split()
        time.sleep(1.2)  # libpcap hands over its last block after a second
        spent = _cpu_ns(reader.process_id) - before
        told = reader.finish()
    return {
        "sent": int(sent),
        "per_second": int(sent) / float(elapsed),
        "received": told["received"],
        "dropped": told["dropped"],
        "ns": spent / max(1, told["received"]),
        "core": spent / 1e9 / float(elapsed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))
    if os.geteuid() or not shutil.which("gcc") or not shutil.which("ip"):
        print("not measured: needs root (network namespaces, AF_PACKET), gcc and ip")
        return
    if len(processors) < 2:
        print("not measured: needs two processors, one sends and one captures")
        return
    print(f"{platform.machine()}, {len(processors)} processors, load {os.getloadavg()[0]:.1f}; {_FLOWS:,} flows", flush=True)
    has_peer = shutil.which("softflowd") is not None
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name, _Wire() as wire:
        folder = Path(name)
        generator, capture = folder / "packet_generator", folder / "packets.pcap"
        _run("gcc", "-O2", "-o", str(generator), str(Path(__file__).parent / "packet_generator.c"))
        write_capture(capture, packets=1_000_000, flows=_FLOWS, seconds=20.0)
        for label, rate, ring_size in (("full rate", 0, 64 << 20), ("100 kpps", 100_000, 8_000_000)):
            generate = ["ip", "netns", "exec", wire.left, "taskset", "-c", str(processors[0]), str(generator), wire.left]
            generate += [str(capture), "20000000", str(rate), str(options.seconds)]
            if not rate:
                sent, elapsed = _run(*generate).split()
                print(
                    f"{'nobody captures':22}{int(sent) / float(elapsed):12,.0f} packets/s sent: what the generator can",
                    flush=True,
                )
            for _ in range(options.runs):
                results = [_measure(_Netmote(wire, processors[-1], ring_size), generate)]
                (ours,) = results
                assert ours["sent"] == ours["received"] + ours["dropped"], ours
                if has_peer:
                    results.append(_measure(_Softflowd(wire, processors[-1], folder), generate))
                for who, result in zip(("netmote", "softflowd"), results, strict=False):
                    found.setdefault(f"{who}, {label}", []).append(result)
    figures = {label: {key: median(result[key] for result in results) for key in results[0]} for label, results in found.items()}
    for label, result in figures.items():
        lost = 100 * (1 - result["received"] / result["sent"])
        print(
            f"{label:22}{result['per_second']:12,.0f} packets/s sent, {lost:7.3f} % not received,"
            f" {result['ns']:7.1f} ns CPU per packet, {100 * result['core']:5.1f} % of a core"
        )
    for label in ("full rate", "100 kpps"):
        if has_peer:
            ratio = figures[f"softflowd, {label}"]["ns"] / figures[f"netmote, {label}"]["ns"]
            print(f"softflowd / netmote, {label:10}{ratio:12,.2f}")
    print(json.dumps({label: {key: round(value, 3) for key, value in result.items()} for label, result in figures.items()}))


if __name__ == "__main__":
    main()

"""CPU per packet of reading and metering a capture, as ratios to named peers on the same file in the same run.

Run: python tests/bench/bench_metering.py [--packets N]. Every reader is a process of its own; CPU is user + system, interpreter start
included; the runs alternate, and the median counts. Slow peers read a shorter file of the same kind.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))
from generated_capture import write_capture

_NETMOTE = """
import sys
from netmote.capture.pcap_file import read_capture
from netmote.metering.flow_meter import FlowMeter
meter = FlowMeter(source="capture:x", interface="x", max_flows=262_144, active_timeout_ns=300 * 10**9, idle_timeout_ns=30 * 10**9,
                  when_full="evict")
slices = 0
for packets in read_capture(sys.argv[1]):
    slices += sum(len(batch.slices) for batch in meter.meter(packets))
slices += sum(len(batch.slices) for batch in meter.flush())
account = meter.accounting
assert account.received == account.metered, account
print(account.metered, meter.flows_begun, slices)
"""
_SCAPY = """
import sys
from collections import defaultdict
from scapy.all import IP, IPv6, TCP, UDP, PcapReader
flows = defaultdict(lambda: [0, 0])
count = 0
for packet in PcapReader(sys.argv[1]):
    network = packet.getlayer(IP) or packet.getlayer(IPv6)
    transport = packet.getlayer(TCP) or packet.getlayer(UDP)
    ends = sorted([(network.src, transport.sport), (network.dst, transport.dport)])
    flow = flows[(*ends[0], *ends[1], type(transport).__name__)]
    flow[0] += 1
    flow[1] += packet.wirelen
    count += 1
print(count, len(flows))
"""


def cpu_seconds(command: list[str]) -> tuple[float, str]:
    """User and system time of a command that must succeed, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, packets, flows in (
            ("many flows", options.packets, options.packets // 20),
            ("few flows", options.packets, 3000),
            ("short", 20_000, 1000),
        ):
            files[name] = (Path(folder) / f"{name.replace(' ', '-')}.pcap", packets)
            write_capture(files[name][0], packets=packets, flows=flows, seconds=20.0)
        python = [sys.executable, "-c"]
        readers = [("netmote", name, [*python, _NETMOTE, str(files[name][0])]) for name in ("many flows", "few flows")]
        readers.append(("scapy", "short", [*python, _SCAPY, str(files["short"][0])]))
        if shutil.which("softflowd"):
            for name in ("many flows", "few flows"):
                command = ["softflowd", "-r", str(files[name][0]), "-c", "none", "-m", "300000", "-n", "127.0.0.1:9", "-v", "9"]
                readers.append(("softflowd", name, command))
        spent: dict[tuple[str, str], list[float]] = {}
        for _ in range(options.runs):
            for reader, name, command in readers:
                seconds, said = cpu_seconds(command)
                spent.setdefault((reader, name), []).append(seconds / files[name][1] * 1e9)
                if reader == "netmote":
                    assert int(said.split()[0]) == files[name][1], said
        figures = {f"{reader}, {name}": round(median(values), 1) for (reader, name), values in spent.items()}
        for label, value in figures.items():
            print(f"{label:28} {value:12,.1f} ns CPU per packet")
        ours = figures["netmote, many flows"]
        print(f"scapy / netmote              {figures['scapy, short'] / ours:12,.0f}")
        for name in ("many flows", "few flows"):
            if f"softflowd, {name}" in figures:
                print(f"softflowd / netmote, {name:8}{figures[f'softflowd, {name}'] / figures[f'netmote, {name}']:11,.2f}")
        print(json.dumps(figures))


if __name__ == "__main__":
    main()

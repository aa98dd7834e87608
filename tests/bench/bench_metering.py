"""CPU per packet of reading and metering a capture, as ratios to named peers on the same file in the same run.

Run: python tests/bench/bench_metering.py [--packets N]. First what aggregation alone costs: packets decoded beforehand, 32,768 at a
time, into a table that holds their flows already; and what the table weighs. Then whole processes. Every reader is a process of its own; CPU is user + system, interpreter start
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
_AGGREGATION = """
import json, sys, time
from dataclasses import replace
from statistics import median
from netmote.capture.pcap_file import read_capture
from netmote.metering.flow_meter import FlowMeter
batch, second = 32_768, 10**9
blocks = [packets.between(start, start + batch) for packets in read_capture(sys.argv[1], chunk_bytes=batch * 112)
          for start in range(0, len(packets) - batch + 1, batch)]
count = sum(map(len, blocks))
meter = FlowMeter(source="capture:x", interface="x", max_flows=262_144, active_timeout_ns=10**6 * second,
                  idle_timeout_ns=10**6 * second, when_full="refuse", pane_ns=10**6 * second)
spent = []
for number in range(6):  # the first fills the table; each is later than the one before, so that time goes forward
    later = [replace(block, timestamp_ns=block.timestamp_ns + number * 25 * second) for block in blocks]
    before = time.process_time()
    for block in later:
        assert not meter.meter(block)
    spent.append((time.process_time() - before) / count * 1e9)
assert meter.accounting.metered == 6 * count
print(json.dumps({"ns": median(spent[1:]), "flows": meter.flows_held, "table": meter.memory_bytes / 262_144}))
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
    parser.add_argument("--packets", type=int, default=3_000_000)
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
        aggregation = {}
        for name in ("many flows", "few flows"):
            alone = json.loads(cpu_seconds([*python, _AGGREGATION, str(files[name][0])])[1])
            aggregation[f"aggregation, {name}"] = round(alone["ns"], 1)
            print(f"aggregation, {name:15} {alone['ns']:12,.1f} ns CPU per packet ({alone['flows']:,} flows)")
        print(f"table                        {alone['table'] / 10:12,.1f} MB per 100,000 flows", flush=True)
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
        print(json.dumps(aggregation | figures))


if __name__ == "__main__":
    main()

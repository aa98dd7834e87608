"""CPU per packet of reading and metering a capture, as ratios to named peers on the same file in the same run.

Run: python tests/bench/bench_metering.py [--packets N] [--runs N] [--peers DIRECTORY]. First what aggregation alone costs: packets
decoded beforehand, 32,768 at a time, into a table that holds their flows already; and what the table weighs. Then whole processes.
Every reader is a process of its own on the same processor; CPU is user + system, interpreter start included; the runs alternate, and
the least counts, because others on the machine only ever add. NFStream reads each file once; scapy reads the first packets of it.
Packets are kept to 96 bytes, as a sensor keeps them; the last file has them whole, where reading weighs more than metering.
The C loop must print netmote's very sums. Ends with an error where a packet or a sum is missing, not where a goal is missed.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import peers
from generated_capture import write_capture
from report import Row, machine, pin, print_table, say

_NETMOTE = """
import sys
from netmote.capture.pcap_file import read_capture
from netmote.metering.flow_meter import FlowMeter
meter = FlowMeter(source="capture:x", interface="x", max_flows=262_144, active_timeout_ns=300 * 10**9, idle_timeout_ns=30 * 10**9,
                  when_full="evict")
names = ("octets", "octet_sum_of_squares", "interarrival_sum_us", "interarrival_sum_of_squares", "retransmission_count")
count, sums = 0, [0] * len(names)
def take(batches):
    global count
    for batch in batches:
        count += len(batch.slices)
        for place, name in enumerate(names):
            sums[place] += sum(int(batch.slices[f"{end}_{name}"].sum(dtype="u8")) for end in ("initiator", "responder"))
for packets in read_capture(sys.argv[1]):
    take(meter.meter(packets))
take(meter.flush())
account = meter.accounting
assert account.received == account.metered, account
print(account.metered, meter.flows_begun, count, *(total % 2**64 for total in sums))
"""
_AGGREGATION = """
import sys, time
from dataclasses import replace
from statistics import median
import numpy as np
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
    # Streams go on too, or all of TCP would come again.
    later = [replace(block, timestamp_ns=block.timestamp_ns + number * 25 * second,
                     tcp_sequence=block.tcp_sequence + np.uint32(number << 28)) for block in blocks]
    before = time.process_time()
    for block in later:
        assert not meter.meter(block)
    spent.append((time.process_time() - before) / count * 1e9)
assert meter.accounting.metered == 6 * count
print(median(spent[1:]), meter.flows_held, meter.memory_bytes / 262_144)
"""
_SLICE = 20_000  # packets that scapy reads
_RECORD = 16 + 96
_MANY, _FEW, _WHOLE = "many flows", "3,000 flows", "many flows, whole packets"


def cpu_seconds(command: list[str]) -> tuple[float, str]:
    """User and system time of a command that must succeed, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, timeout=900)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, done.stdout.strip()


def _aggregation(files: dict[str, Path], c_loop: Path, runs: int) -> list[Row]:
    rows = []
    weight = 0.0
    for name, goal in ((_MANY, 75), (_FEW, 50)):
        alone, limit = [], []
        for _ in range(runs):
            nanoseconds, _, weight = map(float, cpu_seconds([sys.executable, "-c", _AGGREGATION, str(files[name])])[1].split())
            alone.append(nanoseconds)
            limit.append(float(cpu_seconds([str(c_loop), str(files[name]), "alone"])[1].split()[0]))
        beside = f"the C loop {min(limit):.1f} ns"
        flows = "150,000 flows" if name == _MANY else name
        rows.append(Row(f"aggregation alone, {flows}, CPU a packet", min(alone), "ns", at_most=goal, beside=beside))
    return [*rows, Row("flow table for 100,000 flows", weight / 10, "MB", at_most=22)]


def _whole(files: dict[str, Path], options: argparse.Namespace, folder: Path, c_loop: Path) -> dict[tuple[str, str], float]:
    """Least CPU in ns a packet by (reader, file)."""
    written = folder / "written"
    spent: dict[tuple[str, str], list[float]] = {}
    for turn in range(options.runs):
        for name in (_MANY, _FEW, _WHOLE):
            commands = {"netmote": [sys.executable, "-c", _NETMOTE, str(files[name])]}
            commands |= peers.offline(files[name], written, c_loop)
            said = {}
            for reader, command in commands.items():
                written.mkdir()
                seconds, said[reader] = cpu_seconds(command)
                shutil.rmtree(written)
                spent.setdefault((reader, name), []).append(seconds / options.packets * 1e9)
            if said["netmote"].split() != said["C loop"].split():
                raise SystemExit(f"netmote and the C loop differ: {said['netmote']} and {said['C loop']}")
            if int(said["netmote"].split()[0]) != options.packets:
                raise SystemExit(f"{options.packets} packets are in the file: {said['netmote']}")
        say(f"run {turn + 1} of {options.runs}")
    slow = [("scapy", peers.scapy(files["slice"]), _MANY, _SLICE)]
    python = peers.nfstream_python(options.peers)
    if python:
        slow += [("NFStream", peers.nfstream(python, files[name]), name, options.packets) for name in (_MANY, _FEW)]
    for reader, command, name, packets in slow:
        spent[reader, name] = [cpu_seconds(command)[0] / packets * 1e9]
    return {key: min(values) for key, values in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=3_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", default=os.environ.get("BENCH_PEERS"), help="directory of an environment for NFStream")
    options = parser.parse_args()
    pin()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        c_loop = peers.build("c_loop.c", folder)
        files = {_MANY: folder / "many.pcap", _FEW: folder / "few.pcap", "slice": folder / "slice.pcap"}
        write_capture(files[_MANY], packets=options.packets, flows=options.packets // 20, seconds=20.0)
        write_capture(files[_FEW], packets=options.packets, flows=3_000, seconds=20.0)
        files[_WHOLE] = folder / "whole.pcap"
        write_capture(files[_WHOLE], packets=options.packets, flows=options.packets // 20, seconds=20.0, is_whole=True)
        with files[_MANY].open("rb") as stream:
            files["slice"].write_bytes(stream.read(24 + _SLICE * _RECORD))
        rows = _aggregation(files, c_loop, options.runs)
        figures = _whole(files, options, folder, c_loop)
    for flows in (_MANY, _FEW, _WHOLE):
        ours = figures["netmote", flows]
        name = flows.replace("many flows", f"{options.packets // 20:,} flows")
        rows.append(Row(f"a file of {options.packets:,} packets, {name}, CPU a packet", ours, "ns"))
        goals = {"softflowd": 1.8, "NFStream": 14, "scapy": 400} if flows != _FEW else {"softflowd": 1.0}
        for (reader, file), theirs in figures.items():
            if file == flows and reader != "netmote":
                beside = f"{theirs:,.0f} ns"
                rows.append(Row(f"{reader} / netmote, {name}", theirs / ours, at_least=goals.get(reader), beside=beside))
    print_table(rows)


if __name__ == "__main__":
    main()

"""A SYN flood with random sources against a full flow table: packets a second, what became of each, and the memory that took.

Run: python tests/bench/bench_flood.py [--packets N] [--runs N]. Three million packets a pane, 95 in 100 of them SYNs. One processor; CPU (user + system) of reading and metering without the
start of the interpreter; the least of the runs counts. Ends with an error when a packet is unaccounted for (received = metered +
refused + undecodable = packets of the file), or when a connection that was there before the flood lost one of its packets.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from flood_capture import write_flood
from report import Row, machine, pin, print_table, say

_CONNECTIONS = 1_000
_METER = """
import json, sys, time
import numpy as np
from netmote.capture.pcap_file import read_capture
from netmote.metering.flow_meter import FlowMeter
from netmote.records.flow import FlowEndReason

def peak():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1e3

meter = FlowMeter(source="capture:x", interface="x", max_flows=int(sys.argv[2]), active_timeout_ns=300 * 10**9,
                  idle_timeout_ns=30 * 10**9, when_full=sys.argv[3])
connected = evicted = seen = fullest = 0
peaks = [0.0]  # at the end of each pane

def take(batches):
    global connected, evicted
    for batch in batches:
        peaks.append(peak())
        ours = batch.slices[batch.slices["destination_transport_port"] == 443]
        connected += int(ours["initiator_packets"].sum() + ours["responder_packets"].sum())
        evicted += int((ours["flow_end_reason"] == FlowEndReason.LACK_OF_RESOURCES).sum())

begin = time.process_time()
for packets in read_capture(sys.argv[1]):
    take(meter.meter(packets))
    seen += packets.received
    fullest = max(fullest, meter.flows_held)
spent = time.process_time() - begin
take(meter.flush())
account = meter.accounting
print(json.dumps({"ns": spent / seen * 1e9, "seen": seen, "received": account.received, "metered": account.metered,
                  "refused": account.refused, "undecodable": sum(account.undecodable.values()), "connected": connected,
                  "evicted": evicted, "flows_evicted": meter.flows_evicted, "fullest": fullest, "peaks": peaks}))
"""


def main() -> int:
    """Print the table; how many tables lost a packet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=6_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    pin()
    print(machine(), flush=True)
    kinds = [(size, policy) for size in (65_536, 262_144) for policy in ("refuse", "evict")]
    found: dict[tuple[int, str], list[dict]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as name:
        capture = Path(name) / "flood.pcap"
        connected = write_flood(capture, packets=options.packets, connections=_CONNECTIONS)
        total = options.packets + 2 * _CONNECTIONS
        for turn in range(options.runs):
            for size, policy in kinds:
                command = [sys.executable, "-c", _METER, str(capture), str(size), policy]
                done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
                found[size, policy].append(json.loads(done.stdout))
            say(f"run {turn + 1} of {options.runs}")
    rows, lossy = [], 0
    for (size, policy), runs in found.items():
        last, ns = runs[-1], min(run["ns"] for run in runs)
        told = last["metered"] + last["refused"] + last["undecodable"]
        is_whole = told == last["received"] == last["seen"] == total and last["connected"] == connected
        lossy += not is_whole
        what = f"{size:,} flows, {policy}"
        beside = f"{ns:.0f} ns; metered {last['metered']:,}, refused {last['refused']:,}, evicted {last['flows_evicted']:,} flows"
        rows.append(Row(f"{what}: million packets a second of a core", 1e3 / ns, at_least=1.5, beside=beside))
        rows.append(Row(f"{what}: packets unaccounted for", total - told, at_most=0))
        beside = f"of {_CONNECTIONS:,}, {last['evicted']} ended by the flood"
        rows.append(Row(f"{what}: packets lost of the connections", connected - last["connected"], at_most=0, beside=beside))
        *_, before, after = last["peaks"]  # of two panes that are alike
        beside = f"{after:.0f} MB, table at most {last['fullest']:,} flows"
        growth = 100 * (after / before - 1)
        rows.append(Row(f"{what}: growth of peak memory in the second pane", growth, "%", at_most=5, beside=beside))
    print_table(rows)
    return lossy


if __name__ == "__main__":
    raise SystemExit(main())

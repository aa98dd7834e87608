"""One hop of the traffic lane: 1,000 hosts with 100 slices each in the window, and the segment they share.

Limit: 20 ms of processor time for closing a window with every feature of all of them. "steady" hosts speak with 20 (address, port)
each; of "churning" ones every contact is new, so that the memories beyond the window evict in every pane.
"""

import statistics
import sys
import time

import numpy as np

from netmote.records.flow import FLOW_DTYPE, PANE_NS, CaptureLoss, FlowBatch
from netmote.windows.config import WindowsConfig
from netmote.windows.sliding import Windows

HOSTS, SLICES, PANES = 1_000, 100, 60
LIMIT_MS = 20.0
ORIGIN = 1_700_000_040_000_000_000
PORTS = np.array([80, 443, 53, 22, 8080], np.uint16)


def main() -> int:
    steady = _run("steady", is_steady=True)
    _run("churning", is_steady=False)
    return int(steady > LIMIT_MS)


def _run(name: str, *, is_steady: bool) -> float:
    random = np.random.default_rng(7)
    windows = Windows(WindowsConfig(max_hosts=HOSTS), sensor="bench")
    adds, closes = [], []
    for pane in range(PANES):
        batch = _pane(random, pane, is_steady=is_steady)
        began = time.process_time()
        windows.add(batch)
        added = time.process_time()
        closed = windows.advance()
        adds.append(added - began)
        if closed and pane > 24:
            closes.append(time.process_time() - added)
    add_ms, close_ms = statistics.median(adds) * 1e3, statistics.median(closes) * 1e3
    sizes = windows.sizes()
    print(
        f"  {name:9s} close {close_ms:5.1f} ms ({close_ms / LIMIT_MS:.1f} of the limit), {close_ms / (HOSTS + 1) * 1e3:4.1f} us an entity;"
        f" pane taken in {add_ms:4.1f} ms; {sizes['bytes'] / 1e6:.0f} MB, {sizes['peers']} peers, {sizes['contact_keys']} contacts"
    )
    return close_ms


def _pane(random: np.random.Generator, pane: int, *, is_steady: bool) -> FlowBatch:
    count = HOSTS * SLICES // 12
    start = ORIGIN + pane * PANE_NS
    slices = np.zeros(count, FLOW_DTYPE)
    host = random.integers(0, HOSTS, count)
    peer = (host * 7 + random.integers(0, 20, count) * 131) % 5_000 if is_steady else random.integers(0, 5_000, count)
    slices["flow_id"] = np.arange(pane * count, (pane + 1) * count)
    slices["flow_start_ns"] = start + random.integers(0, PANE_NS, count)
    slices["flow_end_ns"] = np.minimum(slices["flow_start_ns"] + random.integers(0, 10**9, count), start + PANE_NS - 1)
    slices["source_address"], slices["destination_address"] = _mapped((10 << 24) + host), _mapped((93 << 24) + peer)
    slices["source_transport_port"] = random.integers(1_024, 65_536, count)
    slices["destination_transport_port"] = PORTS[peer % 5] if is_steady else random.choice(PORTS, count)
    slices["protocol_identifier"] = random.choice([6, 17], count)
    slices["ip_version"] = 4
    for column in ("initiator_octets", "responder_octets"):
        slices[column] = random.integers(40, 10**6, count)
    slices["initiator_packets"], slices["responder_packets"] = random.integers(1, 100, count), random.integers(0, 100, count)
    return FlowBatch("capture:eth0", start, start + PANE_NS, "eth0", slices, CaptureLoss(received=count, metered=count))


def _mapped(addresses: np.ndarray) -> np.ndarray:
    """IPv4 numbers as IPv4-mapped 16-byte addresses."""
    octets = np.zeros((len(addresses), 16), np.uint8)
    octets[:, 10:12] = 255
    octets[:, 12:] = addresses.astype(">u4").view(np.uint8).reshape(-1, 4)
    return octets.view("V16").ravel()


if __name__ == "__main__":
    sys.exit(main())

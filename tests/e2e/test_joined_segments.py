"""A transfer whose segments the kernel joins: what the daemon stores is what was on the wire, and a replay of the tee says the same."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from processes import DaemonProcess, Network, run

from netmote.analysis.analysis import Analysis
from netmote.analysis.outcome import Outcome
from netmote.capture.pcap_file import read_capture
from netmote.daemon.config import Config
from netmote.records.flow import FlowBatch
from netmote.scoring.rules.rule_set import RuleSet
from netmote.windows.schemas import HOP_NS

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

PAYLOAD = 4_000_000
SERVER = """
import socket
listener = socket.create_server(("10.77.0.1", 5001))
print("ready", flush=True)
accepted, _ = listener.accept()
while accepted.recv(1 << 20):
    pass
"""
# tcpi_segs_out and tcpi_bytes_sent of linux/tcp.h: what TCP says it sent, retransmissions included.
CLIENT = f"""
import socket, struct, time
stream = socket.create_connection(("10.77.0.1", 5001), timeout=20)
stream.sendall(b"x" * {PAYLOAD})
stream.shutdown(socket.SHUT_WR)
assert stream.recv(1) == b""
time.sleep(0.1)
told = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
print(struct.unpack_from("I", told, 136)[0], struct.unpack_from("Q", told, 200)[0])
"""
DATAGRAM = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('10.77.0.1', 9))"


def test_what_is_stored_is_what_was_on_the_wire(network: Network, daemon: DaemonProcess, tmp_path: Path) -> None:
    """Every segment with its headers, to the octet, though a tenth as many packets were seen; windows of the replay are equal."""
    for prefix, link in ((network.in_sensor, "wire0"), (network.in_peer, "wire1")):
        for offload in ("tso", "gso", "gro"):
            run(*prefix("ethtool", "-K", link, offload, "on"))
    tee = tmp_path / "tee"
    daemon.prefix = network.in_sensor()
    daemon.config["capture"] = {"interfaces": ["wire0"], "tee_dir": str(tee)}
    daemon.start()
    with subprocess.Popen(network.in_sensor(sys.executable, "-c", SERVER), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        segments, payload = map(int, run(*network.in_peer(sys.executable, "-c", CLIENT)).stdout.split())
    # A packet beyond the end of a window: only windows that the capture outlasts can be compared.
    hop = HOP_NS / 1e9
    time.sleep(hop - time.time() % hop + 0.2)
    run(*network.in_peer(sys.executable, "-c", DATAGRAM))
    time.sleep(1)
    assert daemon.stop() == 0

    live = [batch for batch in daemon.stored_batches() if isinstance(batch, FlowBatch)]
    slices = np.concatenate([batch.slices for batch in live])
    transfer = slices[slices["destination_transport_port"] == 5001]
    # Each with 52 octets of headers; the SYN with 8 more, of its options.
    assert int(transfer["initiator_packets"].sum()) == segments >= PAYLOAD // 1448
    assert int(transfer["initiator_octets"].sum()) == segments * 52 + 8 + payload
    assert int(transfer["maximum_ip_total_length"].max()) == 1500
    received = sum(batch.loss.received for batch in live)
    assert received < segments

    (capture,) = tee.glob("*.pcapng")
    blocks = list(read_capture(capture))
    assert sum(len(block) for block in blocks) <= received
    assert sum(len(block.coalesced) for block in blocks) == sum(batch.loss.coalesced for batch in live) > 50
    answer = replay(daemon, capture)
    assert answer[-1]["summary"]["packets"] == received
    # Up to the pane of the last packet: how long the live run went on in silence after it, no capture can tell.
    last_ns = max(batch.end_ns for batch in live if batch.loss.received)
    analysis = Analysis(Config.model_validate(daemon.config), sensor="e2e", rules=RuleSet.load(["builtin"]), detectors=())
    outcome = Outcome.joined([*(analysis.observe(batch) for batch in live), analysis.finish()])
    windows = [window for window in outcome.vectors if window.schema.name == "traffic" and window.end_ns <= last_ns]
    replayed = [line for line in answer if line.get("hash") and line["window"] == "traffic" and line["end_ns"] <= last_ns]
    assert [window.hash for window in windows] == [line["hash"] for line in replayed]
    assert windows


def replay(daemon: DaemonProcess, capture: Path) -> list[dict]:
    answer = subprocess.run(
        [sys.executable, "-m", "netmote", "replay", str(capture), "--hashes", "--json", "--config", str(daemon.config_path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return [json.loads(line) for line in answer.stdout.splitlines()]

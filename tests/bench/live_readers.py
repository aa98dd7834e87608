"""The programs that read the wire in the live bench: each starts, says when it is ready, and tells at its end what it received."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

from wire import Wire, command_output

_PATIENCE = 30.0  # seconds a reader may take to be ready or to end
_BUFFER_MB = 64
_NETMOTE = """
import json, os, signal, sys
from netmote.capture.ring import Ring
from netmote.metering.flow_meter import FlowMeter
from netmote.daemon.memory import bound_heaps
bound_heaps(int(sys.argv[2]))
meter = FlowMeter(source="capture:x", interface="x", max_flows=262_144, active_timeout_ns=300 * 10**9, idle_timeout_ns=30 * 10**9,
                  when_full="evict")
ring = Ring(sys.argv[1], ring_size=int(sys.argv[2]), promiscuous=True)
is_over = []
signal.signal(signal.SIGTERM, lambda *_: is_over.append(True))
print("ready", flush=True)
while True:
    was_over = bool(is_over)
    packets = ring.read(0.25)
    dropped = ring.take_dropped()
    if packets is not None:
        meter.meter(packets, dropped=dropped)
    elif was_over:
        break
meter.flush()
account = meter.accounting
assert account.received == account.metered + account.refused + sum(account.undecodable.values()), account
print(json.dumps({"received": account.received, "dropped": ring.packets_dropped}), flush=True)
"""
_SCAPY = """
import json, signal, sys, threading
from collections import defaultdict
from scapy.all import IP, IPv6, TCP, UDP, AsyncSniffer
flows, seen, over = defaultdict(lambda: [0, 0]), [0], threading.Event()
def meter(packet):
    network = packet.getlayer(IP) or packet.getlayer(IPv6)
    transport = packet.getlayer(TCP) or packet.getlayer(UDP)
    ends = sorted([(network.src, transport.sport), (network.dst, transport.dport)])
    flow = flows[(*ends[0], *ends[1], type(transport).__name__)]
    flow[0] += 1
    flow[1] += packet.wirelen or len(packet)
    seen[0] += 1
signal.signal(signal.SIGTERM, lambda *_: over.set())
sniffer = AsyncSniffer(iface=sys.argv[1], store=False, prn=meter, started_callback=lambda: print("ready", flush=True))
sniffer.start()
over.wait()
sniffer.stop()
print(json.dumps({"received": seen[0], "dropped": 0}), flush=True)
"""
_NFSTREAM = """
import sys
from nfstream import NFStreamer
for flow in NFStreamer(source=sys.argv[1], n_dissections=0, statistical_analysis=True, n_meters=1, max_nflows=0, performance_report=1,
                       socket_buffer_size=64 << 20):
    pass
"""


class Reader:
    """A program on the right end of the wire, on one processor. `rate`: packets a second it can be offered, 0: all there are."""

    name: ClassVar[str]
    rate: ClassVar[int] = 0
    lags: ClassVar[bool] = False
    """What it says it received comes too late to be believed: all that it did not drop counts as received, in its favour."""

    def __init__(self, wire: Wire, processor: int, folder: Path) -> None:
        self.folder = folder
        self._said = (folder / "said").open("w+")
        command = [*wire.inside(wire.right), "taskset", "-c", str(processor), *self.command(wire.right)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._said, stderr=subprocess.STDOUT, cwd=folder
        )
        end = time.monotonic() + _PATIENCE
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.name} did not start: {self.said()}")
            time.sleep(0.05)

    def command(self, interface: str) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        return "ready" in self.said()

    def said(self) -> str:
        """All it has printed."""
        return (self.folder / "said").read_text()

    def finish(self) -> dict[str, int]:
        """End it; packets `received` and `dropped` as it says itself."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(_PATIENCE):
            raise RuntimeError(f"{self.name} failed: {self.said()}")
        told: dict[str, int] = json.loads(self.said().splitlines()[-1])
        return told

    def kill(self) -> None:
        """Whatever happens, it ends."""
        self.process.kill()
        self.process.wait()
        self._said.close()


class Netmote(Reader):
    """Ring and meter as the capture thread runs them, with the heap as the daemon bounds it."""

    name = "netmote"
    ring_size: ClassVar[int] = _BUFFER_MB << 20

    def command(self, interface: str) -> list[str]:
        return [sys.executable, "-c", _NETMOTE, interface, str(self.ring_size)]


class SmallNetmote(Netmote):
    """And with the ring that the configuration gives it."""

    rate = 100_000
    ring_size = 8_000_000


class Softflowd(Reader):
    """C, libpcap."""

    name = "softflowd"

    def command(self, interface: str) -> list[str]:
        names = ["-c", str(self.folder / "control"), "-p", str(self.folder / "pid")]
        buffers = ["-m", "300000", "-B", str(_BUFFER_MB << 20), "-C", "96"]
        return ["softflowd", "-d", "-i", interface, "-n", "127.0.0.1:9", "-v", "9", *buffers, *names]

    def is_ready(self) -> bool:
        return (self.folder / "control").exists()

    def finish(self) -> dict[str, int]:
        said = command_output("softflowctl", "-c", str(self.folder / "control"), "statistics")
        processed = re.search(r"Packets processed: (\d+)", said)
        dropped = re.search(r"Packets dropped by libpcap: +(\d+)", said)
        return {"received": int(processed[1]) if processed else 0, "dropped": int(dropped[1]) if dropped else 0}


class SlowSoftflowd(Softflowd):
    """At a rate both can take."""

    rate = 100_000


class Nfpcapd(Reader):
    """C, libpcap; of nfdump."""

    name = "nfpcapd"

    def command(self, interface: str) -> list[str]:
        flows = self.folder / "flows"
        flows.mkdir()
        return ["nfpcapd", "-i", interface, "-w", str(flows), "-b", str(_BUFFER_MB), "-s", "96", "-e", "300,30", "-t", "3600"]

    def is_ready(self) -> bool:
        return "tartup" in self.said()

    def finish(self) -> dict[str, int]:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(_PATIENCE)
        totals = re.findall(r"Processed: (\d+)", self.said())
        return {"received": int(totals[-1]) if totals else 0, "dropped": 0}


class Argus(Reader):
    """C, libpcap."""

    name = "argus"

    def command(self, interface: str) -> list[str]:
        return ["argus", "-X", "-i", interface, "-w", str(self.folder / "argus.out")]

    def is_ready(self) -> bool:
        time.sleep(1.0)  # it says nothing
        return True

    def finish(self) -> dict[str, int]:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(_PATIENCE)
        said = command_output("ra", "-n", "-r", str(self.folder / "argus.out"), "-s", "pkts")
        return {"received": sum(int(word) for word in said.split() if word.isdigit()), "dropped": 0}


class Scapy(Reader):
    """A dictionary of flows filled by scapy's sniffer."""

    name = "scapy"
    rate = 4_000

    def command(self, interface: str) -> list[str]:
        return [sys.executable, "-c", _SCAPY, interface]


class NFStream(Reader):
    """Python around a C engine; `python` is set to the interpreter of its environment. It tells of itself once a second."""

    name = "NFStream"
    rate = 100_000
    lags = True
    python: ClassVar[str | None] = None

    def command(self, interface: str) -> list[str]:
        assert self.python is not None
        return [self.python, "-c", _NFSTREAM, interface]

    def is_ready(self) -> bool:
        return "packets_processed" in self.said()

    def finish(self) -> dict[str, int]:
        time.sleep(2.0)
        dropped = re.findall(r"packets_dropped_filtered_by_kernel\D+(\d+)", self.said())
        return {"received": 0, "dropped": int(dropped[-1]) if dropped else 0}

    def kill(self) -> None:
        children = subprocess.run(
            ["pgrep", "-P", str(self.process.pid)], check=False, capture_output=True, text=True
        ).stdout.split()
        super().kill()
        for child in children:
            subprocess.run(["kill", "-9", child], check=False, capture_output=True)

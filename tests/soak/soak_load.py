"""A realistic load in namespaces of its own: packets over a veth pair, polled switches, now and then a scan, and a collector that comes and goes."""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
import peers
from generated_capture import write_capture
from processes import CollectorProcess, free_port
from soak_watch import within
from wire import Wire

FAKES = Path(__file__).resolve().parents[1] / "fakes"


@dataclass(frozen=True, slots=True)
class Profile:
    """How much, on what machine. The daemon always has one processor."""

    devices: int
    ports: int  # of each
    packets: int  # a second
    flows: int  # new ones a second
    hosts: int  # local addresses
    memory: int = 0  # bytes that the daemon may have, page cache included; 0: no limit


PROFILES = {
    "standard": Profile(devices=50, ports=24, packets=20_000, flows=500, hosts=200),
    "small": Profile(devices=20, ports=24, packets=5_000, flows=100, hosts=50, memory=10**9),  # a Raspberry-Pi-class box
}
# The capture is sent again and again; longer than any idle timeout, so that its flows begin anew.
_CAPTURE_SECONDS = 60
_SCAN_EVERY, _SCANNED_PORTS = 30.0, 300
_SINK_UP, _SINK_DOWN = 15.0, 10.0


@dataclass
class Load:
    """What is running. `sent` counts every packet put on the wire, once the load has ended."""

    profile: Profile
    wire: Wire
    folder: Path
    farm: "subprocess.Popen[bytes]"
    agent_port: int
    collector: CollectorProcess
    sent: int = 0
    outages: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _generator: "subprocess.Popen[str] | None" = None

    def begin(self, seconds: float, processor: int) -> None:
        """Send for so long, scan every half minute, and let the collector go and come."""
        command = [*self.wire.inside(self.wire.left), "taskset", "-c", str(processor), str(self.folder / "packet_generator")]
        command += [self.wire.left, str(self.folder / "packets.pcap"), "1000000000000", str(self.profile.packets), str(seconds)]
        self._generator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for work in (self._scan, self._flap):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        """Wait for the generator, end the rest; the collector is up afterwards."""
        assert self._generator is not None
        told, _ = self._generator.communicate(timeout=4_000)
        self.sent += int(told.split()[0])
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self.collector.process is None:
            self.collector.start()

    def close(self) -> None:
        self._over.set()
        if self._generator is not None and self._generator.poll() is None:
            self._generator.kill()
            self._generator.wait()
        for thread in self._threads:
            thread.join()
        self.farm.kill()
        self.farm.wait()
        self.collector.kill()

    def _scan(self) -> None:
        number = 0
        while not self._over.wait(_SCAN_EVERY if number else 5.0):
            number += 1
            frames = list(scan_frames(f"10.200.{number >> 8 & 255}.{number & 255}"))
            within(self.wire.left, lambda frames=frames: send_frames(self.wire.left, frames))
            self.sent += len(frames)

    def _flap(self) -> None:
        while not self._over.wait(_SINK_UP):
            self.collector.kill()
            self.outages += 1
            self._over.wait(_SINK_DOWN)
            self.collector.start()


@contextlib.contextmanager
def prepared(profile: Profile, folder: Path, seconds: float) -> Iterator[Load]:
    """Namespaces, switches, collector and capture file; nothing is sent yet."""
    with Wire(address="10.77.0.1/24") as wire:
        peers.build("packet_generator.c", folder)
        length = min(seconds, _CAPTURE_SECONDS)
        write_capture(
            folder / "packets.pcap",
            packets=round(profile.packets * length),
            flows=round(profile.flows * length),
            seconds=float(length),
            clients=profile.hosts,
        )
        inside, port = wire.inside(wire.right), free_port(socket.SOCK_DGRAM)
        command = [
            *inside,
            sys.executable,
            str(FAKES / "snmp_agent_farm.py"),
            str(profile.devices),
            str(port),
            str(profile.ports),
        ]
        farm = subprocess.Popen(command, stdout=subprocess.PIPE)
        collector = CollectorProcess(folder / "upstream.db", free_port(), inside)
        load = Load(profile, wire, folder, farm, port, collector)
        try:
            assert farm.stdout is not None
            assert farm.stdout.readline() == b"ready\n"
            collector.start()
            yield load
        finally:
            load.close()


def scan_frames(source: str, target: str = "10.77.0.1", ports: int = _SCANNED_PORTS) -> Iterator[bytes]:
    """A SYN to each of so many ports. Nobody computes the checksums of what a mirror port shows."""
    ethernet = bytes.fromhex("020000000002020000000001") + b"\x08\x00"
    for port in range(1, ports + 1):
        tcp = struct.pack(">HHIIBBHHH", 40_000, port, port, 0, 5 << 4, 0x02, 1024, 0, 0)  # RFC 9293 section 3.1
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40, port, 0, 64, 6, 0, socket.inet_aton(source), socket.inet_aton(target))
        yield (ethernet + head + tcp).ljust(60, b"\0")


def send_frames(interface: str, frames: list[bytes]) -> str:
    """Put frames on an interface of this thread's namespace."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind((interface, 0))
        for frame in frames:
            sender.send(frame)
    return ""


def is_possible() -> str:
    """Why the load cannot be made here; empty when it can."""
    if os.geteuid():
        return "needs root: network namespaces and AF_PACKET"
    missing = [tool for tool in ("ip", "gcc", "taskset") if shutil.which(tool) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""

"""A veth pair between two network namespaces of its own, and the generators that put packets on it."""

import os
import subprocess
from pathlib import Path
from typing import Self

_PATIENCE = 60.0


def command_output(*command: str, patience: float = _PATIENCE) -> str:
    """What a command printed that must succeed within `patience` seconds."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=patience, stdin=subprocess.DEVNULL).stdout


class Wire:
    """A veth pair whose ends are in namespaces named like them; nothing but the generator sends on it.

    `right` can be given an address, where something that looks for its own (the daemon) sits; frames are never for it.
    """

    def __init__(self, *, address: str | None = None) -> None:
        self.left, self.right = f"nmbl{os.getpid() % 100_000}", f"nmbr{os.getpid() % 100_000}"
        self._address = address

    def __enter__(self) -> Self:
        for name in (self.left, self.right):
            command_output("ip", "netns", "add", name)
        pair = ("ip", "link", "add", self.left, "netns", self.left, "type", "veth", "peer", "name", self.right)
        command_output(*pair, "netns", self.right)
        for name in (self.left, self.right):
            command_output(*self.inside(name), "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
            command_output("ip", "-n", name, "link", "set", "lo", "up")
            command_output("ip", "-n", name, "link", "set", name, "arp", "off", "up")
        if self._address:
            command_output("ip", "-n", self.right, "addr", "add", self._address, "dev", self.right)
        return self

    def __exit__(self, *_: object) -> None:
        for name in (self.left, self.right):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    @staticmethod
    def inside(name: str) -> list[str]:
        """The beginning of a command that runs in that end's namespace."""
        return ["ip", "netns", "exec", name]


class Sender:
    """A generator on one processor. `how`: "sendmmsg" out of the left end, or XDP frames, "receive" on the right end or "transmit" to it.

    Raises CalledProcessError from `send` where the kernel does not do that.
    """

    def __init__(self, wire: Wire, programs: Path, capture: Path, processor: int) -> None:
        self._wire = wire
        self._programs = programs
        self._capture = capture
        self._processor = processor

    def command(self, how: str, per_second: int, seconds: float) -> list[str]:
        """Prints packets sent and the seconds that took."""
        end = self._wire.right if how == "receive" else self._wire.left
        name = "packet_generator" if how == "sendmmsg" else "packet_generator_xdp"
        begin = [
            *self._wire.inside(end),
            "taskset",
            "-c",
            str(self._processor),
            str(self._programs / name),
            end,
            str(self._capture),
        ]
        if how == "sendmmsg":
            return [*begin, "1000000000", str(per_second), str(seconds)]
        return [*begin, str(per_second), str(seconds), how]

    def send(self, how: str, per_second: int, seconds: float) -> tuple[int, float]:
        """Packets sent and the seconds that took; rate 0: as fast as it goes."""
        sent, elapsed = command_output(*self.command(how, per_second, seconds), patience=seconds + _PATIENCE).split()
        return int(sent), float(elapsed)


def cpu_ns(process: int) -> int:
    """Nanoseconds that a process and its descendants have run, threads that ended not counted."""
    total = sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{process}/task").glob("*/schedstat"))
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        total += sum(cpu_ns(int(child)) for child in children.read_text().split())
    return total

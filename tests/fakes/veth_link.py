"""A veth pair within a network namespace of our own, which this thread, those it starts and their processes are in."""

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

_CLONE_NEWNET = 0x40000000
_ARP = bytes.fromhex("ffffffffffff020000000001080600010800060400010200000000010a4d0001000000000000") + bytes(22)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


class Link:
    """The pair is `wire0`, which is captured, and `wire1`, from which is sent."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def create(self) -> None:
        ip("-n", self.namespace, "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
        for name in ("wire0", "wire1"):
            self.set(name, "arp", "off", "up")

    def delete(self) -> None:
        ip("-n", self.namespace, "link", "del", "wire0")

    def set(self, *arguments: str) -> None:
        """Such as `wire0 down`, `wire0 name other0`."""
        ip("-n", self.namespace, "link", "set", *arguments)

    def send(self, count: int = 20) -> None:
        """ARP requests for a neighbour that nobody is."""
        self.send_frames([_ARP] * count)

    def send_frames(self, frames: Iterable[bytes]) -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
            sender.setsockopt(socket.SOL_SOCKET, 32, 64 << 20)  # SO_SNDBUFFORCE
            sender.bind(("wire1", 0))
            for frame in frames:
                sender.send(frame)


@contextlib.contextmanager
def link_of_our_own() -> Iterator[Link]:
    """Nothing is on the wire but what a test sends."""
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    namespace = f"nmdaemon{os.getpid() % 10_000}"
    ip("netns", "add", namespace)
    libc = ctypes.CDLL(None, use_errno=True)
    ours = Path("/proc/thread-self/ns/net").open("rb")  # noqa: SIM115 - closed below
    try:
        with Path(f"/run/netns/{namespace}").open("rb") as theirs:
            assert libc.setns(theirs.fileno(), _CLONE_NEWNET) == 0
        for scope in ("all", "default"):
            Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("1")
        yield Link(namespace)
    finally:
        assert libc.setns(ours.fileno(), _CLONE_NEWNET) == 0
        ours.close()
        ip("netns", "del", namespace)

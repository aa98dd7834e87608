"""A wire of one's own: two network namespaces with a veth pair between them."""

import contextlib
import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Sockets opened here belong to the namespace, and stay in it."""
    with Path("/proc/thread-self/ns/net").open("rb") as ours, Path(f"/run/netns/{namespace}").open("rb") as theirs:
        if _LIBC.setns(theirs.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            if _LIBC.setns(ours.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")


@dataclass
class Wire:
    """`left` and `right` are the ends, each in the namespace named like it."""

    left: str
    right: str

    def sender(self) -> socket.socket:
        """A raw socket on the left end."""
        with inside(self.left):
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sender.setsockopt(socket.SOL_SOCKET, 32, 64 << 20)  # SO_SNDBUFFORCE
            sender.bind((self.left, 0))
            return sender

    def inside_left(self) -> contextlib.AbstractContextManager[None]:
        return inside(self.left)

    def inside_right(self) -> contextlib.AbstractContextManager[None]:
        return inside(self.right)

    def ip_left(self, *arguments: str) -> None:
        _ip("-n", self.left, *arguments)

    def ip_right(self, *arguments: str) -> None:
        _ip("-n", self.right, *arguments)


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A veth pair that carries only what a test sends."""
    left, right = f"nmcapl{os.getpid() % 10000}", f"nmcapr{os.getpid() % 10000}"
    try:
        for name in (left, right):
            _ip("netns", "add", name)
        _ip("link", "add", left, "netns", left, "type", "veth", "peer", "name", right, "netns", right)
        for name in (left, right):
            with inside(name), contextlib.suppress(OSError):
                Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", name, "arp", "off", "up")
        yield Wire(left, right)
    finally:
        for name in (left, right):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=20)

"""A device that a router says it cannot reach, over a real router in network namespaces of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

_ASK = """
import asyncio, json, sys, time
from random import Random
from netmote.clock import SystemClock
from netmote.errors import NetmoteError
from netmote.snmp import mib
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Community
from netmote.snmp.native.native_session import NativeBackend

async def main(address):
    backend = NativeBackend(clock=SystemClock(), random=Random(1))
    session = await backend.open(TargetConfig(name="d", address=address, timeout=5.0), Community())
    began = time.monotonic()
    try:
        await session.get([mib.SYS_UP_TIME])
    except NetmoteError as error:
        print(json.dumps([type(error).__name__, str(error), time.monotonic() - began]))
    await backend.close()

asyncio.run(main(sys.argv[1]))
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A namespace whose default router knows no way to 198.51.100.0/24 and 2001:db8:1::/48."""
    ours, router = f"nmsnmp{os.getpid() % 100_000}", f"nmsnmpr{os.getpid() % 100_000}"
    try:
        for name in (ours, router):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", "up0", "netns", ours, "type", "veth", "peer", "name", "down0", "netns", router)
        for name, link, four, six in (
            (ours, "up0", "192.0.2.1/24", "2001:db8::1/64"),
            (router, "down0", "192.0.2.2/24", "2001:db8::2/64"),
        ):
            ip("-n", name, "address", "add", four, "dev", link)
            ip("-n", name, "address", "add", six, "dev", link, "nodad")
            ip("-n", name, "link", "set", link, "up")
        ip("-n", ours, "route", "add", "default", "via", "192.0.2.2")
        ip("-n", ours, "-6", "route", "add", "default", "via", "2001:db8::2")
        ip("-n", router, "route", "add", "unreachable", "198.51.100.0/24")
        ip("-n", router, "-6", "route", "add", "unreachable", "2001:db8:1::/48")
        forwarding = "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"
        ip("netns", "exec", router, "sh", "-c", forwarding)
        yield ours
    finally:
        for name in (ours, router):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.mark.root
@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8:1::7"])
def test_a_router_that_knows_no_way_ends_the_exchange_at_once(namespace: str, address: str) -> None:
    """ICMP from the way, not from the device: named long before the timeout."""
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", _ASK, address]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    name, message, seconds = json.loads(done.stdout)
    assert name == "NetworkUnreachable"
    assert address in message
    assert seconds < 3.0, "neighbour discovery may take one"

"""Looking for a host over a real network in namespaces of its own: with every permission and with none, hosts that are there and one that
is not.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.root

THERE, THERE_6, NOBODY = "192.0.2.2", "2001:db8::2", "192.0.2.9"
_LOOK = """
import asyncio, json, os, sys, time
from netmote.snmp.host_probe import HostProbe

async def main():
    if len(sys.argv) > 2:
        await HostProbe().look("127.0.0.1", 1)  # imports what nobody may not read
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    began = time.monotonic()
    sighting = await HostProbe().look(sys.argv[1], 161)
    print(json.dumps([*sighting, time.monotonic() - began]))

asyncio.run(main())
"""


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Network:
    """Us, and a host beside us."""

    def __init__(self, ours: str, host: str) -> None:
        self.ours, self.host = ours, host

    def look(self, address: str, *, unprivileged: bool = False) -> tuple[bool, str, float]:
        command = [
            "ip",
            "netns",
            "exec",
            self.ours,
            sys.executable,
            "-c",
            _LOOK,
            address,
            *(["unprivileged"] if unprivileged else []),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        is_there, how, seconds = json.loads(done.stdout)
        return is_there, how, seconds

    def set(self, where: str, sysctl: str, value: str) -> None:
        run("ip", "netns", "exec", where, "sh", "-c", f"echo {value} > /proc/sys/net/ipv4/{sysctl}")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    ours, host = f"nmsnmpp{os.getpid() % 100_000}", f"nmsnmph{os.getpid() % 100_000}"
    try:
        for name in (ours, host):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "link", "add", "up0", "netns", ours, "type", "veth", "peer", "name", "down0", "netns", host)
        for name, link, number in ((ours, "up0", 1), (host, "down0", 2)):
            run("ip", "-n", name, "address", "add", f"192.0.2.{number}/24", "dev", link)
            run("ip", "-n", name, "address", "add", f"2001:db8::{number}/64", "dev", link, "nodad")
            run("ip", "-n", name, "link", "set", link, "up")
        yield Network(ours, host)
    finally:
        for name in (ours, host):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.mark.parametrize("address", [THERE, THERE_6])
def test_a_host_is_seen_by_echo(network: Network, address: str) -> None:
    """With CAP_NET_RAW, whatever the range of groups."""
    network.set(network.ours, "ping_group_range", "1 0")
    sightings = []
    for _ in range(3):  # finding a neighbour on a link that came up a moment ago may take the second that is waited
        sightings.append(network.look(address))
        if sightings[-1][1] == "the host answers ICMP echo":
            break
    is_there, how, seconds = sightings[-1]
    assert (is_there, how) == (True, "the host answers ICMP echo"), sightings
    assert seconds < 1.0


def test_a_group_may_ping_where_the_range_says_so(network: Network) -> None:
    """As nobody, over a ping socket."""
    network.set(network.ours, "ping_group_range", "0 2147483647")
    assert network.look(THERE, unprivileged=True)[:2] == (True, "the host answers ICMP echo")
    assert network.look(THERE_6, unprivileged=True)[:2] == (True, "the host answers ICMP echo")


def test_without_any_permission_tcp_tells(network: Network) -> None:
    """As nobody, outside the range: a port that refuses is word enough, and what was not permitted is said."""
    network.set(network.ours, "ping_group_range", "1 0")
    words = "ICMP echo is not permitted here, and the host answers on TCP port 161"
    assert network.look(THERE, unprivileged=True)[:2] == (True, words)


def test_a_host_that_ignores_echo_is_seen_by_tcp(network: Network) -> None:
    """Many do, by their firewall."""
    network.set(network.host, "icmp_echo_ignore_all", "1")
    try:
        is_there, how, seconds = network.look(THERE)
    finally:
        network.set(network.host, "icmp_echo_ignore_all", "0")
    assert (is_there, how) == (True, "ICMP echo is not answered, and the host answers on TCP port 161")
    assert 1.0 <= seconds < 2.5


def test_where_nobody_is_nobody_is_seen(network: Network) -> None:
    """Neither way, a second each, and both are named."""
    is_there, how, seconds = network.look(NOBODY)
    assert not is_there
    assert how.startswith("ICMP echo is not answered")
    assert "nor is TCP port 161" in how
    assert seconds < 4.0

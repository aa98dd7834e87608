"""What a datagram socket tells beside datagrams: errors that come back, and what the kernel dropped."""

import errno
import select
import socket
from collections.abc import Iterator

import pytest
from snmp_agent_process import free_port

from netmote.snmp.native.udp_socket import UdpSocket

FAMILIES = {"IPv4": (socket.AF_INET, "127.0.0.1"), "IPv6": (socket.AF_INET6, "::1")}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> tuple[socket.AddressFamily, str]:
    return FAMILIES[request.param]


@pytest.fixture
def ours(family: tuple[socket.AddressFamily, str]) -> Iterator[UdpSocket]:
    opened = UdpSocket(family[0], receive_buffer_bytes=1 << 16)
    yield opened
    opened.close()


@pytest.fixture
def peer(family: tuple[socket.AddressFamily, str]) -> Iterator[socket.socket]:
    with socket.socket(family[0], socket.SOCK_DGRAM) as opened:
        opened.bind((family[1], 0))
        opened.settimeout(5)
        yield opened


def wait(ours: UdpSocket) -> None:
    poll = select.poll()
    poll.register(ours.fileno(), select.POLLIN)
    assert poll.poll(5_000)


def test_datagrams_go_there_and_back(ours: UdpSocket, peer: socket.socket, family: tuple[socket.AddressFamily, str]) -> None:
    """With the address as whoever asked names it; the longest datagram whole; None when nothing is there."""
    address = (family[1], peer.getsockname()[1], 0)
    assert ours.receive() is None
    ours.send(b"ping", address)
    _, source = peer.recvfrom(100)
    peer.sendto(b"x" * 60_000, source)
    wait(ours)
    assert ours.receive() == (b"x" * 60_000, address)
    assert ours.returned_error() is None


def test_an_error_comes_back_with_what_was_sent(ours: UdpSocket, family: tuple[socket.AddressFamily, str]) -> None:
    """Destination and quote say whose it is; reads and writes to others go on as if nothing were."""
    closed = (family[1], free_port(), 0)
    ours.send(b"to nobody", closed)
    wait(ours)
    assert ours.receive() is None
    assert ours.returned_error() == (closed, b"to nobody", errno.ECONNREFUSED)
    assert ours.returned_error() is None


def test_the_error_of_one_device_does_not_fail_what_is_sent_to_another(
    ours: UdpSocket, peer: socket.socket, family: tuple[socket.AddressFamily, str]
) -> None:
    """Linux reports a waiting error at the next call of any kind: that call is made again."""
    ours.send(b"to nobody", (family[1], free_port(), 0))
    wait(ours)
    ours.send(b"to somebody", (family[1], peer.getsockname()[1], 0))
    assert peer.recvfrom(100)[0] == b"to somebody"


def test_where_this_machine_cannot_send_is_an_error(ours: UdpSocket, family: tuple[socket.AddressFamily, str]) -> None:
    """A broadcast without leave to broadcast, IPv4 out of a socket of IPv6: at once."""
    nowhere = ("255.255.255.255", 161, 0) if family[0] == socket.AF_INET else ("::ffff:127.0.0.1", 161, 0)
    with pytest.raises(OSError, match=r"Permission denied|Invalid argument|unreachable"):
        ours.send(b"x", nowhere)


def test_what_the_kernel_drops_is_counted(ours: UdpSocket, peer: socket.socket, family: tuple[socket.AddressFamily, str]) -> None:
    """A full buffer loses datagrams of this socket; SO_MEMINFO counts exactly those."""
    ours.send(b"hello", (family[1], peer.getsockname()[1], 0))
    _, source = peer.recvfrom(100)
    sent = 400
    for _ in range(sent):
        peer.sendto(b"x" * 1_000, source)
    received = 0
    while ours.receive():
        received += 1
    assert 0 < received < sent
    assert received + ours.datagrams_dropped == sent

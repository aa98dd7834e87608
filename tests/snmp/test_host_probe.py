"""Whether a host is there, asked of hosts that are, of hosts that are not, and with less permission than root has."""

import asyncio
import errno
import socket
import struct
import time
from collections.abc import Callable

import pytest
from snmp_agent_process import free_port

from netmote.snmp.host_probe import HostProbe, echo_request, internet_checksum, is_echo_reply
from netmote.snmp.native.addresses import Addresses
from netmote.snmp.native.udp_socket import Address

NOWHERE = "192.0.2.1"  # TEST-NET-1 (RFC 5737)


def only(*kinds: int, error: int = errno.EPERM) -> Callable[[int, int, int], socket.socket]:
    """A machine that has sockets of these kinds only."""

    def opened(family: int, kind: int, protocol: int) -> socket.socket:
        if kind not in kinds:
            raise OSError(error, "not permitted")
        return socket.socket(family, kind, protocol)

    return opened


def may_echo() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    except PermissionError:
        return False
    return True


needs_icmp = pytest.mark.skipif(not may_echo(), reason="ICMP needs CAP_NET_RAW")


@needs_icmp
@pytest.mark.root
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
async def test_a_host_that_answers_echo_is_there(address: str) -> None:
    """Over IPv4, IPv6 and a name; TCP is not asked."""
    sighting = await HostProbe(open_socket=only(socket.SOCK_RAW)).look(address, free_port())
    assert sighting == (True, "the host answers ICMP echo")


@needs_icmp
@pytest.mark.root
async def test_echoes_side_by_side_do_not_take_each_others_answers() -> None:
    """Forty at once from one machine, each with its own token, and all sockets closed afterwards."""
    probe = HostProbe()
    async with asyncio.timeout(5):
        sightings = await asyncio.gather(*(probe.look("127.0.0.1", 1) for _ in range(40)))
    assert {sighting.how for sighting in sightings} == {"the host answers ICMP echo"}


async def test_without_permission_tcp_is_asked_and_that_is_said() -> None:
    """A port that refuses, and one that accepts."""
    probe = HostProbe(open_socket=only(socket.SOCK_STREAM))
    port = free_port()
    assert await probe.look("127.0.0.1", port) == (
        True,
        f"ICMP echo is not permitted here, and the host answers on TCP port {port}",
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert (await probe.look("127.0.0.1", port)).is_there


async def test_a_machine_without_icmp_at_all_says_so() -> None:
    """Other errors than missing permission are told as what they are."""
    probe = HostProbe(open_socket=only(socket.SOCK_STREAM, error=errno.EPROTONOSUPPORT))
    assert "ICMP echo cannot be asked here (Protocol not supported)" in (await probe.look("127.0.0.1", free_port())).how


async def test_a_host_that_is_not_there() -> None:
    """Neither way is answered, within twice the wait; both are named."""

    async def nowhere(host: str, port: int) -> list[tuple[socket.AddressFamily, Address]]:
        return [(socket.AF_INET, (host, port, 0))]

    class Deaf(socket.socket):
        """Sends to nobody: what a host that is not there is like, without a packet leaving this machine."""

        def connect(self, address: object) -> None:
            if self.type == socket.SOCK_STREAM:
                raise BlockingIOError(errno.EINPROGRESS, "in progress")

        def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
            return len(data)

        def getsockopt(self, *_: object) -> int:  # type: ignore[override]
            return errno.EHOSTUNREACH

    def deaf(family: int, kind: int, protocol: int) -> socket.socket:
        return Deaf(family, socket.SOCK_STREAM if kind == socket.SOCK_STREAM else socket.SOCK_DGRAM, 0)

    began = time.monotonic()
    sighting = await HostProbe(addresses=Addresses(nowhere), wait=0.1, open_socket=deaf).look(NOWHERE, 161)
    assert time.monotonic() - began < 1.0
    assert not sighting.is_there
    assert sighting.how.startswith("ICMP echo is not answered, nor is TCP port 161: ")


async def test_a_name_without_an_address_is_nowhere() -> None:
    """As the resolver says."""

    async def unknown(host: str, port: int) -> list[tuple[socket.AddressFamily, Address]]:
        raise OSError("no such host")

    assert await HostProbe(addresses=Addresses(unknown)).look("nobody", 161) == (False, "nobody has no address: no such host")


async def test_a_resolver_that_hangs_is_not_waited_for() -> None:
    """The device's next poll does not wait for it either."""

    async def hanging(host: str, port: int) -> list[tuple[socket.AddressFamily, Address]]:
        await asyncio.Event().wait()
        raise AssertionError

    sighting = await HostProbe(addresses=Addresses(hanging), wait=0.05).look("slow", 161)
    assert sighting == (False, "the resolver does not say in time where slow is")


async def test_no_more_than_so_many_at_once_and_cancellation_gives_room() -> None:
    """A thousand hosts that fall silent together are looked for a few at a time."""
    open_now, most, gate = 0, 0, asyncio.Event()

    async def lookup(host: str, port: int) -> list[tuple[socket.AddressFamily, Address]]:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        try:
            await gate.wait()
        finally:
            open_now -= 1
        return [(socket.AF_INET, ("127.0.0.1", port, 0))]

    probe = HostProbe(addresses=Addresses(lookup), open_socket=only(socket.SOCK_STREAM))
    tasks = [asyncio.ensure_future(probe.look("a", free_port())) for _ in range(50)]
    await asyncio.sleep(0.01)
    assert most == 32
    for task in tasks[:40]:
        task.cancel()
    gate.set()
    async with asyncio.timeout(3):
        assert all(sighting.is_there for sighting in await asyncio.gather(*tasks[40:]))


def test_echo_messages() -> None:
    """RFC 792 with the checksum of RFC 1071; a reply is known by its token, behind an IP header or without one."""
    token = bytes(range(16))
    asked = echo_request(socket.AF_INET, token)
    assert asked[:2] == b"\x08\x00"
    assert internet_checksum(asked) == 0, "the sum over all with the checksum is nothing"
    assert internet_checksum(b"\x00\x01\xf2\x03\xf4\xf5\xf6\xf7") == 0x220D  # the example of RFC 1071 section 3
    reply = struct.pack("!BBHHH", 0, 0, 0, 7, 1) + token
    assert is_echo_reply(socket.AF_INET, reply, token, has_ip_header=False)
    assert is_echo_reply(socket.AF_INET, b"\x46" + bytes(23) + reply, token, has_ip_header=True)
    for other in (asked, reply[:-1], reply + b"x", reply[:8] + bytes(16), b""):
        assert not is_echo_reply(socket.AF_INET, other, token, has_ip_header=False)
    assert not is_echo_reply(socket.AF_INET, b"", token, has_ip_header=True)
    assert echo_request(socket.AF_INET6, token)[:4] == b"\x80\x00\x00\x00"

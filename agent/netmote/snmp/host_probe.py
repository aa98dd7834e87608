"""Whether a host is there at all: one ICMP echo, and where that tells nothing, one TCP connection to the agent's port number.

    echo ─► reply ─────────► there
       └─► silence, or not permitted ─► TCP ─► opened or refused ─► there
                                           └─► silence ─► not there

A device that does not answer SNMP is asked so, so that "its agent is broken" is told from "nothing reaches it". A closed TCP port is
answered too (RFC 9293 section 3.5.2), and the agent's own number is one that a firewall on the way knows. Owns both questions and a bound
on them; one caller asks one at a time for each device. Refuses SNMP, schedules and what follows from the answer.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from netmote.snmp.native.addresses import Addresses
from netmote.snmp.session import AddressUnknown

WAIT_SECONDS: Final = 1.0  # for each of the two questions
AT_ONCE: Final = 32  # over all devices; the others wait
_TOKEN_OCTETS = 16
# Type of echo and of echo reply (RFC 792, RFC 4443).
_ECHO: Final = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
_PROTOCOL: Final = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
_LONGEST_REPLY = 2048
_IDENTIFIER = (
    0x6E6D  # a ping socket puts its own in; a raw one shares what it hears with everybody, and knows its own by the token
)


class Sighting(NamedTuple):
    """Whether the host is there, and how that is known, for people."""

    is_there: bool
    how: str


class Looks(Protocol):
    """What can look for a host."""

    async def look(self, address: str, port: int) -> Sighting: ...


class HostProbe:
    """Looks for hosts. Belongs to one loop; nothing stays open after `look`, cancelled or not."""

    def __init__(
        self,
        *,
        addresses: Addresses | None = None,
        wait: float = WAIT_SECONDS,
        random_octets: Callable[[int], bytes] = os.urandom,
        open_socket: Callable[[int, int, int], socket.socket] = socket.socket,
    ) -> None:
        """`open_socket` takes family, kind and protocol; it raises PermissionError for what is not permitted."""
        self._addresses, self._wait, self._random_octets = addresses or Addresses(), wait, random_octets
        self._open_socket = open_socket
        self._room = asyncio.Semaphore(AT_ONCE)

    async def look(self, address: str, port: int) -> Sighting:
        """Ask the host once by each way, at most `wait` seconds each. Never raises but on cancellation."""
        async with self._room:
            try:
                async with asyncio.timeout(self._wait):
                    family, (host, _, scope) = await self._addresses.find(address, port)
            except AddressUnknown as error:
                return Sighting(False, str(error))
            except TimeoutError:
                return Sighting(False, f"the resolver does not say in time where {address} is")
            echo = await self._echo(family, (host, 0, 0, scope) if family == socket.AF_INET6 else (host, 0))
            if echo == _ANSWERED:
                return Sighting(True, "the host answers ICMP echo")
            tcp = await self._connect(family, (host, port, 0, scope) if family == socket.AF_INET6 else (host, port))
            if tcp == _ANSWERED:
                return Sighting(True, f"{echo}, and the host answers on TCP port {port}")
            return Sighting(False, f"{echo}, nor is TCP port {port}: {tcp}")

    async def _echo(self, family: socket.AddressFamily, address: tuple[object, ...]) -> str:
        """What became of one echo."""
        opened = self._open_echo(family)
        if isinstance(opened, str):
            return opened
        asked, is_raw = opened
        with asked:
            token = self._random_octets(_TOKEN_OCTETS)
            try:
                asked.connect(address)  # so that only what concerns this host comes
                async with asyncio.timeout(self._wait):
                    loop = asyncio.get_running_loop()
                    await loop.sock_sendall(asked, echo_request(family, token))
                    while True:
                        heard = await loop.sock_recv(asked, _LONGEST_REPLY)
                        if is_echo_reply(family, heard, token, has_ip_header=is_raw and family == socket.AF_INET):
                            return _ANSWERED
            except TimeoutError:
                return "ICMP echo is not answered"
            except OSError as error:  # returned by a router, or by this machine's own routing
                return f"ICMP echo is not answered ({_reason(error)})"

    def _open_echo(self, family: socket.AddressFamily) -> tuple[socket.socket, bool] | str:
        """A socket for echoes and whether it is a raw one: unprivileged where net.ipv4.ping_group_range lets us, else with CAP_NET_RAW.
        Or why there is none.
        """
        why = ""
        for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                opened = self._open_socket(family, kind, _PROTOCOL[family])
            except PermissionError:
                why = why or "ICMP echo is not permitted here"
            except OSError as error:
                why = f"ICMP echo cannot be asked here ({_reason(error)})"
            else:
                opened.setblocking(False)
                return opened, kind == socket.SOCK_RAW
        return why

    async def _connect(self, family: socket.AddressFamily, address: tuple[object, ...]) -> str:
        """What became of one connection, which is closed again at once."""
        try:
            with self._open_socket(family, socket.SOCK_STREAM, 0) as asked:
                asked.setblocking(False)
                async with asyncio.timeout(self._wait):
                    await asyncio.get_running_loop().sock_connect(asked, address)
        except ConnectionRefusedError:
            return _ANSWERED
        except TimeoutError:
            return "no answer"
        except OSError as error:
            return _reason(error)
        return _ANSWERED


_ANSWERED: Final = "answered"


def echo_request(family: socket.AddressFamily, token: bytes) -> bytes:
    """One echo message (RFC 792, RFC 4443 section 4.1). Of ICMPv6 the kernel writes the checksum."""
    head = struct.pack("!BBHHH", _ECHO[family][0], 0, 0, _IDENTIFIER, 1)
    if family == socket.AF_INET6:
        return head + token
    return head[:2] + struct.pack("!H", internet_checksum(head + token)) + head[4:] + token


def is_echo_reply(family: socket.AddressFamily, heard: bytes, token: bytes, *, has_ip_header: bool) -> bool:
    """Whether this is the answer to the echo that carried `token`."""
    if has_ip_header:
        heard = heard[4 * (heard[0] & 0x0F) :] if heard else b""
    return heard[:1] == bytes([_ECHO[family][1]]) and heard[8:] == token


def internet_checksum(octets: bytes) -> int:
    """RFC 1071."""
    padded = octets + b"\0" * (len(octets) % 2)
    words: tuple[int, ...] = struct.unpack(f"!{len(padded) // 2}H", padded)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__

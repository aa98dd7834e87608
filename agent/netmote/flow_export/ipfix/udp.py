"""IPFIX over UDP (RFC 7011 section 10.3): messages at a steady pace, and an ear for a host that says nobody listens."""

import asyncio
import os
import socket
from typing import Any

from netmote.errors import Retryable
from netmote.flow_export.ipfix.transport import reason_of

# Linux: <linux/in.h>, <linux/in6.h>. No "don't fragment": a message longer than the path's MTU is better in pieces than refused.
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT = 10, 23, 0
_BURST = 32  # messages; at 1,400 octets half of what Linux grants a receiving socket by default
_ANSWER_SECONDS = 0.05


class UdpTransport:
    """A connected UDP socket. Connected, so that the kernel tells of ICMP "port unreachable" (udp(7))."""

    repeats_templates = True

    def __init__(self, host: str, port: int, *, messages_per_second: float) -> None:
        self._host, self._port = host, port
        self._messages_per_second = messages_per_second
        self._socket: socket.socket | None = None
        self._in_burst = 0

    async def open(self) -> None:
        """Look the name up (in a thread) and connect, which sends nothing."""
        await self.close()
        try:
            found = await asyncio.get_running_loop().getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
        except OSError as error:
            raise Retryable(f"{self._host}: {reason_of(error)}") from error
        refusal = OSError("no address")
        for family, kind, protocol, _, address in found:
            try:
                self._socket = _connected(family, kind, protocol, address)
            except OSError as error:
                refusal = error  # no way to this one; perhaps to the next
            else:
                return
        raise self._refused(refusal) from refusal

    async def send(self, message: bytes, *, has_templates: bool) -> None:
        """Send one datagram. After templates a moment is left for the refusal that a dead collector's host answers with.

        So a dead collector costs templates, not flows.
        """
        self.check()
        assert self._socket is not None
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, message)
        except OSError as error:
            raise self._refused(error) from error
        if has_templates:
            await asyncio.sleep(_ANSWER_SECONDS)
            self.check()
        self._in_burst += 1
        if self._in_burst >= _BURST:
            self._in_burst = 0
            await asyncio.sleep(_BURST / self._messages_per_second)

    def check(self) -> None:
        """Whether an earlier datagram was refused (SO_ERROR, socket(7))."""
        if self._socket is None:
            raise Retryable(f"{self._host}:{self._port} (udp): no socket")
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise self._refused(OSError(number, os.strerror(number)))

    async def close(self) -> None:
        """Close the socket."""
        made, self._socket = self._socket, None
        if made is not None:
            made.close()

    def _refused(self, error: OSError) -> Retryable:
        return Retryable(f"{self._host}:{self._port} (udp): {reason_of(error)}")


def _connected(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT)
        else:
            made.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)
        made.connect(address)
    except OSError:
        made.close()
        raise
    return made

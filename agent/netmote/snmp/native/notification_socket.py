"""The UDP port that notifications come to: bound where the configuration says, drained a bounded number of datagrams at a time.

Owns the socket and its errors in plain words. Refuses what is in a datagram.
"""

import errno
import ipaddress
import socket
from typing import Final

from netmote.errors import Unavailable
from netmote.snmp.native.receive_buffer import LONGEST_DATAGRAM, datagrams_dropped, enlarge

RECEIVE_BUFFER_BYTES: Final = 8 << 20  # some 16,000 small datagrams: what comes while the loop is busy elsewhere

Source = tuple[str, int] | tuple[str, int, int, int]


class NotificationSocket:
    """Non-blocking, for one address family, or both when bound to `::`. Raises Unavailable when the port cannot be had."""

    def __init__(self, address: str, port: int, *, receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES) -> None:
        is_ipv6 = ipaddress.ip_address(address).version == 6
        self._socket = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        self._buffer = memoryview(bytearray(LONGEST_DATAGRAM))
        try:
            self._socket.setblocking(False)
            enlarge(self._socket, receive_buffer_bytes)
            if is_ipv6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self._socket.bind((address, port))
        except OSError as error:
            self._socket.close()
            raise Unavailable(_explained(error, address, port)) from error

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> tuple[bytes, Source] | None:
        """The next datagram and its source; None when there is none now."""
        try:
            size, source = self._socket.recvfrom_into(self._buffer)
        except BlockingIOError:
            return None
        return bytes(self._buffer[:size]), source

    def send(self, datagram: bytes, source: Source) -> bool:
        """Whether it could be sent now."""
        try:
            self._socket.sendto(datagram, source)
        except OSError:  # no room, no route, or an ICMP error of an earlier one: who waits for it asks again
            return False
        return True

    @property
    def datagrams_dropped(self) -> int:
        """Datagrams that the kernel dropped because the buffer was full."""
        return datagrams_dropped(self._socket)

    def close(self) -> None:
        self._socket.close()


def host_of(source: Source) -> str:
    """The numeric address of a source, an IPv4 one in its own form also where IPv6 carries it."""
    return source[0].removeprefix("::ffff:") if "." in source[0] else source[0].partition("%")[0]


def _explained(error: OSError, address: str, port: int) -> str:
    if isinstance(error, PermissionError):
        return (
            f"SNMP notifications: UDP port {port} needs CAP_NET_BIND_SERVICE (ports below 1024 do). Give the service that "
            "capability, or set snmp.notifications.port to one above and let the firewall redirect 162 to it"
        )
    if error.errno == errno.EADDRINUSE:
        return f"SNMP notifications: UDP port {port} is in use on {address}: does snmptrapd run on this machine?"
    return f"SNMP notifications: cannot listen on {address} port {port}: {error}"

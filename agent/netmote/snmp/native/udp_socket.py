"""One unconnected UDP socket for all devices of an address family, as Linux has it (udp(7), ip(7), ipv6(7), socket(7)).

Owns what a datagram socket can tell beside datagrams: which of ours came back as ICMP errors (IP_RECVERR, whose queue names the
destination and quotes the datagram, so that an error reaches its own exchange and no other), and how many datagrams the kernel
dropped for want of buffer (SO_MEMINFO, which counts for this socket alone where /proc/net/snmp counts the machine).
"""

import errno
import socket
import struct
from typing import NamedTuple

from netmote.snmp.native.receive_buffer import LONGEST_DATAGRAM, datagrams_dropped, enlarge

Address = tuple[str, int, int]
"""Where a device is: numeric address, port, scope id (of link-local IPv6 addresses, else 0)."""

# Of linux/in.h, in6.h and socket.h; Python does not name them.
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_MSG_ERRQUEUE = 0x2000
_EXTENDED_ERROR = struct.Struct("=IBBBBII")  # struct sock_extended_err of linux/errqueue.h
_ANCILLARY_BYTES = 512
# An error of an earlier datagram may be reported by the next call of any kind (ip(7)): then the call is made again.
_TRIES = 4


class ReturnedError(NamedTuple):
    """An ICMP error, or one of this machine's own routing, for a datagram of ours."""

    address: Address
    quote: bytes  # the beginning of what was sent
    errno: int


class UdpSocket:
    """Bound to a port of the kernel's choosing on every address. Non-blocking."""

    def __init__(self, family: socket.AddressFamily, *, receive_buffer_bytes: int) -> None:
        self.family = family
        self._is_ipv6 = family == socket.AF_INET6
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._buffer = memoryview(bytearray(LONGEST_DATAGRAM))  # one for all: a new one each time costs more than the call
        try:
            self._socket.setblocking(False)
            enlarge(self._socket, receive_buffer_bytes)
            if self._is_ipv6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            self._socket.bind(("::" if self._is_ipv6 else "0.0.0.0", 0))  # noqa: S104 - a client's; every source is checked
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, datagram: bytes, address: Address) -> None:
        """Raises BlockingIOError when the send buffer is full, OSError when this machine cannot send there."""
        sockaddr = (address[0], address[1], 0, address[2]) if self._is_ipv6 else address[:2]
        for _ in range(_TRIES - 1):
            try:
                self._socket.sendto(datagram, sockaddr)
            except BlockingIOError:
                raise
            except OSError:
                continue
            else:
                return
        self._socket.sendto(datagram, sockaddr)

    def receive(self) -> tuple[bytes, Address] | None:
        """The next datagram and where it came from; None when there is none now."""
        for _ in range(_TRIES):
            try:
                size, source = self._socket.recvfrom_into(self._buffer)
            except BlockingIOError:
                return None
            except OSError:  # of an earlier datagram; the error queue has it
                continue
            return bytes(self._buffer[:size]), self._address(source)
        return None

    def returned_error(self) -> ReturnedError | None:
        """The next entry of the error queue; None when it is empty."""
        try:
            quote, ancillary, _, source = self._socket.recvmsg(LONGEST_DATAGRAM, _ANCILLARY_BYTES, _MSG_ERRQUEUE)
        except BlockingIOError:
            return None
        for level, kind, data in ancillary:
            if (level, kind) in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)):
                number = _EXTENDED_ERROR.unpack_from(data)[0]
                return ReturnedError(self._address(source), quote, number)
        return ReturnedError(self._address(source), quote, errno.EHOSTUNREACH)

    def _address(self, sockaddr: tuple[str, int] | tuple[str, int, int, int]) -> Address:
        return (sockaddr[0], sockaddr[1], sockaddr[3] if len(sockaddr) > 2 else 0)

    @property
    def datagrams_dropped(self) -> int:
        """Datagrams that the kernel dropped because this socket's buffer was full."""
        return datagrams_dropped(self._socket)

    def close(self) -> None:
        self._socket.close()

"""What a datagram socket does with what it cannot hold (socket(7)): a large buffer, and the count of what was dropped nevertheless."""

import errno
import socket
import struct
from typing import Final

LONGEST_DATAGRAM: Final = 65_535

# Of asm-generic/socket.h; Python does not name them.
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")  # linux/sock_diag.h: SK_MEMINFO_VARS
_MEMINFO_DROPS = 8


def enlarge(udp_socket: socket.socket, size: int) -> None:
    """Ask for `size` octets of receive buffer: beyond net.core.rmem_max with CAP_NET_ADMIN, else up to it."""
    try:
        udp_socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except PermissionError:
        udp_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def datagrams_dropped(udp_socket: socket.socket) -> int:
    """Datagrams that the kernel dropped because this socket's buffer was full; 0 where the kernel does not say (before 4.12)."""
    try:
        numbers = udp_socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
        return 0
    return int(_MEMINFO.unpack(numbers)[_MEMINFO_DROPS])

"""Whether an interface can carry packets now: there, up, and with a carrier (netdevice(7): IFF_UP, IFF_RUNNING).

A packet socket of an interface that is down, or was renamed, says nothing: no packets then would look like a silent wire.
"""

import fcntl
import os
import socket
import struct

from netmote.capture.ring import InterfaceGone

_SIOCGIFFLAGS = 0x8913
_UP, _RUNNING = 0x1, 0x40


class LinkState:
    """Looks at one interface by its name, in the network namespace of the thread that makes it."""

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def is_up(self) -> bool:
        """Raises InterfaceGone where there is no interface of this name."""
        request = struct.pack("40s", os.fsencode(self.interface))
        try:
            answer = fcntl.ioctl(self._socket.fileno(), _SIOCGIFFLAGS, request)
        except OSError as error:
            raise InterfaceGone(f"there is no interface {self.interface}") from error
        flags: int = struct.unpack_from("H", answer, 16)[0]
        return flags & (_UP | _RUNNING) == (_UP | _RUNNING)

    def close(self) -> None:
        """Safe twice."""
        self._socket.close()

"""Where devices are: names resolved off the loop each time a session is opened, so that a device that moved is found again.

Of a name's several addresses the first is taken, in the order of the system's resolver (RFC 6724), until a session with it ends without
ever having heard anything: then the next one's turn comes.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from netmote.snmp.native.udp_socket import Address
from netmote.snmp.session import AddressUnknown

Found = Sequence[tuple[socket.AddressFamily, Address]]
MOST_TURNS: Final = 4_096  # names remembered; the oldest begins with its first address again


class Addresses:
    """Remembers whose turn it is."""

    def __init__(self, lookup: Callable[[str, int], Awaitable[Found]] | None = None) -> None:
        """`lookup` gives the addresses of a name, best first, and raises OSError when it has none; the system's unless given."""
        self._lookup = lookup or _system_lookup
        self._turns: dict[tuple[str, int], int] = {}

    async def find(self, host: str, port: int) -> tuple[socket.AddressFamily, Address]:
        """The address to try now. Raises AddressUnknown."""
        try:
            found = await self._lookup(host, port)
        except OSError as error:
            raise AddressUnknown(f"{host} has no address: {error}") from error
        return found[self._turns.get((host, port), 0) % len(found)]

    def was_silent(self, host: str, port: int) -> None:
        """A session with what `find` gave ended without having heard anything."""
        turn = self._turns.pop((host, port), 0)
        if len(self._turns) >= MOST_TURNS:
            del self._turns[next(iter(self._turns))]
        self._turns[host, port] = turn + 1


async def _system_lookup(host: str, port: int) -> Found:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return [
        (family, (str(sockaddr[0]), int(sockaddr[1]), int(sockaddr[3]) if len(sockaddr) > 2 else 0))
        for family, _, _, _, sockaddr in found
    ]

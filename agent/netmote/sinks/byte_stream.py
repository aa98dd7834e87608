"""One TCP or TLS connection of a sink that has a protocol of its own. Knows nothing of what it carries."""

import asyncio
import contextlib
import fcntl
import ssl
import struct
import termios
from typing import Self

from netmote.sinks.destination import Destination

_POLL_SECONDS = 0.005
_READ_BYTES = 65_536


class ByteStream:
    """Bytes to a receiver and back. Every call raises OSError when the connection is broken."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, where: Destination, context: ssl.SSLContext | None) -> Self:
        """Connect, with TLS when there is a context: the receiver is then known by its name."""
        name = where.host if context is not None else None
        return cls(*await asyncio.open_connection(where.host, where.port, ssl=context, server_hostname=name))

    @property
    def is_usable(self) -> bool:
        """Whether the receiver has not ended the connection, as far as this machine has heard."""
        return not (self._reader.at_eof() or self._writer.is_closing() or self._reader.exception())

    async def write(self, data: bytes) -> None:
        """Hand over bytes; waits while too much is under way."""
        if not self.is_usable:
            raise ConnectionResetError("the receiver has ended the connection")
        self._writer.write(data)
        await self._writer.drain()

    async def read(self) -> bytes:
        """Some bytes, as soon as there are any."""
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise ConnectionResetError("the receiver has ended the connection")
        return data

    async def wait_taken(self) -> None:
        """Until the receiver's machine has acknowledged every byte (tcp(7), SIOCOUTQ). That is its kernel, not its program."""
        empty = 0
        while empty < 2:  # twice: what asyncio still held went to the kernel between the two
            await asyncio.sleep(_POLL_SECONDS)
            if not self.is_usable:
                raise ConnectionResetError("the receiver has ended the connection")
            empty = 0 if self._under_way() else empty + 1

    def abort(self) -> None:
        """End the connection at once; what was not taken is lost."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """End the connection in order; within the caller's time-out."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def _under_way(self) -> int:
        if self._writer.transport.get_write_buffer_size():
            return 1
        descriptor = self._writer.get_extra_info("socket").fileno()
        answer = fcntl.ioctl(descriptor, termios.TIOCOUTQ, struct.pack("i", 0))
        return int(struct.unpack("i", answer)[0])

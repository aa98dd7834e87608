"""Lines into a Unix socket that somebody else listens on: Suricata's `unix_stream` and `unix_dgram`. Blocking.

Spares an SD card the file. A datagram is a line, as Suricata sends it, and none is sent twice. A stream that breaks inside a block is
given the block again on the next connection: the reader of the first may have seen some of its lines.
"""

import socket
from pathlib import Path
from typing import Literal

# A reader that takes nothing for this long is gone.
_STALL_SECONDS = 1.0


class LineSocket:
    """Raises OSError when nobody listens or the listener has gone; the block is then to be written again."""

    def __init__(self, path: Path, kind: Literal["unix_stream", "unix_dgram"]) -> None:
        self.path = path
        self._kind = socket.SOCK_STREAM if kind == "unix_stream" else socket.SOCK_DGRAM
        self._socket: socket.socket | None = None
        self._block: bytes | None = None
        self._lines_sent = 0  # of this block, in datagrams

    def open(self) -> None:
        """Connect."""
        if self._socket is not None:
            return
        made = socket.socket(socket.AF_UNIX, self._kind | socket.SOCK_CLOEXEC)
        made.settimeout(_STALL_SECONDS)
        try:
            made.connect(str(self.path))
        except OSError:
            made.close()
            raise
        self._socket = made

    def write(self, block: bytes) -> None:
        """Send a block of whole lines."""
        self.open()
        assert self._socket is not None
        try:
            if self._kind == socket.SOCK_STREAM:
                self._socket.sendall(block)
            else:
                self._send_lines(self._socket, block)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket."""
        made, self._socket = self._socket, None
        if made is not None:
            made.close()

    def _send_lines(self, made: socket.socket, block: bytes) -> None:
        if block is not self._block:
            self._block, self._lines_sent = block, 0
        for line in block.splitlines(keepends=True)[self._lines_sent :]:
            made.send(line)
            self._lines_sent += 1
        self._block = None

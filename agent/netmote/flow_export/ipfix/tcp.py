"""IPFIX over TCP (RFC 7011 section 10.4) and TLS (section 11): one connection, each message handed to the kernel before the next."""

import asyncio
import select
import socket
import ssl
from pathlib import Path

from netmote.errors import Retryable
from netmote.flow_export.ipfix.transport import reason_of

_CONNECT_SECONDS = 10.0
# A collector that takes nothing for this long, or acknowledges nothing (tcp(7), TCP_USER_TIMEOUT), is gone.
_STALL_SECONDS = 30.0
_CLOSE_SECONDS = 1.0
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class TcpTransport:
    """A connection to one collector. With `tls`, encrypted and authenticated."""

    repeats_templates = False

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: bool = False,
        ca_file: Path | None = None,
        client_certificate: Path | None = None,
        client_key: Path | None = None,
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._ca_file, self._client_certificate, self._client_key = ca_file, client_certificate, client_key
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        """Read certificates and look the name up (in threads), then connect."""
        await self.close()
        context = await asyncio.to_thread(self._context) if self._tls else None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port, ssl=context)
        except TimeoutError as error:
            raise Retryable(f"{self._where} has not answered within {_CONNECT_SECONDS:g} s") from error
        except OSError as error:  # ssl.SSLError is one
            raise Retryable(f"{self._where}: {reason_of(error)}") from error
        made = self._writer.get_extra_info("socket")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(_STALL_SECONDS * 1000))
        # `drain` then waits until nothing is left in this process: what was sent is the kernel's. (With high=0 a TLS transport
        # pauses even while its buffer is empty.)
        self._writer.transport.set_write_buffer_limits(high=1, low=0)

    async def send(self, message: bytes, *, has_templates: bool) -> None:  # noqa: ARG002 (TCP loses none)
        """Hand one message to the kernel."""
        self.check()  # what is written after the collector's end is lost
        assert self._writer is not None
        try:
            self._writer.write(message)
            async with asyncio.timeout(_STALL_SECONDS):
                await self._writer.drain()
        except TimeoutError as error:
            raise Retryable(f"{self._where} has taken nothing for {_STALL_SECONDS:g} s") from error
        except OSError as error:
            raise Retryable(f"{self._where}: {reason_of(error)}") from error

    def check(self) -> None:
        """A collector never speaks, so the end of its stream is its end; the kernel may know of it before the event loop does."""
        if self._reader is None or self._writer is None:
            raise Retryable(f"{self._where}: no connection")
        if self._reader.at_eof() or self._writer.transport.is_closing() or self._is_gone(self._writer):
            raise Retryable(f"{self._where} has closed the connection")

    async def close(self) -> None:
        """Close the connection; what the kernel has still goes out."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is None:
            return
        writer.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await writer.wait_closed()
        except (OSError, TimeoutError):
            writer.transport.abort()  # it was dead before

    @staticmethod
    def _is_gone(writer: asyncio.StreamWriter) -> bool:
        poll = select.poll()
        poll.register(writer.get_extra_info("socket").fileno(), _GONE)
        return any(events & _GONE for _, events in poll.poll(0))

    @property
    def _where(self) -> str:
        return f"{self._host}:{self._port} ({'tls' if self._tls else 'tcp'})"

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
            if self._client_certificate is not None:
                # A password callback, because OpenSSL would otherwise ask the terminal for the passphrase of an encrypted key.
                context.load_cert_chain(self._client_certificate, self._client_key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise Retryable(f"certificates for {self._where} cannot be used: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

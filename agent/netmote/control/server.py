"""The daemon's end of the control socket: peer credentials, a bound on everything, one command a line.

A command of `streams` is answered with `{"ok": true}` and then with lines until the peer says anything more or hangs up; a peer that
takes nothing in for `idle_seconds` is hung up on.
"""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Protocol

from netmote.control.protocol import MAX_REQUEST_BYTES, decode, encode
from netmote.errors import NetmoteError

log = logging.getLogger(__name__)

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Lines(Protocol):
    """Blocks of whole lines as they come; `aclose` is called once, also before the first."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


StreamHandler = Callable[[dict[str, Any]], Lines]
"""Raises NetmoteError, ValueError or KeyError at the call, not later, when it refuses."""

MAX_CONNECTIONS = 16
IDLE_SECONDS = 30.0
_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


class ControlServer:
    """Serves `handlers` on a Unix socket that only this user and root may use."""

    def __init__(
        self,
        path: Path,
        handlers: Mapping[str, Handler],
        *,
        streams: Mapping[str, StreamHandler] | None = None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """`idle_seconds` bounds how long a peer may take to ask, and to take in an answer."""
        self._path, self._handlers, self._idle_seconds = path, dict(handlers), idle_seconds
        self._streams = dict(streams or {})
        self._server: asyncio.Server | None = None
        self._peers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Listen. A socket left by a killed daemon is replaced: the store's lock says that no other daemon lives.

        Raises OSError, also for a path that is too long for a socket (unix(7)).
        """
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path=self._path, limit=MAX_REQUEST_BYTES)
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Stop listening and hang up. Safe without open, safe twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self._path.unlink(missing_ok=True)
        for writer in tuple(self._peers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peers.add(writer)
        try:
            if len(self._peers) > MAX_CONNECTIONS:
                await self._send(writer, {"ok": False, "error": f"more than {MAX_CONNECTIONS} connections"})
            elif not _may_command(writer):
                await self._send(writer, {"ok": False, "error": "only root and the daemon's own user may use this socket"})
            else:
                await self._answer_all(reader, writer)
        except (ConnectionError, TimeoutError):
            return
        finally:
            self._peers.discard(writer)
            writer.close()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(self._idle_seconds):
                    line = await reader.readline()
            except ValueError:
                await self._send(writer, {"ok": False, "error": f"a request is at most {MAX_REQUEST_BYTES} bytes"})
                return
            if not line.endswith(b"\n"):
                return  # hung up; half a request is none
            answer = await self._answer(line)
            if not isinstance(answer, dict):
                await self._stream(answer, reader, writer)
                return
            await self._send(writer, answer)

    async def _stream(self, lines: Lines, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with aclosing(lines), asyncio.TaskGroup() as group:
            pumping = group.create_task(self._pump(lines, writer))
            # Whatever the peer says now, or that it hangs up, ends the stream.
            ending = group.create_task(_wait_word(reader))
            await asyncio.wait((pumping, ending), return_when=asyncio.FIRST_COMPLETED)
            pumping.cancel()
            ending.cancel()
        writer.transport.abort()  # nobody waits for what a slow peer has not taken in

    async def _pump(self, lines: Lines, writer: asyncio.StreamWriter) -> None:
        try:
            await self._send(writer, {"ok": True})
            async for block in lines:
                writer.write(block)
                async with asyncio.timeout(self._idle_seconds):
                    await writer.drain()
        except (ConnectionError, TimeoutError):
            return

    async def _send(self, writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        # A snapshot of many ports takes milliseconds to encode: not on the loop.
        writer.write(await asyncio.to_thread(encode, message))
        async with asyncio.timeout(self._idle_seconds):
            await writer.drain()

    async def _answer(self, line: bytes) -> dict[str, Any] | Lines:
        try:
            request = decode(line)
        except (ValueError, RecursionError) as error:
            return {"ok": False, "error": f"not understood: {error}"}
        command = str(request.get("command"))
        try:
            if command in self._streams:
                return self._streams[command](request)
            if command in self._handlers:
                return {"ok": True, **await self._handlers[command](request)}
            known = ", ".join((*self._handlers, *self._streams))
            return {"ok": False, "error": f"unknown command {request.get('command')!r}; known: {known}"}
        except (NetmoteError, ValueError, KeyError) as error:
            text = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
            return {"ok": False, "error": text}
        except Exception as error:
            log.exception("command failed", extra={"component": "control", "command": request.get("command")})
            return {"ok": False, "error": f"a bug of the daemon, see its log: {type(error).__name__}: {error}"}


async def _wait_word(reader: asyncio.StreamReader) -> None:
    """Until the peer says anything or hangs up."""
    with suppress(ConnectionError):
        await reader.read(1)


def _may_command(writer: asyncio.StreamWriter) -> bool:
    peer: socket.socket = writer.get_extra_info("socket")
    _, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return uid in (0, os.geteuid())

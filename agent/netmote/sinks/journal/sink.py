"""The journal sink: native entries under systemd, lines on standard output elsewhere. Never blocks the event loop.

The journal takes datagrams, one an entry; a full socket is waited for, then it is `Retryable`. Standard output may be a pipe
whose reader is slow: it is written in pieces that are known to fit, so that no thread and no loop ever hangs on it.
"""

import asyncio
import os
import select
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from logging_journald import JournaldTransport

from netmote.alerts.alert import Committed
from netmote.errors import Retryable
from netmote.sinks.journal.config import JournalConfig
from netmote.sinks.journal.entry import heartbeat_fields, journal_fields, json_line, text_line
from netmote.telemetry.heartbeat import Heartbeat
from netmote.telemetry.journal_stream import leads_to_journal

_STANDARD_OUTPUT, _STANDARD_ERROR = 1, 2
_POLL_SECONDS = 0.02


class JournalSink:
    """Writes alerts where the operator of this machine looks. See `netmote.sinks.sink.Sink` for its life."""

    def __init__(
        self,
        config: JournalConfig,
        *,
        environ: Mapping[str, str] = os.environ,
        socket_path: Path = JournaldTransport.SOCKET_PATH,
        descriptor: int = _STANDARD_OUTPUT,
    ) -> None:
        self.name = config.name
        self._config = config
        self._socket_path = socket_path
        self._descriptor = descriptor
        self._is_native = config.format == "auto" and any(
            leads_to_journal(fd, environ.get("JOURNAL_STREAM", "")) for fd in (descriptor, _STANDARD_ERROR)
        )
        is_text = config.format == "text" or (config.format == "auto" and os.isatty(descriptor))
        self._line: Callable[[Committed], str] = text_line if is_text else json_line
        self._transport: JournaldTransport | None = None
        self._torn = False  # the last line written is not whole

    async def open(self) -> None:
        """Make the socket; connects nowhere, so that a journal that restarts is found again."""
        if self._is_native and self._transport is None:
            self._transport = JournaldTransport(socket_path=self._socket_path, connected=False)
            self._transport.socket.setblocking(False)

    async def deliver(self, batch: Sequence[Committed]) -> None:
        await self.open()
        try:
            async with asyncio.timeout(self._config.timeout):
                for committed in batch:
                    if self._is_native:
                        await self._send(journal_fields(committed))
                    else:
                        await self._write_line(committed)
        except TimeoutError as error:
            raise Retryable(f"{self._where} has accepted nothing for {self._config.timeout:g} s") from error
        except OSError as error:
            raise Retryable(f"{self._where}: {error.strerror or error}") from error

    async def beat(self, heartbeat: Heartbeat) -> None:
        """An entry of priority debug in the journal; nothing on standard output, where a person reads or a program expects alerts."""
        if not self._is_native:
            return
        await self.open()
        try:
            async with asyncio.timeout(self._config.timeout):
                await self._send(heartbeat_fields(heartbeat))
        except TimeoutError as error:
            raise Retryable(f"{self._where} has accepted nothing for {self._config.timeout:g} s") from error
        except OSError as error:
            raise Retryable(f"{self._where}: {error.strerror or error}") from error

    async def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.socket.close()

    @property
    def _where(self) -> str:
        return f"journal {self._socket_path}" if self._is_native else "standard output"

    async def _send(self, fields: list[tuple[str, Any]]) -> None:
        while True:
            assert self._transport is not None
            try:
                self._transport.send(fields)
            except BlockingIOError:
                await asyncio.sleep(_POLL_SECONDS)
            else:
                # Sending never waits, so without this a long batch would hold the loop.
                await asyncio.sleep(0)
                return

    async def _write_line(self, committed: Committed) -> None:
        rest = memoryview((("\n" if self._torn else "") + self._line(committed) + "\n").encode())
        while rest:
            await self._wait_writable()
            written = os.write(self._descriptor, rest[: select.PIPE_BUF])
            rest = rest[written:]
            self._torn = bool(rest)

    async def _wait_writable(self) -> None:
        """Until `select.PIPE_BUF` bytes fit: pipe(7) reports a pipe writable no earlier. Regular files always are."""
        await asyncio.sleep(0)
        if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            return
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while True:
            if poll.poll(0):
                return
            await asyncio.sleep(_POLL_SECONDS)

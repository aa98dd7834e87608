"""The journal sink and what it writes to on this machine, for the contract suite."""

import contextlib
import json
import os
import socket

from sink_receiver import LocalReceiver

from netmote.sinks.journal.config import JournalConfig
from netmote.sinks.journal.sink import JournalSink


class StandardOutput(LocalReceiver):
    """The journal sink without a journal: lines into a pipe that somebody reads, or does not."""

    hears_beats = False

    async def start(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._lines = b""
        config = JournalConfig(type="journal", timeout=self.timeout)
        self.sink = JournalSink(config, environ={}, descriptor=self._writer)

    async def stop(self) -> None:
        for descriptor in (self._reader, self._writer):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def collect(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._reader, 65_536):
                self._lines += part

    async def received(self) -> list[str]:
        self.collect()
        whole = []
        for line in self._lines.splitlines():
            with contextlib.suppress(ValueError):  # a torn line, or what filled the pipe
                whole.append(json.loads(line)["metadata"]["uid"])
        return list(dict.fromkeys(whole))

    async def hang(self) -> None:
        os.set_blocking(self._writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self._writer, b"x" * 4_095 + b"\n")
        os.set_blocking(self._writer, True)


class Journal(LocalReceiver):
    """The journal sink under systemd: datagrams to a real socket."""

    can_restart = True

    async def start(self) -> None:
        self._path = self.folder / "journal.socket"
        self._null = os.open("/dev/null", os.O_WRONLY)
        self._entries: list[bytes] = []
        await self._listen()
        status = os.fstat(self._null)
        self.sink = JournalSink(
            JournalConfig(type="journal", timeout=self.timeout),
            environ={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
            socket_path=self._path,
            descriptor=self._null,
        )

    async def _listen(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._socket.setblocking(False)

    async def stop(self) -> None:
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    async def restart(self) -> None:
        self.collect()
        await self.stop()
        await self._listen()

    async def received(self) -> list[str]:
        return list(dict.fromkeys(self._values(b"NETMOTE_EVENT_ID")))

    async def beats(self) -> list[int]:
        return [json.loads(value)["number"] for value in self._values(b"NETMOTE_HEARTBEAT")]

    def _values(self, name: bytes) -> list[str]:
        self.collect()
        found = []
        for entry in self._entries:
            fields = dict(line.split(b"=", 1) for line in entry.splitlines() if b"=" in line)
            if name in fields:
                found.append(fields[name].decode())
        return found

    async def hang(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, contextlib.suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"FILLER=1\n", str(self._path))

    def collect(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._entries.append(self._socket.recv(1 << 20))

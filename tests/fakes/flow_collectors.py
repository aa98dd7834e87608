"""Collectors of flows: nfcapd as a process, read back with nfdump; and a collector on TCP that hands what it reads on to one on UDP."""

import asyncio
import json
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

_FLAG_LETTERS = "CEUAPRSF"


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Nfcapd:
    """One nfcapd on loopback; `stop` before reading: it writes what it has at its end."""

    directory: Path
    port: int = field(default_factory=free_udp_port)
    prefix: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Nfcapd":
        if shutil.which("nfcapd") is None or shutil.which("nfdump") is None:
            pytest.skip("nfdump is not installed")
        self.directory.mkdir(parents=True, exist_ok=True)
        command = ["nfcapd", "-b", "127.0.0.1", "-p", str(self.port), "-w", str(self.directory), "-t", "3600", "-B", "4000000"]
        with (self.directory.parent / f"nfcapd-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen([*self.prefix, *command], stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 10
        while "Startup" not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """End it once it has read all that lies in its socket: what lies there at its end it would lose."""
        deadline = time.monotonic() + 5
        while self._unread() and time.monotonic() < deadline:
            time.sleep(0.02)
        process, self.process = self.process, None
        time.sleep(0.15)
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(10)

    def _unread(self) -> bool:
        """Whether the kernel holds datagrams for it (proc(5), /proc/net/udp: rx_queue)."""
        if self.process is None or self.process.poll() is not None:
            return False
        for line in Path(f"/proc/{self.process.pid}/net/udp").read_text().splitlines()[1:]:
            _, local, _, _, queues, *_ = line.split()
            if int(local.partition(":")[2], 16) == self.port and int(queues.partition(":")[2], 16):
                return True
        return False

    @property
    def log(self) -> str:
        return (self.directory.parent / f"nfcapd-{self.port}.log").read_text(errors="replace")

    def flows(self) -> list[dict[str, Any]]:
        """All flows collected, with flags as a number and times in milliseconds UTC."""
        told = self._nfdump("-o", "json", "-q").strip()
        found = json.loads(told if told.startswith("[") else f"[{told.rstrip(',')}]") if told else []
        for each in found:
            flags = each.get("tcp_flags", "........")
            each["flags"] = sum(1 << (7 - place) for place, letter in enumerate(flags) if letter in _FLAG_LETTERS)
            for name in ("first", "last"):
                each[name] = _milliseconds(each[name])
        return found

    @property
    def sequence_failures(self) -> int:
        """Messages that did not continue where the one before had ended."""
        return sum(int(count) for count in re.findall(r"Sequence failures: (\d+)", self._nfdump("-I")))

    def _nfdump(self, *options: str) -> str:
        # Times are printed as local ones.
        command = ["nfdump", "-R", str(self.directory), *options]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env={"TZ": "UTC"}).stdout


def _milliseconds(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f").replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


class TcpCollector:
    """Takes IPFIX over TCP, cut into messages by their length field, and keeps them; with `onward`, each also goes there by UDP.

    nfcapd 1.7.1 has no TCP: like this it still reads every message that came over the stream.
    """

    def __init__(self, *, onward: int | None = None, ssl: Any = None) -> None:
        self.messages: list[bytes] = []
        self.sessions: list[list[bytes]] = []
        self.port = 0
        self._onward, self._ssl = onward, ssl
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> "TcpCollector":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._ssl)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """As when its process ends: no more connections, and those there are reset."""
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.transport.abort()
            self._writers.clear()
            await self._server.wait_closed()
            self._server = None

    async def read_all(self) -> None:
        """Until no message has come for a while."""
        seen = -1
        while seen != len(self.messages):
            seen = len(self.messages)
            await asyncio.sleep(0.2)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        session: list[bytes] = []
        self.sessions.append(session)
        onward = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError), onward:
            while True:
                header = await reader.readexactly(4)
                version, length = struct.unpack("!HH", header)
                assert version == 10
                message = header + await reader.readexactly(length - 4)
                session.append(message)
                self.messages.append(message)
                if self._onward is not None:
                    onward.sendto(message, ("127.0.0.1", self._onward))
                    await asyncio.sleep(0.0005)
        writer.close()


def header_of(message: bytes) -> tuple[int, int, int]:
    """Export time, sequence number and observation domain of a message."""
    export_time, sequence, domain = struct.unpack("!III", message[4:16])
    return export_time, sequence, domain


def set_ids(message: bytes) -> list[int]:
    """The sets of a message, checked to fill it exactly."""
    found, place = [], 16
    while place < len(message):
        set_id, length = struct.unpack("!HH", message[place : place + 4])
        assert length >= 4
        found.append(set_id)
        place += length
    assert place == len(message) == struct.unpack("!H", message[2:4])[0]
    return found

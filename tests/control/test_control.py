"""The control socket: commands, refusals, bounds, a daemon that is not there."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from netmote.control.client import CommandRefusedError, NotRunningError, request
from netmote.control.protocol import MAX_REQUEST_BYTES, decode, encode, socket_path
from netmote.control.server import ControlServer


async def echo(message: dict[str, Any]) -> dict[str, Any]:
    return {"said": message["text"]}


async def ask(path: Path, command: str, **arguments: Any) -> dict[str, Any]:
    return await asyncio.to_thread(request, path, command, **arguments)


@pytest.fixture
async def server(tmp_path: Path):
    server = ControlServer(socket_path(tmp_path), {"echo": echo})
    await server.open()
    yield server
    await server.close()


async def test_command_and_answer(server: ControlServer, tmp_path: Path) -> None:
    """A command's answer comes back as given."""
    assert await ask(tmp_path, "echo", text="ä") == {"said": "ä"}


async def test_unknown_command_names_the_known(server: ControlServer, tmp_path: Path) -> None:
    """An unknown command is refused with the list of those there are."""
    with pytest.raises(CommandRefusedError, match="known: echo"):
        await ask(tmp_path, "reboot")


async def test_missing_argument_is_said(server: ControlServer, tmp_path: Path) -> None:
    """A command without its argument is refused by name, and the server lives on."""
    with pytest.raises(CommandRefusedError, match="text is missing"):
        await ask(tmp_path, "echo")
    assert await ask(tmp_path, "echo", text="on") == {"said": "on"}


async def test_garbage_and_oversized_lines(server: ControlServer, tmp_path: Path) -> None:
    """What is no request is answered, not believed; a line beyond the bound ends the connection."""

    def send(body: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(socket_path(tmp_path)))
            connection.sendall(body)
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(65536)

    assert b"not understood" in await asyncio.to_thread(send, b"{]\n")
    assert b"not a JSON object" in await asyncio.to_thread(send, b"[1]\n")
    assert b"at most" in await asyncio.to_thread(send, b"x" * (2 * MAX_REQUEST_BYTES))


async def test_only_the_owner_may_connect(server: ControlServer, tmp_path: Path) -> None:
    """The socket's mode keeps others out."""
    assert socket_path(tmp_path).stat().st_mode & 0o777 == 0o600


async def test_left_over_socket_is_replaced_and_close_is_safe_twice(tmp_path: Path) -> None:
    """A socket left by a killed daemon does not keep the next one from listening."""
    socket_path(tmp_path).write_text("")
    server = ControlServer(socket_path(tmp_path), {"echo": echo})
    await server.open()
    assert await ask(tmp_path, "echo", text="x") == {"said": "x"}
    await server.close()
    await server.close()
    assert not socket_path(tmp_path).exists()


def test_no_daemon(tmp_path: Path) -> None:
    """Without a daemon the client says so and names the directory."""
    with pytest.raises(NotRunningError, match=str(tmp_path)):
        request(tmp_path, "echo")


def test_protocol_is_one_line() -> None:
    """A message never holds a raw newline."""
    line = encode({"text": "a\nb"})
    assert line.count(b"\n") == 1
    assert decode(line) == {"text": "a\nb"}

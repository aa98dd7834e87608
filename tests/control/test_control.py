"""The control socket: commands, refusals, bounds, a daemon that is not there."""

import asyncio
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from netmote.control.client import CommandRefusedError, NotRunningError, request
from netmote.control.protocol import MAX_REQUEST_BYTES, decode, encode, socket_path
from netmote.control.server import MAX_CONNECTIONS, ControlServer


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


async def test_a_bug_in_a_command_is_answered_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An exception nobody expected is the daemon's bug: the peer is told, the log has the traceback, the server lives on."""

    async def broken(_message: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("division by zero")

    server = ControlServer(socket_path(tmp_path), {"echo": echo, "broken": broken})
    await server.open()
    with pytest.raises(CommandRefusedError, match="a bug of the daemon"):
        await ask(tmp_path, "broken")
    assert await ask(tmp_path, "echo", text="on") == {"said": "on"}
    assert [record.exc_info is not None for record in caplog.records] == [True]
    await server.close()


async def test_more_than_so_many_at_once_are_refused(server: ControlServer, tmp_path: Path) -> None:
    """Idle peers take places, of which there are few; one more is told so, and a place that is given up can be had again."""

    def crowd() -> bytes:
        peers = [socket.socket(socket.AF_UNIX) for _ in range(MAX_CONNECTIONS + 1)]
        try:
            for peer in peers:
                peer.connect(str(socket_path(tmp_path)))
            peers[-1].settimeout(5)
            return peers[-1].recv(65536)
        finally:
            for peer in peers:
                peer.close()

    assert b"more than" in await asyncio.to_thread(crowd)
    for _ in range(100):
        try:
            assert await ask(tmp_path, "echo", text="x") == {"said": "x"}
            break
        except CommandRefusedError:
            await asyncio.sleep(0.02)
    else:
        pytest.fail("no place became free")


async def test_a_peer_that_says_nothing_is_hung_up_on(tmp_path: Path) -> None:
    """An idle peer keeps its place for a bounded time only."""
    server = ControlServer(socket_path(tmp_path), {"echo": echo}, idle_seconds=0.2)
    await server.open()

    def wait() -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(socket_path(tmp_path)))
            return connection.recv(100)

    assert await asyncio.to_thread(wait) == b""
    await server.close()


async def test_a_peer_that_does_not_take_its_answer_is_hung_up_on(tmp_path: Path) -> None:
    """An answer that nobody reads holds nothing for ever."""
    ended = asyncio.Event()

    async def flood(_message: dict[str, Any]) -> dict[str, Any]:
        return {"said": "x" * 4_000_000}

    class Watched(ControlServer):
        async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await super()._serve(reader, writer)
            ended.set()

    server = Watched(socket_path(tmp_path), {"flood": flood}, idle_seconds=0.3)
    await server.open()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(socket_path(tmp_path)))
        connection.sendall(encode({"command": "flood"}))
        async with asyncio.timeout(5):
            await ended.wait()
    await server.close()


async def test_half_a_request_is_none(server: ControlServer, tmp_path: Path) -> None:
    """A peer that hangs up in the middle of a line has commanded nothing."""

    def send() -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(socket_path(tmp_path)))
            connection.sendall(b'{"command": "echo", "text": "x"}')
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(100)

    assert await asyncio.to_thread(send) == b""


async def test_peers_are_hung_up_on_when_the_server_closes(tmp_path: Path) -> None:
    """Nobody can command a daemon that is stopping."""
    server = ControlServer(socket_path(tmp_path), {"echo": echo})
    await server.open()
    reader, writer = await asyncio.open_unix_connection(str(socket_path(tmp_path)))
    writer.write(encode({"command": "echo", "text": "x"}))
    assert await reader.readline()
    await server.close()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_a_deeply_nested_request_is_not_understood(server: ControlServer, tmp_path: Path) -> None:
    """The parser's stack is bounded, and what is beyond it is a bad request and no crash."""

    def send() -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(socket_path(tmp_path)))
            connection.sendall(b"[" * 50_000 + b"\n")
            return connection.recv(65536)

    assert b"not understood" in await asyncio.to_thread(send)


def test_an_answer_that_does_not_come(tmp_path: Path) -> None:
    """A daemon that accepts and says nothing is named within the time given; one that says nonsense too."""

    def serve(answer: bytes | None) -> threading.Thread:
        socket_path(tmp_path).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(socket_path(tmp_path)))
        listener.listen()

        def run() -> None:
            peer, _ = listener.accept()
            with listener, peer:
                peer.recv(1000)
                if answer is None:
                    time.sleep(0.5)
                else:
                    peer.sendall(answer)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    answers = (
        (None, "did not answer within"),
        (b"", "hung up before"),
        (b"nonsense\n", "is not understood"),
        (b'{"ok": false}\n', "no reason"),
    )
    for answer, message in answers:
        thread = serve(answer)
        with pytest.raises(CommandRefusedError, match=message):
            request(tmp_path, "echo", timeout=0.2)
        thread.join()

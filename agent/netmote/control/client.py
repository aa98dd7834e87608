"""The command line's end of the control socket."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netmote.control.protocol import MAX_ANSWER_BYTES, decode, encode, socket_path
from netmote.errors import NetmoteError

_BLOCK_BYTES = 65_536


class NotRunningError(NetmoteError):
    """No daemon listens in this state directory."""


class CommandRefusedError(NetmoteError):
    """The daemon answered that it cannot do this."""


def request(state_dir: Path, command: str, *, timeout: float = 10.0, **arguments: Any) -> dict[str, Any]:
    """Ask the daemon of this state directory. Raises NotRunningError, or CommandRefusedError with the daemon's words."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, _explained(state_dir, timeout):
        connection.settimeout(timeout)
        connection.connect(str(socket_path(state_dir)))
        connection.sendall(encode({"command": command, **arguments}))
        answer = _read_line(connection)
    return _understood(answer)


@contextmanager
def _explained(state_dir: Path, timeout: float) -> Iterator[None]:
    """Errors of the socket as what they mean here."""
    path = socket_path(state_dir)
    try:
        yield
    except (FileNotFoundError, ConnectionError) as error:
        raise NotRunningError(f"no daemon is running in {state_dir}") from error
    except PermissionError as error:
        raise CommandRefusedError(f"{path}: only root and the daemon's own user may use this socket") from error
    except TimeoutError as error:
        raise CommandRefusedError(f"the daemon did not answer within {timeout:g} s") from error


def _understood(answer: bytes) -> dict[str, Any]:
    if not answer:
        raise CommandRefusedError("the daemon hung up before it answered")
    try:
        message = decode(answer)
    except ValueError as error:
        raise CommandRefusedError(f"the daemon's answer is not understood: {error}") from error
    if not message.pop("ok", False):
        raise CommandRefusedError(str(message.get("error", "no reason given")))
    return message


def follow(state_dir: Path, command: str, *, timeout: float = 10.0, **arguments: Any) -> Iterator[bytes]:
    """Open a stream of the daemon and yield its blocks of lines (not always whole ones) as they come, until it ends.

    Raises as `request` does before the first block; the end of the stream is no error.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        with _explained(state_dir, timeout):
            connection.connect(str(socket_path(state_dir)))
            connection.sendall(encode({"command": command, **arguments}))
            head, _, rest = _read_head(connection).partition(b"\n")
        _understood(head)
        connection.settimeout(None)
        if rest:
            yield rest
        while block := _received(connection):
            yield block


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(_BLOCK_BYTES)
    except ConnectionError:  # the daemon gave this reader up
        return b""


def _read_head(connection: socket.socket) -> bytes:
    """At least the first line."""
    head = bytearray()
    while b"\n" not in head:
        part = connection.recv(_BLOCK_BYTES)
        if not part or len(head) > MAX_ANSWER_BYTES:
            break
        head += part
    return bytes(head)


def _read_line(connection: socket.socket) -> bytes:
    answer = bytearray()
    while not answer.endswith(b"\n"):
        part = connection.recv(_BLOCK_BYTES)
        if not part or len(answer) > MAX_ANSWER_BYTES:
            break
        answer += part
    return bytes(answer)

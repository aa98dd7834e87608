"""The command line's end of the control socket."""

import socket
from pathlib import Path
from typing import Any

from netmote.control.protocol import MAX_ANSWER_BYTES, decode, encode, socket_path
from netmote.errors import NetmoteError


class NotRunningError(NetmoteError):
    """No daemon listens in this state directory."""


class CommandRefusedError(NetmoteError):
    """The daemon answered that it cannot do this."""


def request(state_dir: Path, command: str, *, timeout: float = 10.0, **arguments: Any) -> dict[str, Any]:
    """Ask the daemon of this state directory. Raises NotRunningError, or CommandRefusedError with the daemon's words."""
    path = socket_path(state_dir)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            connection.sendall(encode({"command": command, **arguments}))
            answer = _read_line(connection)
        except (FileNotFoundError, ConnectionError) as error:
            raise NotRunningError(f"no daemon is running in {state_dir}") from error
        except PermissionError as error:
            raise CommandRefusedError(f"{path}: only root and the daemon's own user may use this socket") from error
        except TimeoutError as error:
            raise CommandRefusedError(f"the daemon did not answer within {timeout:g} s") from error
    if not answer:
        raise CommandRefusedError("the daemon hung up before it answered")
    try:
        message = decode(answer)
    except ValueError as error:
        raise CommandRefusedError(f"the daemon's answer is not understood: {error}") from error
    if not message.pop("ok", False):
        raise CommandRefusedError(str(message.get("error", "no reason given")))
    return message


def _read_line(connection: socket.socket) -> bytes:
    answer = bytearray()
    while not answer.endswith(b"\n"):
        part = connection.recv(65_536)
        if not part or len(answer) > MAX_ANSWER_BYTES:
            break
        answer += part
    return bytes(answer)

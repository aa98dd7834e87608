"""One JSON object a line, each way: `{"command": NAME, ...arguments}` and `{"ok": true, ...}` or `{"ok": false, "error": TEXT}`."""

import json
from pathlib import Path
from typing import Any

# A request is a few words; an answer can hold a snapshot.
MAX_REQUEST_BYTES = 64 * 2**10
MAX_ANSWER_BYTES = 8 * 2**20


def socket_path(state_dir: Path) -> Path:
    """Where the daemon of this state directory listens."""
    return state_dir / "control.sock"


def encode(message: dict[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The object of one line. Raises ValueError with what is wrong."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")
    return message

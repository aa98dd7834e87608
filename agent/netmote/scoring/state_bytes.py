"""State as bytes: named arrays and a small JSON head, without pickle. The same state gives the same bytes."""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEAD = "head"


def pack(head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """One blob of a JSON-able head and arrays of plain dtypes; `.npz`, whose members carry no time."""
    buffer = io.BytesIO()
    text = json.dumps(head, sort_keys=True, separators=(",", ":")).encode()
    np.savez(buffer, allow_pickle=False, **{_HEAD: np.frombuffer(text, np.uint8)}, **dict(sorted(arrays.items())))
    return buffer.getvalue()


def unpack(blob: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Inverse of `pack`. Raises ValueError on anything else."""
    try:
        with np.load(io.BytesIO(blob), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        head = json.loads(arrays.pop(_HEAD).tobytes())
    except (OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"not a packed state: {type(error).__name__}") from error
    if not isinstance(head, dict):
        raise ValueError("not a packed state: the head is not an object")
    return head, arrays

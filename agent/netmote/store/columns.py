"""Numpy columns to and from one compressed BLOB, bit for bit.

Each column is split into its byte planes (all lowest bytes, then the next, ...), for the high bytes of counters are
nearly always zero and then cost nothing; the planes are compressed together with zlib (RFC 1950) at its fastest level.
A *layout* names the columns with their dtypes; it is stored once per file and referred to by number.
"""

import json
import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Column: TypeAlias = tuple[str, NDArray[Any]]

_LEVEL = 1


def layout_of(columns: Sequence[Column]) -> str:
    """Names, dtypes and inner shapes as JSON, for instance `[["deltas","<i8",[14]]]`."""
    return json.dumps([[name, values.dtype.str, list(values.shape[1:])] for name, values in columns], separators=(",", ":"))


def encode_columns(columns: Sequence[Column]) -> bytes:
    """Compress columns of one length. Raises ValueError when they differ in length."""
    if len({len(values) for _, values in columns}) > 1:
        raise ValueError("the columns of a batch have one length")
    compressor = zlib.compressobj(_LEVEL)
    parts = [compressor.compress(_planes(values)) for _, values in columns]
    parts.append(compressor.flush())
    return b"".join(parts)


def _planes(values: NDArray[Any]) -> bytes:
    if not values.size:
        return b""
    octets = np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)  # (rows, octets of a row)
    return octets.T.tobytes()


def decode_columns(body: bytes, rows: int, layout: str) -> dict[str, NDArray[Any]]:
    """Inverse of `encode_columns`. Raises ValueError when body, rows and layout do not fit each other."""
    fields = [(name, np.dtype(dtype), tuple(shape)) for name, dtype, shape in json.loads(layout)]
    widths = [dtype.itemsize * int(np.prod(shape, dtype=np.int64)) for _, dtype, shape in fields]
    size = rows * sum(widths)
    decompressor = zlib.decompressobj()
    try:
        raw = decompressor.decompress(body, size + 1)  # never more than the layout allows
    except zlib.error as error:
        raise ValueError(f"columns do not decompress: {error}") from error
    if len(raw) != size or not decompressor.eof:
        raise ValueError(f"columns hold {len(raw)} octets, their layout asks for {size}")
    octets, result, offset = np.frombuffer(raw, dtype=np.uint8), {}, 0
    for (name, dtype, shape), width in zip(fields, widths, strict=True):
        planes = octets[offset : offset + rows * width].reshape(width, rows)
        result[name] = np.ascontiguousarray(planes.T).reshape(-1).view(dtype).reshape(rows, *shape)
        offset += rows * width
    return result

"""State as bytes: what goes in comes out, the same state gives the same bytes, junk is refused."""

import io
import pickle

import numpy as np
import pytest

from netmote.scoring.state_bytes import pack, unpack


def test_round_trip_and_equal_bytes() -> None:
    """Head and arrays come back with their dtypes; packing twice gives equal bytes."""
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b/c": np.array([], np.int64)}
    blob = pack({"version": 1, "entities": ["host:ä"]}, arrays)
    head, back = unpack(blob)
    assert head == {"version": 1, "entities": ["host:ä"]}
    assert {name: (array.dtype, array.shape) for name, array in back.items()} == {
        name: (array.dtype, array.shape) for name, array in arrays.items()
    }
    assert blob == pack({"entities": ["host:ä"], "version": 1}, arrays)


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"PK\x03\x04 nothing",
        pack({"a": 1}, {})[:-30],
        pickle.dumps({"head": 1}),
        _npz(a=np.zeros(1)),
        _npz(head=np.frombuffer(b"[1]", np.uint8)),
        _npz(head=np.frombuffer(b"{", np.uint8)),
    ],
)
def test_junk_is_a_value_error(junk: bytes) -> None:
    """Damaged, foreign and pickled bytes are refused, never executed."""
    with pytest.raises(ValueError):
        unpack(junk)

"""Rows of a buffer, copied or seen where they lie: the same octets either way, each row once and in its order."""

import numpy as np
import pytest
from numpy.typing import NDArray

from netmote.capture.frames import even_parts, rows_at

_WIDTH = 54


def chained(*runs: tuple[int, int]) -> NDArray[np.int64]:
    """Offsets of runs of (count, step), each behind the one before."""
    steps = np.concatenate([np.full(count, step) for count, step in runs])
    return np.concatenate((np.zeros(1, "i8"), np.cumsum(steps)[:-1]))


_CASES = {
    "one run": chained((5_000, 160)),
    "two blocks": chained((5_000, 160), (1, 977), (5_000, 160)),
    "another step at once": chained((3_000, 160), (3_000, 112)),
    "a short run between": chained((3_000, 160), (7, 488), (3_000, 160)),
    "short runs alone": chained(*[(100, 160), (50, 152)] * 60),
    "few": chained((3, 160)),
    "none": np.zeros(0, "i8"),
    "backwards": chained((4_000, 160))[::-1],
    "alternating": chained(*[(1, 160), (1, 152)] * 3_000),
}


@pytest.mark.parametrize("name", _CASES)
@pytest.mark.parametrize("beyond", [_WIDTH, 20])
def test_parts_are_the_rows_in_their_order(name: str, beyond: int) -> None:
    """However offsets lie, and also where the last row reaches out of the buffer: together the parts are what `rows_at` gives."""
    offset = _CASES[name]
    size = int(offset.max()) + beyond if len(offset) else 500
    buffer = np.random.default_rng(5).integers(0, 256, size, dtype="u1")
    seen = np.zeros((len(offset), _WIDTH), "u1")
    done = 0
    for part, rows in even_parts(buffer, offset, _WIDTH):
        assert part.start == done
        assert len(rows) == part.stop - part.start
        seen[part] = rows
        done = part.stop
    assert done == len(offset)
    assert (seen == rows_at(buffer, offset, _WIDTH)).all()


def test_what_lies_evenly_is_not_copied() -> None:
    """A whole block of records of one length is seen in the memory itself: a copy would cost more than decoding."""
    buffer = np.zeros(1_000_000, "u1")
    [(_, rows)] = even_parts(buffer, chained((5_000, 160)), _WIDTH)
    assert np.shares_memory(rows, buffer)

"""Ids by address: the same as a dictionary gives, however many, whatever halves they share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.windows.address_index import AddressIndex

FIRST = 256  # ids below stand for something else


def columns(pairs):
    """The halves by id; what lies below the first id must never be found."""
    padded = [(0, 0)] * FIRST + list(pairs)
    return np.array([high for high, _ in padded], np.uint64), np.array([low for _, low in padded], np.uint64)


few = st.integers(0, 7) | st.integers(0, 2**64 - 1)


@given(st.lists(st.tuples(few, few), unique=True, max_size=60), st.lists(st.tuples(few, few), max_size=30), st.integers(0, 60))
def test_agrees_with_a_dictionary(pairs, others, cut):
    """Added in two calls or rebuilt at once: every address has its id, every other one has none."""
    high, low = columns(pairs)
    known = {pair: FIRST + position for position, pair in enumerate(pairs)}
    asked = [*pairs, *others, *pairs]
    expected = [known.get(pair, -1) for pair in asked]
    wanted = np.array(asked, np.uint64).reshape(-1, 2)
    added, rebuilt = AddressIndex(), AddressIndex()
    middle = min(FIRST + cut, high.size)
    added.add(FIRST, high[:middle], low[:middle], reserved=FIRST)
    added.add(middle, high, low, reserved=FIRST)
    rebuilt.rebuild(FIRST, high, low)
    for index in (added, rebuilt):
        assert len(index) == len(pairs)
        assert index.find(wanted[:, 0].copy(), wanted[:, 1].copy(), high, low).tolist() == expected


@pytest.mark.parametrize("shift", [0, 32, 48, 63])
@pytest.mark.parametrize("half", ["high", "low"])
def test_grows_and_stays_half_empty(half, shift):
    """20,000 addresses that differ in a few bits of one half, in calls of 777: all are found, and places never run out."""
    count = 20_000 if shift < 48 else 1 << (64 - shift)
    varied = np.arange(count, dtype=np.uint64) << np.uint64(shift)
    constant = np.full(count, 5, np.uint64)
    pairs = np.stack([varied, constant] if half == "high" else [constant, varied], axis=1)
    padded = np.concatenate([np.zeros((FIRST, 2), np.uint64), pairs])
    high, low = padded[:, 0].copy(), padded[:, 1].copy()
    index = AddressIndex()
    for first in range(FIRST, FIRST + count, 777):
        end = min(first + 777, FIRST + count)
        index.add(first, high[:end], low[:end], reserved=FIRST)
    assert 2 * len(index) <= index.nbytes // 4
    assert (index.find(high[FIRST:], low[FIRST:], high, low) == np.arange(FIRST, FIRST + count)).all()

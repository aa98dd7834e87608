"""Which entries go when a table is full."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netmote.windows.eviction import least


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1_000)), unique_by=lambda pair: pair[1]), st.integers(0, 60))
def test_least_worth_then_least_address(entries, count):
    """Exactly the first `count` of the order by worth and address go, whatever order they stand in."""
    worth = np.array([one for one, _ in entries], np.int64)
    address = np.array([one for _, one in entries], np.uint64)
    gone = least(worth, count, lambda at: (address[at],))
    assert sorted(entries[at] for at in gone.tolist()) == sorted(entries)[:count]

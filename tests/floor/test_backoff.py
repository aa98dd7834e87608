"""Delays grow, stay within their bounds, and obey the peer's wish."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.backoff import Backoff


@given(st.integers(0, 2**32), st.integers(1, 200))
def test_delays_stay_within_bounds(seed: int, failures: int) -> None:
    """However often it fails, a delay is at least the floor and at most the cap."""
    backoff = Backoff(base=0.5, cap=60.0, random=Random(seed))
    for n in range(failures):
        delay = backoff.next_delay()
        assert 0.05 <= delay <= min(60.0, max(0.05, 0.5 * 2.0 ** min(n, 62)))


def test_success_starts_again_from_the_base() -> None:
    """After a success the next delay is drawn below the base again."""
    backoff = Backoff(base=1.0, cap=1000.0, random=Random(1))
    for _ in range(20):
        backoff.next_delay()
    backoff.succeeded()
    assert backoff.failures == 0
    assert backoff.next_delay() <= 1.0


def test_peer_wish_is_a_lower_bound() -> None:
    """A Retry-After longer than the draw is waited for."""
    assert Backoff(base=0.1, cap=1.0, random=Random(1)).next_delay(after=42.0) == 42.0


def test_bounds_are_checked() -> None:
    """A cap below the base is a mistake of the caller."""
    with pytest.raises(ValueError, match="cap"):
        Backoff(base=2.0, cap=1.0, random=Random(1))

"""Arithmetic of runs against sets of numbers, which is what they stand for."""

from hypothesis import given
from hypothesis import strategies as st

from netmote.collector.runs import common, count, joined, shortened, without

_NUMBERS = st.integers(1, 60)
_RUNS = st.lists(st.tuples(_NUMBERS, _NUMBERS), max_size=8)


def numbers(runs) -> set[int]:
    return {number for first, last in runs for number in range(first, last + 1)}


def is_canonical(runs) -> bool:
    flat = [bound for run in runs for bound in run]
    return flat == sorted(flat) and all(runs[at][1] + 1 < runs[at + 1][0] for at in range(len(runs) - 1))


@given(_RUNS, _RUNS)
def test_they_are_sets(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    """Union, difference, intersection and count are those of the numbers, and results are in the one form."""
    left, right = joined(some), joined(others)
    assert numbers(left) == numbers(some)
    assert is_canonical(left)
    for result, expected in (
        (without(left, right), numbers(left) - numbers(right)),
        (common(left, right), numbers(left) & numbers(right)),
        (joined((*left, *right)), numbers(left) | numbers(right)),
    ):
        assert numbers(result) == expected
        assert is_canonical(result)
        assert count(result) == len(expected)


@given(_RUNS, st.integers(1, 4))
def test_shortening_forgets_the_oldest_gaps_only(some: list[tuple[int, int]], limit: int) -> None:
    """A bound never takes a number away, and keeps the newest gaps as they were."""
    runs = joined(some)
    short = shortened(runs, limit)
    assert len(short) <= limit
    assert numbers(short) >= numbers(runs)
    assert short[1:] == runs[len(runs) - len(short) + 1 :]

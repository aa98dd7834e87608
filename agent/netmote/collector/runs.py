"""Sets of whole numbers kept as runs: which numbers came, which were withheld, which are missing. Pure.

Runs are ascending, disjoint and not adjacent: ((1, 4), (9, 9)) stands for 1, 2, 3, 4 and 9.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

Run: TypeAlias = tuple[int, int]  # first and last, both included
Runs: TypeAlias = tuple[Run, ...]


def joined(runs: Iterable[Run]) -> Runs:
    """The union of runs in any order; one whose last is below its first is empty."""
    merged: list[Run] = []
    for first, last in sorted(run for run in runs if run[0] <= run[1]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return tuple(merged)


def without(runs: Runs, others: Runs) -> Runs:
    """The numbers of `runs` that are not in `others`."""
    return tuple(_without(runs, others))


def _without(runs: Runs, others: Runs) -> Iterator[Run]:
    at = 0
    for first, last in runs:
        rest = first
        while at < len(others) and others[at][1] < rest:
            at += 1
        look = at
        while look < len(others) and others[look][0] <= last:
            if rest < others[look][0]:
                yield rest, others[look][0] - 1
            rest = max(rest, others[look][1] + 1)
            look += 1
        if rest <= last:
            yield rest, last


def common(runs: Runs, others: Runs) -> Runs:
    """The numbers in both."""
    return without(runs, without(runs, others))


def count(runs: Runs) -> int:
    """How many numbers."""
    return sum(last - first + 1 for first, last in runs)


def shortened(runs: Runs, limit: int) -> Runs:
    """At most `limit` runs: the oldest grow together, as if what lies between them were in the set too."""
    if len(runs) <= limit:
        return runs
    excess = len(runs) - limit
    return ((runs[0][0], runs[excess][1]), *runs[excess + 1 :])

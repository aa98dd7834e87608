"""Which entries of a full table go: those with the least worth; among equals the addresses decide, never a number of ours."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# How the equals at the border are ordered: sort keys of these positions, least significant first (as np.lexsort wants them).
Ties = Callable[[NDArray[np.intp]], tuple[NDArray[np.uint64], ...]]


def least(worth: NDArray[np.int64], count: int, ties: Ties) -> NDArray[np.intp]:
    """Positions of the `count` least of `worth`, in no particular order. One partition; only the equals at the border are sorted."""
    if count <= 0:
        return np.zeros(0, np.intp)
    if count >= worth.size:
        return np.arange(worth.size)
    border = np.partition(worth, count - 1)[count - 1]
    below = np.flatnonzero(worth < border)
    equal = np.flatnonzero(worth == border)
    missing = count - below.size
    if missing < equal.size:
        equal = equal[np.lexsort(ties(equal))[:missing]]
    return np.concatenate([below, equal])

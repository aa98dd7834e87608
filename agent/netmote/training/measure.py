"""How good a ranking is: area under the ROC curve and rank correlation, by ranks, ties averaged."""

import numpy as np
from numpy.typing import NDArray


def ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks from 1, equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[inverse], np.float64)


def spearman(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Rank correlation; 1 when both are constant, 0 when only one is."""
    a, b = ranks(first), ranks(second)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else float(not a.any() and not b.any())


def auc(benign: NDArray[np.floating], attack: NDArray[np.floating]) -> float:
    """Probability that an attack scores above a benign window, ties half (Mann-Whitney). NaN without either."""
    if not len(benign) or not len(attack):
        return float("nan")
    ranked = ranks(np.concatenate([benign, attack]))
    above = ranked[len(benign) :].sum() - len(attack) * (len(attack) + 1) / 2.0
    return float(above / (len(benign) * len(attack)))

"""Ranking measures against plain counting and scikit-free definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.training.measure import auc, ranks, spearman

NUMBERS = st.lists(st.integers(-5, 5), min_size=1, max_size=30)


@given(NUMBERS, NUMBERS)
def test_auc_is_the_share_of_pairs(benign: list[int], attack: list[int]) -> None:
    """Counted pair by pair, ties half."""
    pairs = [(a > b) + 0.5 * (a == b) for a in attack for b in benign]
    assert auc(np.array(benign, float), np.array(attack, float)) == pytest.approx(sum(pairs) / len(pairs))


def test_auc_of_nothing_is_nan() -> None:
    """Without attack windows there is no area."""
    assert np.isnan(auc(np.ones(3), np.empty(0)))
    assert np.isnan(auc(np.empty(0), np.ones(3)))


def test_ranks_share_ties() -> None:
    """Equal values have their mean rank."""
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_spearman() -> None:
    """1 for any increasing relation, -1 for a decreasing one, near 0 for independent values, defined for constants."""
    x = np.random.default_rng(0).normal(size=500)
    assert spearman(x, np.exp(x)) == pytest.approx(1.0)
    assert spearman(x, -x) == pytest.approx(-1.0)
    assert abs(spearman(x, np.random.default_rng(1).normal(size=500))) < 0.15
    assert spearman(np.ones(4), np.ones(4)) == 1.0
    assert spearman(np.ones(4), np.arange(4.0)) == 0.0

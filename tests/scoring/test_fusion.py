"""Fusion is arithmetic: every case by hand."""

import numpy as np
import pytest

from netmote.scoring import fusion

NAN = np.nan


def test_min_p_is_twice_the_smaller_p() -> None:
    """2 * min(p), at most 1; a source without a claim does not count; NaN only where nobody claims."""
    rules = np.array([3.0, 0.0, NAN, 0.1, NAN])
    models = np.array([1.0, 4.0, 2.0, NAN, NAN])
    fused = fusion.min_p(rules, models)
    assert 10.0 ** -fused[:4] == pytest.approx([2e-3, 2e-4, 2e-2, 1.0])
    assert np.isnan(fused[4])


def test_weighted_is_the_weighted_mean_of_surprise() -> None:
    """0.4 rules + 0.6 models where both claim, else the one that does."""
    fused = fusion.weighted(np.array([5.0, NAN, 2.0, NAN]), np.array([10.0, 3.0, NAN, NAN]))
    assert fused[:3] == pytest.approx([0.4 * 5 + 0.6 * 10, 3.0, 2.0])
    assert np.isnan(fused[3])


def test_the_configured_way_is_taken() -> None:
    """`fuse` is one or the other by name."""
    rules, models = np.array([1.0]), np.array([2.0])
    assert fusion.fuse("min-p", rules, models) == fusion.min_p(rules, models)
    assert fusion.fuse("weighted", rules, models) == fusion.weighted(rules, models)


def test_alpha_shares_the_budget() -> None:
    """One alert a day over one entity at a hop of 10 s is 1/8640 per window; ten entities share it; never above 1 %."""
    assert fusion.alpha(1.0, 8640.0) == pytest.approx(1 / 8640)
    assert fusion.alpha(1.0, 86400.0) == pytest.approx(1 / 86400)
    assert fusion.alpha(1000.0, 1.0) == 0.01
    assert fusion.alpha(1.0, 0.0) == 0.01


@pytest.mark.parametrize("alpha", [1e-2, 1e-6])
def test_a_rule_alone_always_passes_the_limit(alpha: float) -> None:
    """P = alpha / 2 fused by min-p with a model that sees nothing is alpha: at the limit, and so alerted."""
    fused = fusion.min_p(np.array(fusion.rule_surprise(alpha)), np.array(0.0))
    assert fused >= -np.log10(alpha) - 1e-12

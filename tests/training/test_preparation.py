"""Preparation: robust, invertible, and the same arithmetic as inside the graph."""

import numpy as np
import pytest

from netmote.training.preparation import CLIP, LEAST_SCALE, Preparation

VALUES = np.expm1(np.random.default_rng(0).normal([2.0, 5.0, 0.0], [0.5, 1.0, 0.0], (500, 3)))


def test_centred_and_scaled() -> None:
    """The median becomes 0 and the spread about 1; a constant feature keeps a scale of 1, not of 0."""
    preparation = Preparation.fit(VALUES)
    prepared = preparation.apply(VALUES)
    assert np.median(prepared, axis=0) == pytest.approx([0.0, 0.0, 0.0], abs=1e-5)
    assert prepared.std(axis=0)[:2] == pytest.approx([1.0, 1.0], abs=0.1)
    assert preparation.scale[2] == 1.0
    assert prepared.dtype == np.float32


def test_scale_has_a_floor_and_quartiles_a_fallback() -> None:
    """Tiny spreads become the least scale; a feature that is zero in three quarters of the windows uses the standard deviation."""
    sparse = np.zeros((100, 2))
    sparse[:10, 0], sparse[:, 1] = 100.0, np.linspace(0.0, 1e-4, 100)
    preparation = Preparation.fit(sparse)
    assert preparation.scale[0] == pytest.approx(np.log1p(100.0) * 0.3, rel=0.01)
    assert preparation.scale[1] == np.float32(LEAST_SCALE)


def test_clipped_and_undone() -> None:
    """Far values are clipped at 12; `undo` gives raw values that prepare to the same."""
    preparation = Preparation.fit(VALUES)
    assert preparation.apply(np.full((1, 3), 1e300)).max() == CLIP
    prepared = preparation.apply(VALUES)
    assert preparation.apply(preparation.undo(prepared)) == pytest.approx(prepared, abs=1e-4)
    assert np.isfinite(preparation.undo(np.full((1, 3), 12.0, np.float32))).all()

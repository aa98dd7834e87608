"""Evaluation: areas, rates and baselines are what they say."""

import numpy as np
import pytest

from netmote.training.evaluate import evaluate, reference, robust_z, scores
from netmote.training.preparation import Preparation


class Sum:
    """A runtime whose score is the first feature."""

    kind = "sum"

    def run(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return features[:, 0], features


PREPARATION = Preparation(np.zeros(2, np.float32), np.ones(2, np.float32))
BENIGN = np.stack([np.linspace(0, 1, 1_000), np.zeros(1_000)], axis=1)


def test_areas_and_rates() -> None:
    """Attacks above all benign windows: area 1 and all found; 1 % of like benign windows above the threshold; random near a half."""
    measured = evaluate(
        Sum(),
        PREPARATION,
        calibration=BENIGN,
        benign=BENIGN,
        attacks={"loud": BENIGN + 5.0, "same": BENIGN},
        seed=1,
    )
    assert (measured["loud"].auc, measured["loud"].true_positive_rate) == (1.0, 1.0)
    assert measured["same"].auc == pytest.approx(0.5)
    assert measured["same"].false_positive_rate == pytest.approx(0.01, abs=0.002)
    assert measured["loud"].auc_random == pytest.approx(0.5, abs=0.05)
    assert measured["loud"].auc_robust_z == 1.0
    assert (measured["loud"].windows_benign, measured["loud"].windows_attack) == (1_000, 1_000)


def test_reference_quantiles() -> None:
    """Quantiles of the score on the calibration windows."""
    held = reference(Sum(), BENIGN)
    assert held.windows == 1_000
    assert held.quantiles["0.5"] == pytest.approx(0.5, abs=1e-3)


def test_no_windows() -> None:
    """Nothing to score gives nothing, and robust z is bounded."""
    assert scores(Sum(), np.empty((0, 2))).shape == (0,)
    assert robust_z(PREPARATION, np.full((1, 2), 1e9)).tolist() == [64.0]

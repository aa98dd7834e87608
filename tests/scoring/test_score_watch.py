"""A detector that says the same whatever it sees, or is surprised by everything, is noticed."""

import numpy as np
import pytest
from feature_vectors import SMALL, vectors

from netmote.scoring.config import ScoringConfig
from netmote.scoring.model_scoring import ModelScoring
from netmote.scoring.score_watch import MEMORY, STUCK_AFTER, ScoreWatch
from netmote.windows.vector import VectorBatch

NO_CLAIM = np.full(1, np.nan)


def test_one_score_for_different_windows_is_stuck() -> None:
    """After STUCK_AFTER windows, not before; one other score begins anew."""
    watch = ScoreWatch()
    for step in range(STUCK_AFTER):
        watch.note(np.array([[float(step), 1.0]]), np.array([0.5]), NO_CLAIM)
    assert not watch.is_stuck
    watch.note(np.array([[-1.0, 1.0]]), np.array([0.5]), NO_CLAIM)
    assert watch.is_stuck
    watch.note(np.array([[-2.0, 1.0]]), np.array([0.6]), NO_CLAIM)
    assert not watch.is_stuck


def test_one_score_for_equal_windows_is_right() -> None:
    """An idle network looks the same every ten seconds, and so does its score."""
    watch = ScoreWatch()
    for _ in range(10 * STUCK_AFTER):
        watch.note(np.array([[1.0, 1.0]]), np.array([0.5]), NO_CLAIM)
    assert not watch.is_stuck


def test_surprise_everywhere_is_a_shift() -> None:
    """Uniform p-values are none; a share of low ones far beyond chance is, and not before there are enough of them."""
    random = np.random.default_rng(5)
    fair, shifted = ScoreWatch(), ScoreWatch()
    for step in range(3 * MEMORY // 10):
        p = random.uniform(size=10)
        features, raw = random.uniform(size=(10, 2)), random.uniform(size=10)
        fair.note(features, raw, -np.log10(p))
        shifted.note(features, raw, -np.log10(p**6))
        assert not (step < MEMORY // 10 - 1 and shifted.is_shifted)
    assert (fair.is_shifted, shifted.is_shifted) == (False, True)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_stuck_model_is_taken_out_of_use(rows: int) -> None:
    """Scoring says why, and goes on without it."""

    class Stuck:
        name, version, schema = "stuck", "1.0.0", SMALL

        def score(self, batch: VectorBatch) -> tuple[np.ndarray, np.ndarray]:
            return np.full(len(batch.values), 0.25), np.zeros_like(batch.values)

    scoring, random = ModelScoring([Stuck()], ScoringConfig()), np.random.default_rng(4)
    for step in range(STUCK_AFTER + 2):
        scoring.evaluate(vectors(random.uniform(1.0, 9.0, (rows, 3)), step=step))
    assert "one and the same score" in scoring.failures["stuck"]

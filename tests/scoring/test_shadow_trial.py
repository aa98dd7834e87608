"""A model in shadow: what it would have alerted is counted, and nothing of it is felt outside."""

import numpy as np
import pytest
from feature_vectors import SMALL, hosts, vectors

from netmote.scoring.config import ScoringConfig
from netmote.scoring.model_scoring import ModelScoring
from netmote.scoring.shadow_trial import ShadowTrial, poisson_point
from netmote.windows.vector import VectorBatch

A, B = hosts(2)
USUAL = np.array([1000.0, 3.0, 0.1])
WILD = np.array([1000.0, 300.0, 0.1])


class Distance:
    """Squared distance of the logs from the usual values, in another measure for each scale."""

    schema = SMALL

    def __init__(self, version: str, *, scale: float = 1.0, blind: bool = False) -> None:
        self.name, self.version = "distance", version
        self._scale, self._blind = scale, blind
        self.is_broken = False

    def score(self, batch: VectorBatch) -> tuple[np.ndarray, np.ndarray]:
        if self.is_broken:
            raise RuntimeError("worn out")
        values = batch.values.copy()
        if self._blind:
            values[:, 1] = USUAL[1]
        parts = self._scale * np.square(np.log1p(values) - np.log1p(USUAL))
        return parts.mean(axis=1), parts


def _usual(random: np.random.Generator) -> np.ndarray:
    return USUAL * random.lognormal(0.0, 0.05, (2, 3))


def _learnt(shadow: Distance, *, windows: int = 400) -> ModelScoring:
    scoring = ModelScoring([Distance("1.0.0")], ScoringConfig(), shadows=[shadow])
    random = np.random.default_rng(3)
    for step in range(windows):
        scoring.evaluate(vectors(_usual(random), step=step))
    return scoring


def test_the_shadow_learns_and_finds_nothing() -> None:
    """The same windows with and without a shadow: the same scores and findings, to the last bit."""
    alone = ModelScoring([Distance("1.0.0")], ScoringConfig())
    beside = ModelScoring([Distance("1.0.0")], ScoringConfig(), shadows=[Distance("2.0.0", scale=9.0)])
    random = np.random.default_rng(3)
    for step in range(420):
        window = vectors([USUAL, WILD] if step > 400 else _usual(random), step=step)
        (ours, found), (theirs, also) = alone.evaluate(window), beside.evaluate(window)
        assert [score.detector for score in theirs] == ["distance"]
        assert np.array_equal(ours[0].surprise, theirs[0].surprise, equal_nan=True)
        assert found == also
    (trial,) = beside.trials()
    assert (trial.active_version, trial.shadow_version) == ("1.0.0", "2.0.0")
    assert trial.windows > 0


def test_models_that_agree_and_models_that_do_not() -> None:
    """A shadow with another scale of scores agrees, because each has its own calibration; one blind to the fault does not."""
    for shadow, both in ((Distance("2.0.0", scale=50.0), 10), (Distance("2.0.0", blind=True), 0)):
        scoring = _learnt(shadow)
        for step in range(400, 410):
            scoring.evaluate(vectors([USUAL, WILD], step=step))
        (trial,) = scoring.trials()
        assert (trial.active_alerts, trial.both_alerts) == (10, both)
        assert trial.agreement == pytest.approx(1.0 - (10 - both) / trial.windows)
        assert trial.expected > 0.0
        assert trial.seconds > 0.0


def test_nothing_is_counted_before_both_are_armed() -> None:
    """A shadow that begins later is compared only from where it has learned enough."""
    scoring = _learnt(Distance("2.0.0"), windows=300)
    (trial,) = scoring.trials()
    assert (trial.windows, trial.agreement, trial.seconds) == (0, None, 0.0)


def test_a_shadow_that_fails_is_out_and_nobody_notices() -> None:
    """Its trial says why; the detector in use goes on."""
    shadow = Distance("2.0.0")
    scoring = _learnt(shadow)
    shadow.is_broken = True
    scores, findings = scoring.evaluate(vectors([USUAL, WILD], step=400))
    assert (len(scores), len(findings), scoring.failures) == (1, 1, {})
    assert "worn out" in (scoring.trials()[0].failure or "")


def test_a_promoted_shadow_is_armed() -> None:
    """What it learned in shadow is its own: in use after a restart, it judges the first window."""
    scoring = _learnt(Distance("2.0.0", scale=50.0))
    promoted = ModelScoring([Distance("2.0.0", scale=50.0)], ScoringConfig(), shadows=[Distance("1.0.0")])
    promoted.restore(scoring.state())
    assert promoted.status()[0].armed == 2
    _, findings = promoted.evaluate(vectors([USUAL, WILD], step=400))
    assert len(findings) == 1
    # The trial of the pair that was is not one of the pair that is.
    assert promoted.trials()[0].windows <= 2


def test_a_trial_goes_on_over_a_restart() -> None:
    """Counts, expectation and times come back with the state."""
    scoring = _learnt(Distance("2.0.0"))
    restored = ModelScoring([Distance("1.0.0")], ScoringConfig(), shadows=[Distance("2.0.0")])
    restored.restore(scoring.state())
    assert restored.trials() == scoring.trials()
    assert restored.trials()[0].windows > 0


def test_a_shadow_of_nothing_is_left_out() -> None:
    """Without a detector of its name there is nothing to measure it against; two of one name are a mistake."""
    assert ModelScoring([], ScoringConfig(), shadows=[Distance("2.0.0")]).trials() == ()
    with pytest.raises(ValueError, match="two detectors"):
        ModelScoring([Distance("1.0.0")], ScoringConfig(), shadows=[Distance("2.0.0"), Distance("3.0.0")])


def test_the_point_of_the_poisson_law_against_its_table() -> None:
    """97.5 % points: 0.025 -> 0, 1 -> 3, 10 -> 17, 100 -> 120; and no jump where the approximation begins."""
    assert [poisson_point(mean) for mean in (0.0, 0.025, 1.0, 10.0, 100.0)] == [0, 0, 3, 17, 120]
    assert poisson_point(700.0) <= poisson_point(700.1) <= poisson_point(700.0) + 2


def test_a_budget_is_kept_within_chance() -> None:
    """One more than chance allows breaks it."""
    trial = ShadowTrial("m", active_version="1", shadow_version="2")
    quiet, loud = np.zeros(1_000), np.full(1, 9.0)
    trial.note(1, quiet, quiet, alpha=0.001)
    for end_ns in range(poisson_point(1.0)):
        trial.note(2 + end_ns, np.zeros(1), loud, alpha=1e-9)
    assert trial.status().keeps_budget
    trial.note(99, np.zeros(1), loud, alpha=1e-9)
    assert not trial.status().keeps_budget


@pytest.mark.parametrize("state", [{}, {"active_version": "1", "shadow_version": "2", "counts": [1]}])
def test_a_damaged_trial_is_an_error(state: dict[str, object]) -> None:
    """ValueError, and the counts are as before."""
    trial = ShadowTrial("m", active_version="1", shadow_version="2")
    with pytest.raises(ValueError):
        trial.restore(state)
    assert trial.status().windows == 0

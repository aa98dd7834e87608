"""Calibration holds its promise: the realised rate is the promised one, on series that stand still and on series that drift."""

from collections.abc import Callable

import numpy as np
import pytest
from feature_vectors import hosts

from netmote.scoring.calibration import MOST_SURPRISE, Calibration, Readiness
from netmote.scoring.state_bytes import pack

ENTITIES = hosts(60)
ALL = np.ones(len(ENTITIES), bool)
Draw = Callable[[np.random.Generator, int], np.ndarray]


def _realised(draw: Draw, *, windows: int, alphas: tuple[float, ...]) -> dict[float, float]:
    """Realised over promised share of windows at or below each alpha, once armed."""
    random, calibration = np.random.default_rng(7), Calibration()
    below, judged = dict.fromkeys(alphas, 0), 0
    for step in range(windows):
        surprise = calibration.observe(ENTITIES, draw(random, step), ALL)
        if step >= 360:
            judged += len(surprise)
            for alpha in alphas:
                below[alpha] += int((surprise >= -np.log10(alpha)).sum())
    return {alpha: count / (alpha * judged) for alpha, count in below.items()}


EXCHANGEABLE: dict[str, Draw] = {
    "tail of log scores exactly exponential": lambda random, _: np.expm1(random.exponential(0.3, len(ENTITIES))),
    "log-normal": lambda random, _: random.lognormal(0.0, 0.5, len(ENTITIES)),
    "heavy (Pareto 3)": lambda random, _: random.pareto(3.0, len(ENTITIES)),
    "light (gamma)": lambda random, _: random.gamma(4.0, 0.2, len(ENTITIES)),
}


@pytest.mark.parametrize("name", EXCHANGEABLE)
def test_promised_rate_is_realised_on_exchangeable_scores(name: str) -> None:
    """At 1 % and 0.1 % the realised rate lies between half and twice the promise; at 1e-4, beyond the history, never above 2.5 times."""
    realised = _realised(EXCHANGEABLE[name], windows=5_000, alphas=(1e-2, 1e-3, 1e-4))
    assert 0.5 <= realised[1e-2] <= 2.0
    assert 0.5 <= realised[1e-3] <= 2.0
    assert realised[1e-4] <= 2.5


def test_promised_rate_is_realised_on_drifting_scores() -> None:
    """A daily swing of +-50 % keeps the realised rate within a factor of 2.5 (a fixed quantile misses by 7 to 150)."""

    def drifting(random: np.random.Generator, step: int) -> np.ndarray:
        return random.gamma(4.0, 0.2, len(ENTITIES)) * (1.0 + 0.5 * np.sin(2.0 * np.pi * step / 8_640.0))

    realised = _realised(drifting, windows=8_640, alphas=(1e-2, 1e-3, 1e-4))
    assert all(1 / 2.5 <= realised[alpha] <= 2.5 for alpha in (1e-2, 1e-3))
    assert realised[1e-4] <= 2.5


def test_p_values_are_uniform_in_the_body() -> None:
    """Below the 98th percentile p-values of exchangeable scores are uniform: each tenth holds a tenth."""
    random, calibration, held = np.random.default_rng(3), Calibration(), []
    for step in range(1_500):
        surprise = calibration.observe(ENTITIES, random.lognormal(0.0, 1.0, len(ENTITIES)), ALL)
        if step >= 360:
            held.append(10.0**-surprise)
    shares = np.histogram(np.concatenate(held), bins=10, range=(0.0, 1.0))[0] / (1_140 * len(ENTITIES))
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.01)


def test_states_cold_learning_armed() -> None:
    """NaN until 30 windows, then p-values, armed from 360; `readiness` says how many windows are missing."""
    calibration, one = Calibration(), hosts(1)
    assert calibration.readiness(one[0]) == (Readiness.COLD, 360)
    random = np.random.default_rng(0)
    for step in range(400):
        surprise = calibration.observe(one, random.random(1), np.ones(1, bool))
        assert np.isnan(surprise[0]) == (step < 30)
        expected = Readiness.COLD if step < 29 else Readiness.LEARNING if step < 359 else Readiness.ARMED
        assert calibration.readiness(one[0]) == (expected, max(0, 359 - step))
        assert calibration.armed([*one, hosts(2)[1]]).tolist() == [step >= 359, False]
        assert calibration.counts()[expected] == 1
    assert sum(calibration.counts().values()) == len(calibration) == 1


def _armed(count: int = 1, **settings: float) -> tuple[Calibration, np.random.Generator]:
    random, calibration = np.random.default_rng(11), Calibration(**settings)
    for _ in range(400):
        calibration.observe(hosts(count), random.gamma(4.0, 0.2, count), np.ones(count, bool))
    return calibration, random


def test_an_attack_never_becomes_normal() -> None:
    """2,000 windows of attack scores later, an attack score is as surprising as at first, and a benign one as ordinary."""
    calibration, random = _armed()
    before = calibration.observe(hosts(1), np.array([50.0]), np.zeros(1, bool))[0]
    for _ in range(2_000):
        calibration.observe(hosts(1), np.array([50.0]), np.ones(1, bool))
    assert calibration.observe(hosts(1), np.array([50.0]), np.zeros(1, bool))[0] == before > 5.0
    assert calibration.observe(hosts(1), random.gamma(4.0, 0.2, 1), np.zeros(1, bool))[0] < 3.0


def test_windows_that_are_not_learnable_never_enter() -> None:
    """A bad window or one a rule fired on leaves the state as it was."""
    calibration, _ = _armed()
    before = calibration.state()
    calibration.observe(hosts(1), np.array([0.8]), np.zeros(1, bool))
    assert calibration.state() == before


def test_a_new_normal_is_learnt_anew_after_a_day() -> None:
    """After `relearn_after` consecutive wrong-looking windows the entity is cold again, and then armed on the new level."""
    calibration, random = _armed(relearn_after=500)
    for _ in range(499):
        calibration.observe(hosts(1), 50.0 + random.random(1), np.ones(1, bool))
    assert calibration.readiness(hosts(1)[0])[0] is Readiness.ARMED
    calibration.observe(hosts(1), 50.0 + random.random(1), np.ones(1, bool))
    assert calibration.readiness(hosts(1)[0]) == (Readiness.COLD, 360)
    for _ in range(400):
        surprise = calibration.observe(hosts(1), 50.0 + random.random(1), np.ones(1, bool))
    assert surprise[0] < 3.0


def test_one_ordinary_window_ends_the_run_of_wrong_ones() -> None:
    """Only an uninterrupted run is a new normal."""
    calibration, _ = _armed(relearn_after=10)
    for score in [50.0] * 9 + [0.8] + [50.0] * 9:
        calibration.observe(hosts(1), np.array([score]), np.ones(1, bool))
    assert calibration.readiness(hosts(1)[0])[0] is Readiness.ARMED


def test_surprise_is_monotone_and_bounded() -> None:
    """A higher score is never less surprising, never above the cap, never below 0."""
    calibration, _ = _armed()
    none = np.zeros(1, bool)
    course = [calibration.observe(hosts(1), np.array([score]), none)[0] for score in np.geomspace(1e-3, 1e9, 200)]
    assert (np.diff(course) >= -1e-9).all()
    assert 0.0 <= min(course) <= max(course) == MOST_SURPRISE


def test_an_entity_that_never_changed_does_not_alert_on_a_trifle() -> None:
    """Constant scores give a tail of least length: 2 % more is no alert, ten times more is one."""
    calibration = Calibration()
    for _ in range(500):
        calibration.observe(hosts(1), np.array([0.2]), np.ones(1, bool))
    none = np.zeros(1, bool)
    assert calibration.observe(hosts(1), np.array([0.204]), none)[0] < 3.0
    assert calibration.observe(hosts(1), np.array([2.0]), none)[0] > 6.0


def test_order_and_batching_do_not_matter() -> None:
    """Entities observed together, apart or reversed have the same p-values to the last bit."""
    random = np.random.default_rng(4)
    together, apart = Calibration(), Calibration()
    names = hosts(5)
    apart.observe(names, np.zeros(5), np.zeros(5, bool))
    together.observe(names, np.zeros(5), np.zeros(5, bool))
    for _ in range(700):
        scores = random.lognormal(0.0, 0.7, 5)
        one = together.observe(names, scores, np.ones(5, bool))
        other = np.concatenate(
            [apart.observe(names[3:], scores[3:], np.ones(2, bool)), apart.observe(names[2::-1], scores[2::-1], np.ones(3, bool))]
        )[[4, 3, 2, 0, 1]]
        assert np.array_equal(one, other, equal_nan=True)


def test_restored_state_goes_on_as_if_nothing_had_happened() -> None:
    """Bit-identical p-values and states after state -> restore, at any moment, also after the ring has wrapped."""
    for windows in (0, 20, 200, 700):
        random, original = np.random.default_rng(windows), Calibration(window=500)
        for _ in range(windows):
            original.observe(hosts(3), random.lognormal(0.0, 0.7, 3), np.array([True, True, False]))
        restored = Calibration(window=500)
        restored.restore(original.state())
        assert restored.state() == original.state()
        for _ in range(300):
            scores = random.lognormal(0.0, 0.7, 4)
            one = original.observe(hosts(4), scores, np.ones(4, bool))
            assert np.array_equal(one, restored.observe(hosts(4), scores, np.ones(4, bool)), equal_nan=True)


def test_state_is_compact() -> None:
    """3,000 windows of 60 entities take little more than 4 bytes each."""
    random, calibration = np.random.default_rng(0), Calibration()
    for _ in range(3_050):
        calibration.observe(ENTITIES, random.random(len(ENTITIES)), ALL)
    assert len(calibration.state()) < 4 * 3_000 * len(ENTITIES) * 1.02 + 10_000


@pytest.mark.parametrize("damage", ["junk", "lacks", "window", "length"])
def test_damaged_state_is_refused_and_changes_nothing(damage: str) -> None:
    """ValueError, and the calibration answers as before."""
    calibration, _ = _armed()
    before = calibration.state()
    other, _ = _armed(window=500)
    blob = {
        "junk": b"junk",
        "lacks": pack({"window": 3_000, "entities": []}, {}),
        "window": other.state(),
        "length": pack(
            {"window": 3_000, "entities": ["host:10.0.0.1"]},
            {"past": np.zeros(3), "total": np.array([5]), "excluded_run": np.array([0]), "tail": np.zeros((1, 4))},
        ),
    }[damage]
    with pytest.raises(ValueError):
        calibration.restore(blob)
    assert calibration.state() == before


def test_bounded_by_entities() -> None:
    """More entities than the table: the surplus of one window gets no p-value, the longest unseen gives way between windows."""
    calibration = Calibration(max_entities=2)
    for _ in range(40):
        surprise = calibration.observe(hosts(3), np.ones(3), np.ones(3, bool))
    assert np.isnan(surprise).tolist() == [False, False, True]
    calibration.observe(hosts(3)[2:], np.ones(1), np.ones(1, bool))
    assert calibration.evicted == 1
    assert calibration.readiness(hosts(3)[2]) == (Readiness.COLD, 359)
    assert len(calibration) == 2


def test_forget_begins_anew() -> None:
    """A forgotten entity is cold."""
    calibration, _ = _armed()
    calibration.forget(hosts(1)[0])
    assert calibration.readiness(hosts(1)[0]) == (Readiness.COLD, 360)


def test_without_exclusion_nothing_is_cut() -> None:
    """Exclusion 0 learns every window and needs no correction of the tail."""
    random, calibration = np.random.default_rng(0), Calibration(exclusion=0.0)
    for _ in range(400):
        calibration.observe(hosts(1), random.exponential(1.0, 1), np.ones(1, bool))
    assert np.isfinite(calibration.observe(hosts(1), np.array([99.0]), np.ones(1, bool))).all()


@pytest.mark.parametrize("wrong", [{"learning_from": 0}, {"armed_from": 10}, {"window": 100}, {"exclusion": 0.5}])
def test_senseless_settings_are_refused(wrong: dict[str, float]) -> None:
    """The order of the counts and the range of the exclusion are checked."""
    with pytest.raises(ValueError):
        Calibration(**wrong)

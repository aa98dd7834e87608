"""Baselines: the usual value in the feature's own unit, moved little by wild windows, bounded, restored exactly."""

import time

import numpy as np
import pytest
from feature_vectors import SMALL, hosts, vectors

from netmote.scoring.baseline import KNOWN_FROM, Baseline
from netmote.windows.schema import FeatureSchema
from netmote.windows.schemas import TRAFFIC

HOST = hosts(1)[0]


def _learnt(windows: int, *, wild_every: int = 0) -> Baseline:
    random, baseline = np.random.default_rng(1), Baseline(SMALL)
    for step in range(windows):
        values = np.expm1(random.normal([np.log1p(1000.0), np.log1p(3.0), 0.1], [0.2, 0.1, 0.02]))
        if wild_every and step > 50 and step % wild_every == 0:
            values = values * 1e6
        baseline.learn(vectors(values, step=step), np.array([True]))
    return baseline


def test_usual_value_and_distance_are_in_the_features_unit() -> None:
    """After an hour of windows around 1,000 B/s the usual value is close to it, and twice that lies about ln 2 / 0.2 spreads off."""
    usual, sigma = _learnt(360).explain(SMALL, HOST, np.array([2000.0, 3.0, 0.1]))
    assert usual[0] == pytest.approx(1000.0, rel=0.05)
    assert sigma[0] == pytest.approx(np.log(2) / 0.2, rel=0.15)
    assert abs(sigma[1]) < 1.0


def test_spread_has_a_floor() -> None:
    """An entity that never changed is not surprised by five per cent."""
    baseline = Baseline(SMALL)
    for step in range(100):
        baseline.learn(vectors([100.0, 2.0, 0.0], step=step), np.array([True]))
    _, sigma = baseline.explain(SMALL, HOST, np.array([105.0, 2.0, 0.0]))
    assert 0.9 < sigma[0] < 1.1
    assert sigma[1] == pytest.approx(0.0, abs=1e-9)


def test_wild_windows_move_it_little() -> None:
    """One window in twenty a million times too high leaves the usual value within 20 %."""
    usual, _ = _learnt(600, wild_every=20).explain(SMALL, HOST, np.zeros(3))
    assert usual[0] == pytest.approx(1000.0, rel=0.2)


def test_nothing_is_usual_before_thirty_windows() -> None:
    """NaN for an unknown entity and until `KNOWN_FROM` windows are learnt, feature by feature."""
    baseline = Baseline(SMALL)
    present = np.array([[True, True, False]])
    for step in range(KNOWN_FROM):
        assert np.isnan(baseline.explain(SMALL, HOST, np.ones(3))[0]).all()
        baseline.learn(vectors([1.0, 1.0, 0.0], step=step, present=present), np.array([True]))
    assert np.isnan(baseline.explain(SMALL, HOST, np.ones(3))[0]).tolist() == [False, False, True]


def test_only_learnable_windows_count() -> None:
    """A window that is not learnable leaves no trace, and makes no row."""
    baseline = Baseline(SMALL)
    baseline.learn(vectors(np.ones((2, 3))), np.array([False, False]))
    assert len(baseline) == 0
    baseline.learn(vectors(np.ones((2, 3))), np.array([False, True]))
    assert len(baseline) == 1


def test_order_of_entities_and_batching_do_not_matter() -> None:
    """Two entities learnt together or apart, in either order: the same answer to the last bit."""
    random = np.random.default_rng(2)
    together, apart = Baseline(SMALL), Baseline(SMALL)
    a, b = hosts(2)
    for step in range(60):
        values = random.random((2, 3))
        together.learn(vectors(values, step=step), np.array([True, True]))
        apart.learn(vectors(values[1], step=step, entities=[b]), np.array([True]))
        apart.learn(vectors(values[0], step=step, entities=[a]), np.array([True]))
    for entity in (a, b):
        for one, other in zip(together.explain(SMALL, entity, np.ones(3)), apart.explain(SMALL, entity, np.ones(3)), strict=True):
            assert np.array_equal(one, other)


def test_bounded_by_entities() -> None:
    """The entity seen longest ago is forgotten, counted, and its row starts empty for the next one."""
    baseline = Baseline(SMALL, max_entities=2)
    for step, entity in enumerate([*hosts(3)] * KNOWN_FROM):
        baseline.learn(vectors(np.full(3, float(step)), step=step, entities=[entity]), np.array([True]))
    assert len(baseline) == 2
    assert baseline.evicted > 0
    assert np.isnan(baseline.explain(SMALL, hosts(3)[2], np.ones(3))[0]).all()


def test_restored_state_answers_alike() -> None:
    """State -> restore gives the same usual values to float32, and goes on learning."""
    original, restored = _learnt(100), Baseline(SMALL)
    restored.restore(original.state())
    for one, other in zip(original.explain(SMALL, HOST, np.ones(3)), restored.explain(SMALL, HOST, np.ones(3)), strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    restored.learn(vectors(np.ones((2, 3))), np.array([True, True]))
    assert len(restored) == 2


def test_foreign_state_and_schema_are_refused() -> None:
    """Another schema's state, a truncated one and a question about another schema are errors; nothing changes."""
    other = FeatureSchema("small", 2, SMALL.window_ns, SMALL.hop_ns, SMALL.features)
    baseline = _learnt(40)
    with pytest.raises(ValueError, match="not of schema"):
        baseline.restore(Baseline(other).state())
    with pytest.raises(ValueError):
        baseline.restore(b"junk")
    with pytest.raises(ValueError, match="asked about"):
        baseline.explain(other, HOST, np.ones(3))
    assert np.isfinite(baseline.explain(SMALL, HOST, np.ones(3))[0]).all()


def test_state_without_its_arrays_is_refused() -> None:
    """A head that promises entities without their arrays is damage."""
    from netmote.scoring.state_bytes import pack

    with pytest.raises(ValueError, match="lacks 'centre'"):
        Baseline(SMALL).restore(pack({"schema": SMALL.hash, "entities": [str(HOST)]}, {}))


def test_forget_begins_anew() -> None:
    """A forgotten entity has no usual value."""
    baseline = _learnt(40)
    baseline.forget(HOST)
    assert np.isnan(baseline.explain(SMALL, HOST, np.ones(3))[0]).all()


def test_a_whole_window_is_compared_as_its_entities_one_by_one() -> None:
    """`usual` and `explain` agree to the last bit; strangers, features too young and features not observed are not known."""
    random, baseline, (a, b, c) = np.random.default_rng(5), Baseline(SMALL), hosts(3)
    present = np.array([[True, True, True], [True, True, False]])
    for step in range(KNOWN_FROM):
        batch = vectors(random.lognormal(3.0, 0.5, (2, 3)), step=step, entities=[a, b], present=present)
        baseline.learn(batch, np.array([True, True]))
    window = vectors(
        random.lognormal(3.0, 2.0, (3, 3)), entities=[c, b, a], present=np.array([[True] * 3] * 2 + [[True, False, True]])
    )
    usual = baseline.usual(window)
    assert usual.known.tolist() == [[False] * 3, [True, True, False], [True, False, True]]
    for row, entity in enumerate(window.entities):
        centre, sigma = baseline.explain(SMALL, entity, window.values[row])
        assert np.array_equal(usual.centre[row], centre, equal_nan=True)
        assert np.array_equal(usual.deviation[row][usual.known[row]], sigma[usual.known[row]])
    assert np.isnan(usual.deviation[~usual.known]).all()
    assert np.isnan(usual.centre[0]).all()
    assert not Baseline(SMALL).usual(window).known.any()
    with pytest.raises(ValueError, match="asked about"):
        Baseline(TRAFFIC).usual(window)


def test_comparing_leaves_no_trace() -> None:
    """To ask is not to learn: the state is the same to the bit, and nobody counts as seen."""
    baseline = _learnt(40)
    before = baseline.state()
    baseline.usual(vectors(np.full((5, 3), 1e9)))
    assert baseline.state() == before


def test_a_change_that_stays_becomes_unknown_and_then_usual() -> None:
    """So many windows on end found unlike themselves: the entity begins anew. One ordinary window in between counts from zero."""
    baseline, window = Baseline(SMALL, relearn_after=20), vectors(np.ones((2, 3)))
    yes, no, both = np.array([True, False]), np.array([False, False]), np.array([True, True])
    for step in range(KNOWN_FROM):
        baseline.learn(vectors(np.ones((2, 3)), step=step), both)
    for run in (19, 19):
        for _ in range(run):
            baseline.renew(window, yes)
        assert baseline.usual(window).known.all()
        baseline.renew(window, no)
    for _ in range(10):
        baseline.renew(window, yes)
    restored = Baseline(SMALL, relearn_after=20)
    restored.restore(baseline.state())
    for each in (baseline, restored):
        for _ in range(10):
            each.renew(window, yes)
        assert each.usual(window).known.tolist() == [[False] * 3, [True] * 3]
        for step in range(KNOWN_FROM):
            each.learn(vectors(np.full((2, 3), 500.0), step=step), yes)
        assert each.usual(window).centre[0] == pytest.approx([500.0] * 3)


def test_a_state_from_before_such_counts_is_understood() -> None:
    """What an older version learnt is kept."""
    from netmote.scoring.state_bytes import pack, unpack

    head, arrays = unpack(_learnt(40).state())
    del arrays["deviating"]
    baseline = Baseline(SMALL)
    baseline.restore(pack(head, arrays))
    assert baseline.usual(vectors(np.ones(3))).known.all()


def test_a_thousand_entities_are_compared_in_a_millisecond_or_two() -> None:
    """All 37 features of 1,000 entities: measured 1.1 ms; the limit allows for a busy machine, not for a loop."""
    values = np.random.default_rng(6).lognormal(3.0, 1.0, (1_000, len(TRAFFIC)))
    baseline, window = Baseline(TRAFFIC), vectors(values, schema=TRAFFIC)
    for _ in range(KNOWN_FROM):
        baseline.learn(window, np.ones(1_000, bool))
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        baseline.usual(window)
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.006

"""Scoring as a whole: who may alert, what an alert says, and that no detector can take scoring down."""

from dataclasses import replace

import numpy as np
import pytest
from feature_vectors import SMALL, hosts, vectors

from netmote.records.entity import Entity, EntityKind
from netmote.scoring.baseline import RELEARN_AFTER
from netmote.scoring.config import ScoringConfig
from netmote.scoring.finding import Contributor, Finding, Severity
from netmote.scoring.interface_residual import InterfaceResidual
from netmote.scoring.model_scoring import KEEP_FIRING_NS, ModelScoring
from netmote.windows.schema import FeatureSchema
from netmote.windows.vector import VectorBatch

A, B = hosts(2)
USUAL = np.array([1000.0, 3.0, 0.1])
WILD = np.array([1000.0, 300.0, 0.1])
OTHER = FeatureSchema("other", 1, SMALL.window_ns, SMALL.hop_ns, SMALL.features)


class Distance:
    """A detector: squared distance of the logs from the usual values; `answers` lets it fail on chosen calls."""

    def __init__(self, name: str = "distance", schema: FeatureSchema = SMALL, *, version: str = "1.0.0") -> None:
        self.name, self.schema, self.version = name, schema, version
        self.calls = 0
        self.failing: dict[int, Exception | float] = {}

    def score(self, batch: VectorBatch) -> tuple[np.ndarray, np.ndarray]:
        self.calls += 1
        parts = np.square(np.log1p(batch.values) - np.log1p(USUAL))
        failure = self.failing.get(self.calls)
        if isinstance(failure, Exception):
            raise failure
        if failure is not None:
            parts = np.full_like(parts, failure)
        return parts.mean(axis=1), parts


def _usual(random: np.random.Generator, rows: int = 2) -> np.ndarray:
    return USUAL * random.lognormal(0.0, 0.05, (rows, 3))


def _learnt(*detectors: object, windows: int = 400, config: ScoringConfig | None = None, rows: int = 2) -> ModelScoring:
    scoring = ModelScoring(detectors or [Distance()], config or ScoringConfig())
    random = np.random.default_rng(3)
    for step in range(windows):
        scoring.evaluate(vectors(_usual(random, rows), step=step))
    return scoring


def _rule(entity: Entity = A, **changes: object) -> Finding:
    finding = Finding(
        group="port-scan",
        detector="rule",
        entity=entity,
        start_ns=0,
        end_ns=1,
        surprise=1.0,
        severity=Severity.ERROR,
        title="a scan",
        contributors=(Contributor("uniq_dst", "{address}", 300.0, threshold=30.0),),
    )
    return replace(finding, **changes)


def test_a_strange_window_of_an_armed_entity_is_found_and_explained() -> None:
    """One finding: group of detector and family, the feature against its baseline, a sentence, warning, kept firing 60 s."""
    scores, findings = _learnt().evaluate(vectors([USUAL, WILD], step=400))
    assert [score.detector for score in scores] == ["distance"]
    assert scores[0].surprise[1] > 6.0
    assert scores[0].surprise[0] < 3.0
    (found,) = findings
    assert (found.group, found.detector, found.entity) == ("model:distance:peers", "distance", B)
    assert (found.severity, found.keep_firing_for_ns, found.hop_ns) == (Severity.WARNING, KEEP_FIRING_NS, SMALL.hop_ns)
    assert found.contributors[0].feature == "uniq_dst"
    assert found.contributors[0].baseline == pytest.approx(3.0, rel=0.05)
    assert "uniq dst 300 (usually 3" in found.title
    assert 0.999 < found.score <= 1.0


def test_three_of_five_windows_are_critical() -> None:
    """The third strange window within five raises the severity; an isolated one later is a warning again."""
    scoring, course = _learnt(), []
    for step, values in enumerate([WILD, USUAL, WILD, WILD, USUAL, USUAL, USUAL, USUAL, USUAL, WILD]):
        _, findings = scoring.evaluate(vectors([USUAL, values], step=400 + step))
        course.append(findings[0].severity.word if findings else "")
    assert course == ["warning", "", "warning", "critical", "", "", "", "", "", "warning"]


@pytest.mark.parametrize("windows", [0, 10, 200])
def test_learning_entities_make_no_claim(windows: int) -> None:
    """Before the entity is armed the surprise is NaN and nothing is found, however wild the window."""
    scores, findings = _learnt(windows=windows).evaluate(vectors([USUAL, WILD], step=windows))
    assert np.isnan(scores[0].surprise).all()
    assert findings == ()


def test_bad_windows_make_no_claim_and_train_nothing() -> None:
    """A window that is not good raises no model alert and leaves the state as it was."""
    scoring = _learnt()
    before = scoring.state()
    scores, findings = scoring.evaluate(vectors([WILD, WILD], step=400, quality=[1, 2]))
    assert np.isnan(scores[0].surprise).all()
    assert findings == ()
    assert scoring.state() == before


def test_incomplete_vectors_are_not_shown_to_a_detector_that_needs_all() -> None:
    """An absent feature means no claim for that entity; the other is scored."""
    window = vectors([USUAL, WILD], step=400, present=[[True, False, True], [True, True, True]])
    scores, findings = _learnt().evaluate(window)
    assert np.isnan(scores[0].surprise).tolist() == [True, False]
    assert [finding.entity for finding in findings] == [B]


def test_rule_findings_come_back_fused_and_explained() -> None:
    """The rule keeps its identity, gains baseline and spread, and a p-value at most alpha; the model adds no second finding."""
    scoring = _learnt()
    alpha = scoring.alpha
    _, findings = scoring.evaluate(vectors([WILD, USUAL], step=400), [_rule()])
    (found,) = findings
    assert (found.group, found.severity) == ("port-scan", Severity.ERROR)
    assert 10.0**-found.surprise <= alpha
    assert found.contributors[0].threshold == 30.0
    assert found.contributors[0].baseline == pytest.approx(3.0, rel=0.05)


def test_a_model_that_agrees_raises_the_surprise_of_a_rule() -> None:
    """The same rule finding is worth more on a window that the model finds strange than on an ordinary one."""
    strange = _learnt().evaluate(vectors([WILD, USUAL], step=400), [_rule()])[1][0].surprise
    ordinary = _learnt().evaluate(vectors([USUAL, USUAL], step=400), [_rule()])[1][0].surprise
    alone = ModelScoring([], ScoringConfig()).evaluate(vectors([USUAL, USUAL]), [_rule()])[1][0].surprise
    assert strange > ordinary
    assert ordinary != alone


def test_weighted_fusion_is_what_it_says() -> None:
    """0.4 of the rule's surprise and 0.6 of the model's."""
    scoring = _learnt(config=ScoringConfig(fusion="weighted"))
    rule = -np.log10(scoring.alpha / 2.0)
    scores, findings = scoring.evaluate(vectors([WILD, USUAL], step=400), [_rule()])
    assert findings[0].surprise == pytest.approx(0.4 * rule + 0.6 * scores[0].surprise[0])


def test_findings_of_other_entities_pass_through() -> None:
    """A fact of a device that has no vector in this window keeps its contributors and is worth a fact."""
    device = Entity(EntityKind.DEVICE, "core")
    _, findings = _learnt().evaluate(vectors([USUAL, USUAL], step=400), [_rule(device)])
    assert findings[0].contributors == _rule().contributors
    assert findings[0].entity == device


def test_windows_with_a_rule_finding_train_nothing() -> None:
    """What a rule fired on is never learnt: the wild value stays wild."""
    scoring = _learnt()
    for step in range(100):
        scoring.evaluate(vectors([WILD, USUAL], step=400 + step), [_rule()])
    (found,) = scoring.evaluate(vectors([WILD, USUAL], step=500))[1]
    assert found.contributors[0].baseline == pytest.approx(3.0, rel=0.05)


def test_only_a_rule_that_compares_with_the_baseline_can_renew_it() -> None:
    """A day of deviation is a new normal: then the usual value is unknown. A day of another rule's finding changes nothing."""
    compared = _rule(contributors=(Contributor("uniq_dst", "{address}", 300.0, baseline=3.0, sigma=9.0),))
    window = vectors([WILD, USUAL], step=400)
    for finding, is_known in ((_rule(), True), (compared, False)):
        scoring = _learnt(windows=40)
        for _ in range(RELEARN_AFTER):
            scoring.evaluate(window, [finding])
        assert scoring.usual(window).known.all(axis=1).tolist() == [is_known, True]


def test_the_budget_is_shared_among_entities_and_detectors() -> None:
    """Alpha = alerts per day / (armed entities x windows per day), over all detectors; wide open while nobody is armed."""
    assert ModelScoring([Distance()], ScoringConfig()).alpha == 0.01
    assert _learnt().alpha == pytest.approx(1.0 / (2 * 8640))
    assert _learnt(config=ScoringConfig(alerts_per_day=10.0)).alpha == pytest.approx(10.0 / (2 * 8640))
    assert _learnt(Distance("one"), Distance("two")).alpha == pytest.approx(1.0 / (4 * 8640))


def test_the_budget_is_held() -> None:
    """20 entities, 5,000 ordinary windows: the findings stay within the 99.9 % Poisson bound of the budget (alerts per day 24)."""
    scoring, random, found = ModelScoring([Distance()], ScoringConfig(alerts_per_day=24.0)), np.random.default_rng(9), 0
    for step in range(5_000):
        found += len(scoring.evaluate(vectors(_usual(random, 20), step=step))[1])
    expected = 24.0 * (5_000 - 360) / 8640
    assert found <= expected + 3.3 * np.sqrt(expected)


@pytest.mark.parametrize(
    ("failures", "reason"),
    [
        ({401: RuntimeError("no"), 402: RuntimeError("no")}, "RuntimeError: no"),
        ({401: float("nan"), 402: float("nan")}, "not a finite number"),
        ({401: RuntimeError("no"), 402: float("inf")}, "not a finite number"),
    ],
)
def test_a_detector_that_fails_twice_is_taken_out(failures: dict[int, Exception | float], reason: str) -> None:
    """After two failures in a row it is out of use with its reason; rules go on; it is not asked again."""
    detector = Distance()
    scoring = _learnt(detector)
    detector.failing = failures
    scores, findings = scoring.evaluate(vectors([WILD, USUAL], step=400), [_rule()])
    assert scores == ()
    assert len(findings) == 1
    assert reason in scoring.failures["distance"]
    assert scoring.status()[0].failure == scoring.failures["distance"]
    scoring.evaluate(vectors([WILD, USUAL], step=401))
    assert detector.calls == 402


def test_one_failure_is_tried_again() -> None:
    """A single exception or NaN costs nothing but a second try."""
    detector = Distance()
    scoring = _learnt(detector)
    detector.failing = {401: RuntimeError("once"), 403: float("nan")}
    for step in (400, 401):
        scores, findings = scoring.evaluate(vectors([USUAL, WILD], step=step))
        assert len(scores) == len(findings) == 1
    assert scoring.failures == {}


def test_a_wrong_shape_is_a_failure() -> None:
    """A detector that answers for other rows than asked is out."""

    class Wrong(Distance):
        def score(self, batch: VectorBatch) -> tuple[np.ndarray, np.ndarray]:
            score, parts = super().score(batch)
            return score[:1], parts

    scoring = ModelScoring([Wrong()], ScoringConfig())
    scoring.evaluate(vectors([USUAL, USUAL]))
    assert "shapes" in scoring.failures["distance"]


def test_detectors_see_only_their_schema() -> None:
    """Vectors of another schema pass by, yet teach that schema's baseline."""
    detector = Distance(schema=OTHER)
    scoring = ModelScoring([detector], ScoringConfig())
    for step in range(40):
        assert scoring.evaluate(vectors([USUAL], step=step))[0] == ()
    assert detector.calls == 0
    _, findings = scoring.evaluate(vectors([WILD], step=40), [_rule()])
    assert findings[0].contributors[0].baseline == pytest.approx(3.0, rel=0.05)


def test_an_empty_window_is_nothing() -> None:
    """No entities: empty scores, no findings, no failure."""
    scoring = _learnt()
    scores, findings = scoring.evaluate(vectors(np.empty((0, 3)), entities=()))
    assert scores[0].surprise.shape == (0,)
    assert findings == ()
    assert scoring.failures == {}


def test_state_goes_on_as_if_nothing_had_happened() -> None:
    """Scores and findings after state -> restore equal those of the original to the last bit, with a stateful detector too."""

    def detectors() -> list[object]:
        return [Distance(), InterfaceResidual(SMALL)]

    original = _learnt(*detectors(), windows=380)
    original.evaluate(vectors([WILD, USUAL], step=380))
    restored = ModelScoring(detectors(), ScoringConfig())
    restored.restore(original.state())
    assert restored.state() == original.state()
    random = np.random.default_rng(8)
    for step in range(381, 440):
        window = vectors(_usual(random) if step % 7 else [WILD, USUAL], step=step)
        (ours, found), (theirs, also) = original.evaluate(window), restored.evaluate(window)
        assert all(np.array_equal(a.surprise, b.surprise, equal_nan=True) for a, b in zip(ours, theirs, strict=True))
        assert [f.group for f in found] == [f.group for f in also]
        assert [f.severity for f in found] == [f.severity for f in also]


def test_state_of_other_detectors_is_left_out() -> None:
    """A detector that is new begins cold; one that is gone is forgotten; the others go on."""
    stored = _learnt(Distance("old"), Distance("kept")).state()
    scoring = ModelScoring([Distance("kept"), Distance("new")], ScoringConfig())
    scoring.restore(stored)
    assert {status.name: status.armed for status in scoring.status()} == {"kept": 2, "new": 0}


def test_damaged_state_is_an_error() -> None:
    """Junk and a state of another version raise ValueError."""
    from netmote.scoring.state_bytes import pack

    with pytest.raises(ValueError):
        ModelScoring([], ScoringConfig()).restore(b"junk")
    with pytest.raises(ValueError, match="version 9"):
        ModelScoring([], ScoringConfig()).restore(pack({"version": 9}, {}))


def test_a_device_that_was_replaced_is_learnt_anew_with_its_ports() -> None:
    """What is known of the device and of every port of it is forgotten; other devices, and names that only begin alike, stay."""
    ports = tuple(Entity(EntityKind.INTERFACE, name) for name in ("sw/ge0", "sw10/ge0"))
    scoring, random = ModelScoring([Distance()], ScoringConfig()), np.random.default_rng(3)
    for step in range(400):
        scoring.evaluate(vectors(_usual(random, 2), entities=ports, step=step))
    assert scoring.status()[0].armed == 2
    scoring.accept_device(Entity(EntityKind.DEVICE, "s"))
    assert scoring.status()[0].armed == 2
    scoring.accept_device(Entity(EntityKind.DEVICE, "sw"))
    assert scoring.status()[0].armed == 1


def test_accept_learns_anew() -> None:
    """An accepted entity is cold again; the others stay armed."""
    scoring = _learnt()
    scoring.accept(A)
    status = scoring.status()[0]
    assert (status.cold, status.armed) == (0, 1)
    scoring.evaluate(vectors([USUAL, USUAL], step=400))
    assert (scoring.status()[0].cold, scoring.status()[0].armed) == (1, 1)


def test_status_tells_the_states() -> None:
    """Cold, learning and armed entities, the last p and the alpha of now."""
    scoring = _learnt(windows=100)
    status = scoring.status()[0]
    assert (status.name, status.schema_name, status.learning, status.last_p, status.failure) == (
        "distance",
        "small",
        2,
        None,
        None,
    )
    scoring = _learnt()
    scoring.evaluate(vectors([USUAL, WILD], step=400))
    status = scoring.status()[0]
    assert status.last_p is not None
    assert status.last_p < 1e-6
    assert (status.armed, status.alpha, status.evicted) == (2, scoring.alpha, 0)


def test_persistence_is_bounded() -> None:
    """More strange entities than the bound: the oldest bits go, nothing grows."""
    scoring, random, names = ModelScoring([Distance()], ScoringConfig(), max_entities=3), np.random.default_rng(3), hosts(6)
    for group in (names[:3], names[3:]):
        for step in range(400):
            scoring.evaluate(vectors(_usual(random, 3), step=step, entities=group))
        assert len(scoring.evaluate(vectors([WILD] * 3, step=400, entities=group))[1]) == 3
    assert len(scoring._recent["distance"]) == 3


def test_order_of_entities_does_not_matter() -> None:
    """The same windows with entities in reverse: the same surprise for each."""
    forward, backward, random = (
        ModelScoring([Distance()], ScoringConfig()),
        ModelScoring([Distance()], ScoringConfig()),
        np.random.default_rng(1),
    )
    for step in range(420):
        values = _usual(random)
        one, _ = forward.evaluate(vectors(values, step=step, entities=(A, B)))
        other, _ = backward.evaluate(vectors(values[::-1], step=step, entities=(B, A)))
        assert np.array_equal(one[0].surprise, other[0].surprise[::-1], equal_nan=True)


def test_two_detectors_of_one_name_are_refused() -> None:
    """Names identify calibrations: they must differ."""
    with pytest.raises(ValueError, match="one name"):
        ModelScoring([Distance(), Distance()], ScoringConfig())

"""The contract of every detector: order, batching, bad input, emptiness, determinism. One suite over all implementations."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from bundle_workshop import model_bytes
from feature_vectors import SMALL, hosts, vectors

from netmote.clock import SystemClock
from netmote.models.config import ModelsConfig
from netmote.models.graph_detector import GraphDetector
from netmote.models.numpy_detector import NumpyRuntime
from netmote.models.onnx_detector import OnnxRuntime
from netmote.models.onnx_graph import read_graph
from netmote.models.registry import load_detectors
from netmote.scoring.detector import Detector
from netmote.scoring.interface_residual import InterfaceResidual
from netmote.scoring.stateful_detector import StatefulDetector
from netmote.windows.schema import FeatureSchema
from netmote.windows.schemas import ALL, INTERFACE, TRAFFIC
from netmote.windows.vector import VectorBatch


def _shipped(runtime: str) -> Detector:
    (detector,) = load_detectors(ModelsConfig(), schemas=ALL, runtime=runtime).detectors
    return detector


def _warm_interface() -> Detector:
    detector, random = InterfaceResidual(INTERFACE), np.random.default_rng(0)
    for step in range(30):
        detector.score(vectors(random.lognormal(5.0, 0.2, (12, len(INTERFACE))), schema=INTERFACE, step=step))
    return detector


MAKERS: dict[str, Callable[[], Detector]] = {
    "shipped traffic model, onnxruntime": lambda: _shipped("onnxruntime"),
    "shipped traffic model, numpy": lambda: _shipped("numpy"),
    "float32 graph, onnxruntime": lambda: GraphDetector(
        "f", "1.0.0", TRAFFIC, OnnxRuntime(model_bytes(int8=False)), clock=SystemClock()
    ),
    "float32 graph, numpy": lambda: GraphDetector(
        "f", "1.0.0", TRAFFIC, NumpyRuntime(read_graph(model_bytes(int8=False))), clock=SystemClock()
    ),
    "interface residual": _warm_interface,
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[], Detector]]:
    """A maker of one kind of detector, always in the same state."""
    return MAKERS[request.param]


def _window(schema: FeatureSchema, rows: int = 12) -> VectorBatch:
    random = np.random.default_rng(4)
    values = np.expm1(random.exponential(2.0, (rows, len(schema)))) * random.choice([0.0, 1.0, 1.0], (rows, len(schema)))
    return vectors(values, schema=schema, step=100)


def _part(window: VectorBatch, rows: list[int]) -> VectorBatch:
    return replace(
        window,
        entities=tuple(window.entities[row] for row in rows),
        values=window.values[rows],
        present=window.present[rows],
        coverage=window.coverage[rows],
        quality=window.quality[rows],
        loss_ratio=window.loss_ratio[rows],
    )


def test_shapes_and_kinds(make: Callable[[], Detector]) -> None:
    """Scores (entities,) and contributions (entities, features), float64, finite, not all alike, contributions never negative."""
    detector = make()
    score, contribution = detector.score(_window(detector.schema))
    assert (score.shape, contribution.shape) == ((12,), (12, len(detector.schema)))
    assert (score.dtype, contribution.dtype) == (np.float64, np.float64)
    assert np.isfinite(score).all()
    assert (contribution >= 0.0).all()
    assert len(np.unique(score)) > 6


def test_order_of_entities_does_not_matter(make: Callable[[], Detector]) -> None:
    """A permuted window gives permuted answers."""
    detector, order = make(), np.random.default_rng(1).permutation(12).tolist()
    window = _window(detector.schema)
    score, contribution = detector.score(window)
    other_score, other_contribution = make().score(_part(window, order))
    assert other_score == pytest.approx(score[order], rel=1e-5, abs=1e-6)
    assert other_contribution == pytest.approx(contribution[order], rel=1e-4, abs=1e-5)


def test_batching_does_not_matter(make: Callable[[], Detector]) -> None:
    """One by one, in pieces or all at once, also beside a wild neighbour: the same answers."""
    detector = make()
    window = _window(detector.schema)
    window.values[0] = 1e12
    score, _ = detector.score(window)
    alone = make()
    assert [alone.score(_part(window, [row]))[0][0] for row in range(12)] == pytest.approx(score.tolist(), rel=1e-5, abs=1e-6)
    pieces = make()
    halves = [pieces.score(_part(window, rows))[0] for rows in ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10, 11])]
    assert np.concatenate(halves) == pytest.approx(score, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_refused(make: Callable[[], Detector], bad: float) -> None:
    """ValueError, and the detector answers the next window as if nothing had happened."""
    detector = make()
    window = _window(detector.schema)
    expected = make().score(window)[0]
    spoilt = replace(window, values=window.values.copy())
    spoilt.values[3, 2] = bad
    with pytest.raises(ValueError, match="not finite"):
        detector.score(spoilt)
    assert np.array_equal(detector.score(window)[0], expected)


def test_extreme_values_give_finite_scores(make: Callable[[], Detector]) -> None:
    """The largest float64 of either sign, zero and the smallest: finite answers."""
    detector = make()
    extremes = np.array([np.finfo(np.float64).max, np.finfo(np.float64).min, 0.0, np.finfo(np.float64).tiny])
    score, contribution = detector.score(vectors(np.repeat(extremes[:, None], len(detector.schema), 1), schema=detector.schema))
    assert np.isfinite(score).all()
    assert np.isfinite(contribution).all()


def test_an_empty_window_gives_empty_answers(make: Callable[[], Detector]) -> None:
    """No entities, no scores, the right shapes."""
    detector = make()
    score, contribution = detector.score(_part(_window(detector.schema), []))
    assert score.shape == (0,)
    assert contribution.shape == (0, len(detector.schema))


def test_another_schema_is_refused(make: Callable[[], Detector]) -> None:
    """A vector with other features is never scored."""
    with pytest.raises(ValueError, match="another schema"):
        make().score(vectors(np.zeros((1, len(SMALL))), schema=SMALL))


def test_the_future_changes_no_past_score(make: Callable[[], Detector]) -> None:
    """A window's score is the same whatever comes after it, and after state -> restore where there is state."""
    detector, other = make(), make()
    window = _window(detector.schema)
    first = detector.score(window)[0]
    detector.score(vectors(np.full((12, len(detector.schema)), 1e9), schema=detector.schema, entities=hosts(12)))
    assert np.array_equal(other.score(window)[0], first)
    if isinstance(detector, StatefulDetector):
        again = make()
        assert isinstance(again, StatefulDetector)
        again.restore(detector.state())
        assert np.array_equal(again.score(window)[0], detector.score(window)[0])


def test_both_runtimes_agree() -> None:
    """Numpy and onnxruntime give the same scores and contributions within float32 rounding, for 500 windows."""
    window = _window(TRAFFIC, rows=500)
    (score, parts), (other, also) = (_shipped(runtime).score(window) for runtime in ("onnxruntime", "numpy"))
    assert other == pytest.approx(score, rel=1e-5, abs=1e-5)
    assert also == pytest.approx(parts, rel=1e-3, abs=1e-4)

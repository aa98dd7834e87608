"""What all detectors of bundles share: the border to float32, and the time each run took."""

import numpy as np
import pytest
from feature_vectors import SMALL, vectors
from manual_clock import ManualClock
from numpy.typing import NDArray

from netmote.models.graph_detector import GraphDetector


class Slow:
    """A runtime that takes `seconds` for each row, and fails while it is told to."""

    kind = "slow"
    is_broken = False

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self.clock, self._seconds = clock, seconds
        self.seen: list[NDArray[np.float32]] = []

    def run(self, features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self.is_broken:
            raise RuntimeError("out of order")
        self.seen.append(features)
        self.clock.advance(self._seconds * len(features))
        return features.sum(axis=1), np.abs(features)


@pytest.fixture
def runtime() -> Slow:
    return Slow(ManualClock(), 0.25)


@pytest.fixture
def detector(runtime: Slow) -> GraphDetector:
    return GraphDetector("slow", "1.0.0", SMALL, runtime, clock=runtime.clock)


def test_each_run_is_timed_by_the_given_clock(detector: GraphDetector, runtime: Slow) -> None:
    """A batch is one run; percentiles come from the clock it was given and from no other."""
    for rows in (1, 2, 4):
        detector.score(vectors(np.ones((rows, 3))))
    assert detector.run_times.after(0)[0].tolist() == [0.25, 0.5, 1.0]
    assert detector.run_times.percentiles() == pytest.approx((0.5, 0.99))


def test_what_ran_no_model_is_no_run(detector: GraphDetector, runtime: Slow) -> None:
    """An empty window, a refused vector and a failed run leave no time behind."""
    detector.score(vectors(np.empty((0, 3))))
    with pytest.raises(ValueError, match="not finite"):
        detector.score(vectors([np.nan, 1.0, 1.0]))
    runtime.is_broken = True
    with pytest.raises(RuntimeError):
        detector.score(vectors(np.ones(3)))
    assert detector.run_times.total == 0


def test_values_beyond_float32_are_its_largest(detector: GraphDetector, runtime: Slow) -> None:
    """A graph never sees infinity."""
    detector.score(vectors([1e300, -1e300, 1.0]))
    limit = np.finfo(np.float32).max
    assert runtime.seen[0].dtype == np.float32
    assert runtime.seen[0].tolist() == [[limit, -limit, 1.0]]

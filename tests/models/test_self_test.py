"""The self-test: each way a runtime can disappoint has its reason."""

from pathlib import Path

import numpy as np
import pytest
from bundle_workshop import make_bundle
from manual_clock import ManualClock

from netmote.clock import SystemClock
from netmote.models.bundle import Bundle, read_bundle
from netmote.models.numpy_detector import NumpyRuntime
from netmote.models.refusal import BundleRefused, Refusal
from netmote.models.self_test import self_test
from netmote.windows.schemas import ALL


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A good bundle."""
    return read_bundle(make_bundle(tmp_path), schemas=ALL)


class Bent:
    """The bundle's own runtime with its answers changed."""

    kind = "bent"

    def __init__(self, bundle: Bundle, change) -> None:
        self._runtime, self._change = NumpyRuntime(bundle.graph), change

    def run(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._change(features, *self._runtime.run(features))


def _slow(clock: ManualClock, seconds: float):
    def change(features: np.ndarray, score: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        clock.advance(seconds)
        return score, parts

    return change


def _raise(*_: object) -> None:
    raise RuntimeError("no memory")


def test_a_good_runtime_passes(bundle: Bundle) -> None:
    """The runtime that made the golden vectors passes, on the machine's own clock."""
    self_test(bundle, NumpyRuntime(bundle.graph), clock=SystemClock(), latency_limit=1.0)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        (Refusal.RUNTIME, _raise),
        (Refusal.INTERFACE, lambda x, s, p: (s[:, None], p)),
        (Refusal.INTERFACE, lambda x, s, p: (s, p[:, :3])),
        (Refusal.NOT_FINITE, lambda x, s, p: (np.where(np.abs(x[:, 0]) > 1e20, np.nan, s), p)),
        (Refusal.NOT_FINITE, lambda x, s, p: (s, p * np.float32(np.inf) if len(x) == 6 else p)),
        (Refusal.GOLDEN, lambda x, s, p: (s * np.float32(1.1), p)),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_each_disappointment_has_its_reason(bundle: Bundle, reason: Refusal, change) -> None:
    """Exceptions, shapes, NaN on extreme vectors, infinity, and scores that are 10 % off."""
    with pytest.raises(BundleRefused) as refusal:
        self_test(bundle, Bent(bundle, change), clock=ManualClock())
    assert refusal.value.reason is reason


def test_a_difference_in_the_last_bits_passes(bundle: Bundle) -> None:
    """Runtimes may round differently."""
    self_test(bundle, Bent(bundle, lambda x, s, p: (s * np.float32(1.001), p)), clock=ManualClock())


@pytest.mark.parametrize(("seconds", "is_refused"), [(0.004, False), (0.006, True)])
def test_slow_models_are_refused(bundle: Bundle, seconds: float, is_refused: bool) -> None:
    """The median time of one vector against 5 ms."""
    clock = ManualClock()
    runtime = Bent(bundle, _slow(clock, seconds))
    if not is_refused:
        self_test(bundle, runtime, clock=clock)
        return
    with pytest.raises(BundleRefused, match=r"6\.0 ms") as refusal:
        self_test(bundle, runtime, clock=clock)
    assert refusal.value.reason is Refusal.SLOW

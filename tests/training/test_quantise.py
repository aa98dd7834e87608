"""The gate: harmless quantisation passes, harmful one is refused with its reason, and float32 is the fallback."""

import numpy as np
import pytest
from bundle_workshop import model_bytes

from netmote.models.manifest import Agreement
from netmote.training.fit import Fit, Network, fit_autoencoder
from netmote.training.graph import build_graph
from netmote.training.preparation import CLIP, Preparation
from netmote.training.quantise import agreement, failed, inject_extremes, quantise

RANDOM = np.random.default_rng(0)
RAW = np.expm1(np.abs(RANDOM.normal(size=(600, 4)) @ RANDOM.normal(size=(4, 37)) + 0.2 * RANDOM.normal(size=(600, 37))))
PREPARATION = Preparation.fit(RAW[:400])


@pytest.fixture(scope="module")
def fit() -> Fit:
    """A fitted network."""
    return fit_autoencoder(PREPARATION.apply(RAW[:400]), PREPARATION.apply(RAW[400:500]), seed=1, epochs=60)


def test_weights_in_8_bits_pass(fit: Fit) -> None:
    """The INT8 form is chosen with its figures; fully dynamic quantisation is refused because scores change with the batch."""
    chosen = quantise(fit.network, PREPARATION, RAW, RAW[500:], seed=1, metadata={"schema_hash": "x"})
    assert chosen.quantisation.kind == "int8-weights"
    for measured in (chosen.quantisation.recorded, chosen.quantisation.injected_extremes):
        assert measured is not None
        assert failed(measured) == ""
        assert measured.batch_invariance < 1e-4
    assert "changes by" in chosen.quantisation.refused["int8-dynamic"]


def test_a_network_that_does_not_bear_it_stays_float32(fit: Fit) -> None:
    """A huge weight of a feature that never changes takes the levels of its columns from all others: float32, with the reasons."""
    steady = RAW.copy()
    steady[:, 0] = 1.0
    preparation = Preparation.fit(steady)
    first = fit.network.weights[0].copy()
    first[0] = 3_000.0
    network = Network((first, *fit.network.weights[1:]), fit.network.biases)
    chosen = quantise(network, preparation, steady, steady[500:], seed=1, metadata={})
    assert chosen.quantisation.kind == "float32"
    assert set(chosen.quantisation.refused) == {"int8-weights", "int8-dynamic"}
    assert chosen.model == build_graph(network, preparation, int8=False, metadata={})


def test_a_model_agrees_with_itself_and_not_with_another() -> None:
    """Perfect figures for the same bytes, bad ones for other weights."""
    windows = RAW.astype(np.float32)
    one, other = model_bytes(seed=0), model_bytes(seed=9)
    same = agreement(one, one, windows, windows)
    assert (same.spearman, same.alert_agreement, same.same_top_contributor) == (1.0, 1.0, 1.0)
    assert failed(agreement(one, other, windows, windows))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("spearman", 0.99, "rank correlation"),
        ("alert_agreement", 0.99, "alert agreement"),
        ("same_top_contributor", 0.8, "top contributor"),
        ("batch_invariance", 0.01, "batch"),
    ],
)
def test_each_limit_of_the_gate(field: str, value: float, words: str) -> None:
    """One figure below its limit is enough, and is named."""
    good = Agreement(windows=1, spearman=1.0, alert_agreement=1.0, same_top_contributor=1.0, batch_invariance=0.0)
    assert failed(good) == ""
    assert words in failed(good.model_copy(update={field: value}))


def test_injected_extremes_reach_the_ends() -> None:
    """About 30 % of the features are pushed, up to the clip, the others stay; the same seed gives the same windows."""
    pushed = inject_extremes(RAW, PREPARATION, seed=1)
    moved = np.abs(PREPARATION.apply(pushed) - PREPARATION.apply(RAW)) > 1e-3
    assert 0.25 < moved.mean() < 0.31
    assert np.abs(PREPARATION.apply(pushed)).max() > 0.95 * CLIP
    assert np.array_equal(pushed, inject_extremes(RAW, PREPARATION, seed=1))

"""The autoencoder: gradients are right, it learns structure, and the same seed gives the same bits."""

import numpy as np
import pytest

from netmote.training.fit import HIDDEN, Adam, fit_autoencoder, forward, gradients

RANDOM = np.random.default_rng(0)
LATENT = RANDOM.normal(size=(900, 3)) @ RANDOM.normal(size=(3, 12))
DATA = np.clip(LATENT + 0.05 * RANDOM.normal(size=LATENT.shape), -12, 12).astype(np.float32)


def test_gradients_against_differences() -> None:
    """Every gradient equals the central difference of the loss."""
    random = np.random.default_rng(2)
    weights = [random.normal(size=shape).astype(np.float32) for shape in ((4, 3), (3, 2), (2, 4))]
    biases = [random.normal(size=size).astype(np.float32) for size in (3, 2, 4)]
    inputs, wanted = random.normal(size=(5, 4)).astype(np.float32), random.normal(size=(5, 4)).astype(np.float32)

    def loss(parameters: list[np.ndarray]) -> float:
        double = [parameter.astype(np.float64) for parameter in parameters]
        return 0.5 * float(np.square(forward(double[:3], double[3:], inputs.astype(np.float64))[-1] - wanted).sum())

    layers = forward(weights, biases, inputs)
    slopes = gradients(weights, layers, layers[-1] - wanted)
    parameters = [*weights, *biases]
    for index, slope in enumerate(slopes):
        for position in np.ndindex(slope.shape):
            shifted = []
            for step in (1e-4, -1e-4):
                moved = [parameter.astype(np.float64) for parameter in parameters]
                moved[index][position] += step
                shifted.append(loss(moved))
            assert slope[position] == pytest.approx((shifted[0] - shifted[1]) / 2e-4, rel=1e-3, abs=1e-3)


def test_adam_finds_a_minimum() -> None:
    """A quadratic bowl is descended to its bottom."""
    parameter = np.array([5.0, -3.0], np.float32)
    adam = Adam([parameter], learning_rate=0.1, decay=0.0)
    for _ in range(400):
        adam.step([parameter], [2.0 * (parameter - np.array([1.0, 2.0], np.float32))])
    assert parameter == pytest.approx([1.0, 2.0], abs=1e-2)


def test_it_learns_the_structure() -> None:
    """Windows on the learnt structure are rebuilt far better than windows off it; the losses fall; layers are as documented."""
    fit = fit_autoencoder(DATA[:700], DATA[700:], seed=1, epochs=60)
    assert [weight.shape for weight in fit.network.weights] == [(12, HIDDEN[0]), HIDDEN[:2], HIDDEN[1:], (HIDDEN[2], 12)]
    held_out = np.square(fit.network.reconstruct(DATA[700:]) - DATA[700:]).mean()
    broken = np.random.default_rng(3).permuted(DATA[700:], axis=0)
    assert np.square(fit.network.reconstruct(broken) - broken).mean() > 5.0 * held_out
    assert fit.losses[-1][0] < 0.3 * fit.losses[0][0]
    assert fit.losses[fit.best_epoch - 1][1] == pytest.approx(min(loss for _, loss in fit.losses), abs=1e-3)


def test_the_seed_decides_every_bit() -> None:
    """The same seed twice gives identical weights, another seed others; progress is told once an epoch."""
    epochs: list[int] = []
    one = fit_autoencoder(DATA[:300], DATA[300:400], seed=1, epochs=5, on_epoch=lambda epoch, *_: epochs.append(epoch))
    same, other = (fit_autoencoder(DATA[:300], DATA[300:400], seed=seed, epochs=5) for seed in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one.network.weights, same.network.weights, strict=True))
    assert not np.array_equal(one.network.weights[0], other.network.weights[0])
    assert epochs == [1, 2, 3, 4, 5]


def test_it_stops_when_validation_gains_nothing() -> None:
    """Noise teaches nothing about other noise: the fit ends early, with the best weights kept."""
    noise = np.random.default_rng(4).normal(size=(200, 12)).astype(np.float32)
    fit = fit_autoencoder(noise[:100], noise[100:], seed=1, epochs=3_000)
    assert len(fit.losses) < 3_000
    assert fit.best_epoch < len(fit.losses)
    assert fit.losses[fit.best_epoch - 1][1] <= fit.losses[-1][1]

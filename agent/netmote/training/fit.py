"""The dense denoising autoencoder, fitted by Adam in plain numpy: seconds on one core, no training framework, reproducible.

Layers 37-24-8-24-37 with ReLU between; input noise 0.2; smooth L1 loss (quadratic below 1); weight decay 1e-5; early stopping on the
validation windows. Same data, seed and numpy build: same weights to the last bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

HIDDEN = (24, 8, 24)
NOISE = 0.2
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-5
BATCH = 128
PATIENCE = 12
LEAST_GAIN = 1e-4
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # Kingma and Ba, 2015


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Weights (inputs, outputs) and biases (outputs,) of each dense layer, float32; ReLU between layers."""

    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]

    def reconstruct(self, prepared: NDArray[np.float32]) -> NDArray[np.float32]:
        """(windows, features) through the network."""
        return forward(self.weights, self.biases, prepared)[-1]


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The best network seen and the course of the losses, (training, validation) per epoch."""

    network: Network
    losses: tuple[tuple[float, float], ...]
    best_epoch: int


def fit_autoencoder(
    train: NDArray[np.float32],
    validation: NDArray[np.float32],
    *,
    seed: int,
    epochs: int = 150,
    on_epoch: Callable[[int, float, float], None] = lambda _epoch, _train, _validation: None,
) -> Fit:
    """Fit on prepared windows (windows, features); `on_epoch(epoch, training loss, validation loss)` after each epoch."""
    random = np.random.default_rng(seed)
    sizes = (train.shape[1], *HIDDEN, train.shape[1])
    weights = [
        random.uniform(-1.0, 1.0, (inputs, outputs)).astype(np.float32) * np.float32(np.sqrt(1.0 / inputs))
        for inputs, outputs in pairwise(sizes)
    ]
    biases = [np.zeros(outputs, np.float32) for outputs in sizes[1:]]
    adam = Adam([*weights, *biases])
    best, best_loss, best_epoch, losses = ([*weights], [*biases]), np.inf, 0, []
    for epoch in range(1, epochs + 1):
        order = random.permutation(len(train))
        total = 0.0
        for begin in range(0, len(order), BATCH):
            clean = train[order[begin : begin + BATCH]]
            noisy = clean + np.float32(NOISE) * random.standard_normal(clean.shape, dtype=np.float32)
            layers = forward(weights, biases, noisy)
            residual = layers[-1] - clean
            total += _loss(residual) * len(clean)
            slope = np.clip(residual, -1.0, 1.0) / np.float32(residual.size)
            adam.step([*weights, *biases], gradients(weights, layers, slope))
        held_out = _loss(forward(weights, biases, validation)[-1] - validation)
        losses.append((total / len(train), held_out))
        on_epoch(epoch, *losses[-1])
        if held_out < best_loss - LEAST_GAIN:
            best, best_loss, best_epoch = ([w.copy() for w in weights], [b.copy() for b in biases]), held_out, epoch
        elif epoch - best_epoch > PATIENCE:
            break
    return Fit(Network(tuple(best[0]), tuple(best[1])), tuple(losses), best_epoch)


class Adam:
    """Adam with weight decay in the gradient (Kingma and Ba, 2015); changes the parameters in place."""

    def __init__(
        self, parameters: list[NDArray[np.float32]], *, learning_rate: float = LEARNING_RATE, decay: float = WEIGHT_DECAY
    ) -> None:
        self._rate, self._decay = learning_rate, decay
        self._first = [np.zeros_like(parameter) for parameter in parameters]
        self._second = [np.zeros_like(parameter) for parameter in parameters]
        self._steps = 0

    def step(self, parameters: list[NDArray[np.float32]], slopes: list[NDArray[np.float32]]) -> None:
        self._steps += 1
        first_scale, second_scale = 1.0 - _BETA1**self._steps, 1.0 - _BETA2**self._steps
        for index, parameter in enumerate(parameters):
            first, second = self._first[index], self._second[index]
            decayed = slopes[index] + np.float32(self._decay) * parameter
            np.add(first, np.float32(1.0 - _BETA1) * (decayed - first), out=first)
            np.add(second, np.float32(1.0 - _BETA2) * (decayed * decayed - second), out=second)
            root = np.sqrt(second / np.float32(second_scale)) + np.float32(_EPSILON)
            np.subtract(parameter, np.float32(self._rate / first_scale) * first / root, out=parameter)


def forward(
    weights: Sequence[NDArray[np.float32]], biases: Sequence[NDArray[np.float32]], inputs: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """The inputs and the output of every layer, in order."""
    layers = [inputs]
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        outputs = layers[-1] @ weight + bias
        layers.append(np.maximum(outputs, 0) if index < len(weights) - 1 else outputs)
    return layers


def gradients(
    weights: Sequence[NDArray[np.float32]], layers: list[NDArray[np.float32]], slope: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """Slopes of the loss by each weight, then by each bias, from its slope by the output and the layers of `forward`."""
    for_weights: list[NDArray[np.float32]] = []
    for_biases: list[NDArray[np.float32]] = []
    for index in reversed(range(len(weights))):
        for_weights.append(layers[index].T @ slope)
        for_biases.append(slope.sum(axis=0))
        if index:
            slope = (slope @ weights[index].T) * (layers[index] > 0)
    return [*reversed(for_weights), *reversed(for_biases)]


def _loss(residual: NDArray[np.float32]) -> float:
    size = np.abs(residual, dtype=np.float64)
    return float(np.where(size < 1.0, 0.5 * size**2, size - 0.5).mean())

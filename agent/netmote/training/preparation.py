"""How a raw vector becomes what the network sees: sign * log1p, centre, scale, clip. Fitted on training windows alone.

The same arithmetic stands inside the ONNX graph, so no scaler file exists that could get lost.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLIP = 12.0
LEAST_SCALE = 0.05
# Interquartile range of a unit normal.
_NORMAL_IQR = 1.349


@dataclass(frozen=True, slots=True, eq=False)
class Preparation:
    """Centre and scale of each feature in log space, float32 (features,)."""

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, values: NDArray[np.float64]) -> "Preparation":
        """Median and interquartile range of (windows, features); the standard deviation where the quartiles coincide."""
        logs = to_log(values)
        low, median, high = np.quantile(logs, [0.25, 0.5, 0.75], axis=0)
        deviation = logs.std(axis=0)
        spread = np.where(high - low > 1e-6, (high - low) / _NORMAL_IQR, np.where(deviation > 1e-6, deviation, 1.0))
        return cls(median.astype(np.float32), np.maximum(spread, LEAST_SCALE).astype(np.float32))

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """(windows, features) as the network sees them, float32 in [-12, 12]."""
        return np.clip((to_log(values) - self.centre) / self.scale, -CLIP, CLIP).astype(np.float32)

    def undo(self, prepared: NDArray[np.float32]) -> NDArray[np.float64]:
        """Raw values that `apply` maps to `prepared`; far ends beyond e^30 are cut."""
        logs = np.clip(prepared.astype(np.float64) * self.scale + self.centre, -30.0, 30.0)
        return np.asarray(np.sign(logs) * np.expm1(np.abs(logs)), np.float64)


def to_log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """sign(x) * log1p(|x|)."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), np.float64)

"""Several opinions about one window become one p-value, and the budget of false alarms becomes one limit.

All in surprise, s = -log10 p. NaN means that this source makes no claim (learning, absent, a window that is not good).
Fusing p-values keeps a rule that saturates on a benign device from poisoning the sum, as raw scores would.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

RULE_WEIGHT, MODEL_WEIGHT = 0.4, 0.6
SECONDS_PER_DAY = 86_400.0


def alpha(alerts_per_day: float, windows_per_day: float) -> float:
    """The p-value below which one window may alert, so that `windows_per_day` (of all entities) give the budget; at most 0.01."""
    return min(0.01, alerts_per_day / max(windows_per_day, 1.0))


def rule_surprise(alpha_: float) -> float:
    """What a rule or a certain fact that fired is worth: p = alpha / 2, so that it passes the limit whatever the models say."""
    return float(-np.log10(alpha_ / 2.0))


def min_p(rules: NDArray[np.float64], models: NDArray[np.float64]) -> NDArray[np.float64]:
    """Twice the smaller p-value (Bonferroni over the two sources), at most 1; shapes broadcast, NaN only where both are NaN."""
    return np.asarray(np.maximum(np.fmax(rules, models) - np.log10(2.0), 0.0), np.float64)


def weighted(rules: NDArray[np.float64], models: NDArray[np.float64]) -> NDArray[np.float64]:
    """0.4 rules + 0.6 models; a source without a claim leaves its weight to the other.

    The mean is taken over surprise (a weighted geometric mean of p-values): over raw scores it costs up to 0.20 AUC.
    """
    both = RULE_WEIGHT * rules + MODEL_WEIGHT * models
    return np.asarray(np.where(np.isnan(rules), models, np.where(np.isnan(models), rules, both)), np.float64)


def fuse(kind: Literal["min-p", "weighted"], rules: NDArray[np.float64], models: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fuse by the configured way."""
    return min_p(rules, models) if kind == "min-p" else weighted(rules, models)

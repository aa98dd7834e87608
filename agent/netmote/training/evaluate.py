"""How the model ranks and separates on windows that trained nothing, beside a random score and a robust z-score on the same windows."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from netmote.models.graph_detector import Runtime
from netmote.models.manifest import CalibrationReference, Evaluation
from netmote.training.measure import auc
from netmote.training.preparation import Preparation

THRESHOLD_QUANTILE = 0.99
_QUANTILES = (0.5, 0.9, 0.95, 0.98, 0.99, 0.999)


def evaluate(
    runtime: Runtime,
    preparation: Preparation,
    *,
    calibration: NDArray[np.float64],
    benign: NDArray[np.float64],
    attacks: Mapping[str, NDArray[np.float64]],
    seed: int,
) -> dict[str, Evaluation]:
    """Each attack family against the benign test windows; raw windows (windows, features) everywhere."""
    random = np.random.default_rng(seed)
    threshold = float(np.quantile(scores(runtime, calibration), THRESHOLD_QUANTILE))
    benign_scores, benign_z = scores(runtime, benign), robust_z(preparation, benign)
    false_positives = float((benign_scores > threshold).mean()) if len(benign) else float("nan")
    measured = {}
    for family, windows in sorted(attacks.items()):
        attack_scores = scores(runtime, windows)
        measured[family] = Evaluation(
            windows_benign=len(benign),
            windows_attack=len(windows),
            auc=_rounded(auc(benign_scores, attack_scores)),
            auc_robust_z=_rounded(auc(benign_z, robust_z(preparation, windows))),
            auc_random=_rounded(auc(random.random(len(benign)), random.random(len(windows)))),
            false_positive_rate=_rounded(false_positives),
            true_positive_rate=_rounded(float((attack_scores > threshold).mean())),
        )
    return measured


def reference(runtime: Runtime, calibration: NDArray[np.float64]) -> CalibrationReference:
    """Quantiles of the score on the calibration windows."""
    held = scores(runtime, calibration)
    return CalibrationReference(
        windows=len(held), quantiles={f"{quantile:g}": round(float(np.quantile(held, quantile)), 4) for quantile in _QUANTILES}
    )


def scores(runtime: Runtime, windows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scores of raw windows, (windows,)."""
    return runtime.run(windows.astype(np.float32))[0] if len(windows) else np.empty(0, np.float32)


def robust_z(preparation: Preparation, windows: NDArray[np.float64]) -> NDArray[np.float32]:
    """The baseline a model must beat: mean square of the prepared features, each clipped at 8."""
    return np.asarray((np.minimum(np.abs(preparation.apply(windows)), 8.0) ** 2).mean(axis=1), np.float32)


def _rounded(value: float) -> float:
    return round(value, 4)

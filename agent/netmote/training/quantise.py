"""Smaller weights only where nothing that matters changes: candidates, the gate, and the reason of every refusal.

The gate looks at recorded windows *and* at windows with injected extremes: static quantisation calibrated on benign data passes the
first and turns anomalies into average windows. A score that depends on who else is in the batch is refused too.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netmote.models.manifest import Agreement, Quantisation
from netmote.models.onnx_detector import OnnxRuntime
from netmote.training.fit import Network
from netmote.training.graph import build_graph
from netmote.training.measure import spearman
from netmote.training.preparation import CLIP, Preparation

LEAST_SPEARMAN, LEAST_ALERT_AGREEMENT, LEAST_SAME_TOP = 0.995, 0.999, 0.90
MOST_BATCH_VARIANCE = 1e-4
ALERT_QUANTILE = 0.99
INJECTED_SHARE = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Quantised:
    """The model to ship and how it was chosen."""

    model: bytes
    quantisation: Quantisation


def quantise(
    network: Network,
    preparation: Preparation,
    windows: NDArray[np.float64],
    calibration: NDArray[np.float64],
    *,
    seed: int,
    metadata: Mapping[str, str],
) -> Quantised:
    """Try INT8 weights, then fully dynamic INT8; the first that passes the gate is taken, else float32.

    Raw windows (windows, features): the 99 % quantile of `calibration` is the alert threshold, `windows` are compared. They may be those
    that trained: both networks come from the same weights, so only their difference is at stake.
    """
    reference = build_graph(network, preparation, int8=False, metadata=metadata)
    candidates = {
        "int8-weights": build_graph(network, preparation, int8=True, metadata=metadata),
        "int8-dynamic": fully_dynamic(reference),
    }
    ordinary = windows.astype(np.float32)
    extremes = inject_extremes(windows, preparation, seed=seed).astype(np.float32)
    benign = calibration.astype(np.float32)
    refused: dict[str, str] = {}
    chosen: Quantised | None = None
    for kind, model in candidates.items():
        agreements = (agreement(reference, model, ordinary, benign), agreement(reference, model, extremes, benign))
        failures = [
            f"{where}: {why}"
            for where, one in zip(("recorded windows", "injected extremes"), agreements, strict=True)
            if (why := failed(one))
        ]
        if failures:
            refused[kind] = "; ".join(failures)
        elif chosen is None:
            chosen = Quantised(
                model,
                Quantisation.model_validate(
                    {
                        "kind": kind,
                        "reason": f"passed the gate; {len(model):,} bytes against {len(reference):,} in float32",
                        "recorded": agreements[0],
                        "injected_extremes": agreements[1],
                    }
                ),
            )
    if chosen is None:
        return Quantised(reference, Quantisation(kind="float32", reason="no quantised form passed the gate", refused=refused))
    return Quantised(chosen.model, chosen.quantisation.model_copy(update={"refused": refused}))


def agreement(reference: bytes, model: bytes, windows: NDArray[np.float32], benign: NDArray[np.float32]) -> Agreement:
    """Compare on `windows`; "alert" is above the 99 % quantile of the reference's scores of `benign`."""
    expected, expected_parts = OnnxRuntime(reference).run(windows)
    runtime = OnnxRuntime(model)
    score, parts = runtime.run(windows)
    limit = np.quantile(OnnxRuntime(reference).run(benign)[0], ALERT_QUANTILE)
    alone = np.array(
        [runtime.run(windows[index : index + 1])[0][0] for index in range(0, len(windows), max(1, len(windows) // 200))]
    )
    together = score[:: max(1, len(windows) // 200)]
    return Agreement(
        windows=len(windows),
        spearman=round(spearman(expected, score), 5),
        alert_agreement=round(float(((expected > limit) == (score > limit)).mean()), 5),
        same_top_contributor=round(float((expected_parts.argmax(axis=1) == parts.argmax(axis=1)).mean()), 5),
        batch_invariance=round(float((np.abs(alone - together) / (np.abs(alone) + 1e-6)).max()), 7),
    )


def failed(measured: Agreement) -> str:
    """What of the gate is not met, empty when all is."""
    parts = []
    if measured.spearman < LEAST_SPEARMAN:
        parts.append(f"rank correlation {measured.spearman} below {LEAST_SPEARMAN}")
    if measured.alert_agreement < LEAST_ALERT_AGREEMENT:
        parts.append(f"alert agreement {measured.alert_agreement} below {LEAST_ALERT_AGREEMENT}")
    if measured.same_top_contributor < LEAST_SAME_TOP:
        parts.append(f"same top contributor {measured.same_top_contributor} below {LEAST_SAME_TOP}")
    if measured.batch_invariance > MOST_BATCH_VARIANCE:
        parts.append(f"a score changes by {measured.batch_invariance:.2g} with its batch, above {MOST_BATCH_VARIANCE:g}")
    return ", ".join(parts)


def inject_extremes(values: NDArray[np.float64], preparation: Preparation, *, seed: int) -> NDArray[np.float64]:
    """The windows with a random 30 % of their features pushed up to 12 spreads away."""
    random = np.random.default_rng(seed)
    prepared = preparation.apply(values)
    pushed = random.choice([-CLIP, CLIP], prepared.shape) * random.random(prepared.shape)
    return preparation.undo(np.where(random.random(prepared.shape) < INJECTED_SHARE, pushed, prepared).astype(np.float32))


def fully_dynamic(model: bytes) -> bytes:
    """The dynamic quantisation of onnxruntime itself: INT8 weights, one activation scale for the whole batch."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.onnx", Path(folder) / "out.onnx"
        source.write_bytes(model)
        quantize_dynamic(source, target, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
        return target.read_bytes()

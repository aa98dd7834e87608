"""The only runtime door to onnxruntime: a session over bytes that are already verified.

One thread, no memory arena kept between runs, nothing logged. onnxruntime wheels from 1.29 on report home at import unless
ORT_DISABLE_TELEMETRY stands in the environment before; the package sets it, and this door refuses to open without it.
"""

import os

import numpy as np
from numpy.typing import NDArray

from netmote.models.bundle import CONTRIBUTION, INPUT, SCORE
from netmote.models.refusal import BundleRefused, Refusal

if os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1") != "1":
    raise ImportError("ORT_DISABLE_TELEMETRY must be 1: onnxruntime would report home")

import onnxruntime  # the switch above must come first

_FATAL_ONLY = 4


class OnnxRuntime:
    """A `Runtime` by onnxruntime, CPU only."""

    kind = "onnxruntime"

    def __init__(self, model: bytes) -> None:
        """Raises BundleRefused (RUNTIME) when onnxruntime does not accept the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = _FATAL_ONLY
        options.enable_cpu_mem_arena = False
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BundleRefused(Refusal.RUNTIME, f"onnxruntime {onnxruntime.__version__}: {error}") from error

    def run(self, features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        score, contribution = self._session.run([SCORE, CONTRIBUTION], {INPUT: features})
        return np.asarray(score, np.float32), np.asarray(contribution, np.float32)

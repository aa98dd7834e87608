"""What every detector made from a bundle shares: the border between float64 vectors and a float32 graph.

A vector that is not finite never reaches a runtime; values beyond float32 become its largest ones, where the graph clips anyway.
Each run is timed, for people: no score depends on it.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from netmote.clock import Clock
from netmote.models.run_times import RunTimes
from netmote.windows.schema import FeatureSchema
from netmote.windows.vector import VectorBatch

_MOST = float(np.finfo(np.float32).max)


class Runtime(Protocol):
    """Runs one verified graph. Pure: the answer depends on the features alone, row by row."""

    kind: str

    def run(self, features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (score (n,), contribution (n, features)) of (n, features), n at least 1."""
        ...


class GraphDetector:
    """A `Detector` over a runtime. `run_times`: how long batches took that were answered, from float64 to float64."""

    def __init__(self, name: str, version: str, schema: FeatureSchema, runtime: Runtime, *, clock: Clock) -> None:
        self.name, self.version, self.schema, self.runtime = name, version, schema, runtime
        self.run_times = RunTimes()
        self._clock = clock

    def score(self, vectors: VectorBatch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if vectors.schema.hash != self.schema.hash:
            raise ValueError(f"{self.name} is bound to another schema than {vectors.schema.name}")
        if not np.isfinite(vectors.values).all():
            raise ValueError("a feature is not finite")
        if not len(vectors.values):
            return np.empty(0), np.empty((0, len(self.schema)))
        began = self._clock.monotonic()
        score, contribution = self.runtime.run(np.clip(vectors.values, -_MOST, _MOST).astype(np.float32))
        answer = score.astype(np.float64), contribution.astype(np.float64)
        self.run_times.note(self._clock.monotonic() - began)
        return answer

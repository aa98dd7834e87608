"""The detector protocol: anything that turns the vectors of one schema into surprise."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from netmote.windows.schema import FeatureSchema
from netmote.windows.vector import VectorBatch


class Detector(Protocol):
    """Scores raw feature vectors. Pure apart from its own state, which `state`/`restore` carry across a restart.

    Contract (one suite over all detectors): the answer depends neither on the order of entities nor on batching;
    a vector with a non-finite value raises ValueError; an empty batch gives empty arrays.
    """

    name: str
    version: str  # scores of two versions are not comparable: calibration is kept for each
    schema: FeatureSchema

    def score(self, vectors: VectorBatch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (raw score (entities,), contribution of each feature (entities, features)); higher is more anomalous."""
        ...

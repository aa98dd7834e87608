"""What baselines say of one window: what is usual for each entity, and how far off the window lies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """Three arrays (entities, features), in the order of the window they were asked about."""

    centre: NDArray[np.float64]  # the usual value in the feature's own unit; NaN where not known
    deviation: NDArray[np.float64]  # how many spreads the window's value lies above it, in log space; NaN where not known
    known: NDArray[np.bool_]  # False: too few windows learnt of this entity, or the feature was not observed in this one

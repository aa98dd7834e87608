"""Is a detector still saying anything? Watches what it answers, whatever the windows hold: a stuck score, and surprise everywhere.

Calibrated p-values of an unchanged model on unchanged traffic are uniform, so five in a hundred lie at or below 0.05. A share far
above says that the model or the traffic is another one; which of the two, a predecessor in shadow tells.
"""

import numpy as np
from numpy.typing import NDArray

# Windows in a row with one and the same score for different features.
STUCK_AFTER = 60
LOW_P = 0.05
# The share of low p-values is a running mean over about so many; before as many it says nothing.
MEMORY = 2_000
SHIFTED_SHARE = 0.3


class ScoreWatch:
    """Of one detector. Forgets at a restart: what is wrong shows again within minutes."""

    def __init__(self) -> None:
        self._score: float | None = None
        self._features: NDArray[np.float64] | None = None
        self._same = 0
        self._share, self._claims = LOW_P, 0

    @property
    def is_stuck(self) -> bool:
        """One score for `STUCK_AFTER` windows whose features differed."""
        return self._same >= STUCK_AFTER

    @property
    def is_shifted(self) -> bool:
        """Far more low p-values than there can be by chance."""
        return self._claims >= MEMORY and self._share > SHIFTED_SHARE

    def note(self, features: NDArray[np.float64], raw: NDArray[np.float64], claim: NDArray[np.float64]) -> None:
        """Take in a window: features (judged, features), raw scores (judged,), surprise (entities,), NaN without a claim."""
        if len(raw):
            self._note_raw(features, raw)
        known = claim[~np.isnan(claim)]
        if len(known):
            low = float((known >= -np.log10(LOW_P)).mean())
            kept = (1.0 - 1.0 / MEMORY) ** len(known)
            self._share = kept * self._share + (1.0 - kept) * low
            self._claims += len(known)

    def _note_raw(self, features: NDArray[np.float64], raw: NDArray[np.float64]) -> None:
        first = float(raw[0])
        is_one = bool((raw == first).all()) and self._score in (None, first)
        differ = bool((features != features[0]).any()) or (
            self._features is not None and not np.array_equal(self._features, features[0])
        )
        if not is_one:
            self._score, self._same = (first if bool((raw == first).all()) else None), 0
        elif differ:
            self._score, self._same = first, self._same + 1
        self._features = features[0].copy()

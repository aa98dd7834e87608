"""What one step of the analysis brought forth."""

from collections.abc import Sequence
from dataclasses import dataclass

from netmote.alerts.alert import Alert
from netmote.scoring.finding import ScoreBatch
from netmote.windows.vector import VectorBatch


@dataclass(frozen=True, slots=True)
class Outcome:
    """Closed windows, their scores, and the alert revisions to be committed before anyone is told."""

    vectors: tuple[VectorBatch, ...] = ()
    scores: tuple[ScoreBatch, ...] = ()
    alerts: tuple[Alert, ...] = ()

    @classmethod
    def joined(cls, parts: Sequence["Outcome"]) -> "Outcome":
        """One outcome of several steps, in their order."""
        return cls(
            tuple(vector for part in parts for vector in part.vectors),
            tuple(score for part in parts for score in part.scores),
            tuple(alert for part in parts for alert in part.alerts),
        )

    def __bool__(self) -> bool:
        return bool(self.vectors or self.scores or self.alerts)

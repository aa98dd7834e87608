"""The detector that learns while it scores: what it adds to the protocol."""

from typing import Protocol, runtime_checkable

from netmote.scoring.detector import Detector


@runtime_checkable
class StatefulDetector(Detector, Protocol):
    """Scores each entity against what it remembers of it, then remembers the window if its quality is good.

    Windows of one entity must come in event time. A vector refused with ValueError leaves the memory as it was.
    """

    def state(self) -> bytes:
        """What is remembered."""
        ...

    def restore(self, blob: bytes) -> None:
        """Inverse of `state`. Raises ValueError on damaged bytes or another schema; then nothing has changed."""
        ...

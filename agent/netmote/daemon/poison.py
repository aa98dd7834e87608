"""Which piece of work keeps failing. Pure: counts failures in a row at one place, and says when it is to be passed over.

A crash may be the fault of the moment (memory, a disk), so the same place is tried again; one that fails every time would hold
analysis for ever.
"""

from collections.abc import Hashable

TRIES = 3


class Poison:
    """Remembers one place, the one that failed last."""

    def __init__(self, *, tries: int = TRIES) -> None:
        self._tries = tries
        self._place: Hashable = None
        self._failures = 0

    def failed(self, place: Hashable) -> None:
        """Work at this place failed once more."""
        self._failures = self._failures + 1 if place == self._place else 1
        self._place = place

    def is_due(self, place: Hashable) -> bool:
        """Whether this place has had all its tries."""
        return self._failures >= self._tries and place == self._place

    def passed(self) -> None:
        """The place has been passed over."""
        self._place, self._failures = None, 0

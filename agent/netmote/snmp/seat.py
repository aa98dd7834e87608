"""The seam below `steady_train`: many questions carried at once, each device on a seat of its own. What a back end may offer besides sessions."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from netmote.snmp.session import Question


class Heard(Protocol):
    """Answers that came together, each to a question that waited, which has ended with it."""

    @property
    def octets(self) -> NDArray[np.uint8]:
        """What the next three point into; until the line is asked again."""
        ...

    @property
    def places(self) -> NDArray[np.int64]: ...

    @property
    def begins(self) -> NDArray[np.int64]:
        """Of the content of each list of varbinds."""
        ...

    @property
    def ends(self) -> NDArray[np.int64]: ...

    @property
    def arrived_at(self) -> float:
        """Seconds of the asker's clock."""
        ...

    @property
    def odd(self) -> Sequence[int]:
        """Places of questions that ended otherwise: refused, or in a form that is not read here."""
        ...


class Line(Protocol):
    """What carries questions of many devices."""

    def ask(self, seats: NDArray[np.int64], requests: NDArray[np.int64], places: NDArray[np.int64]) -> int:
        """Send as many as can be sent now, in order; returns how many wait for an answer. A place is the asker's own number."""
        ...

    def receive(self) -> Heard | None:
        """Some of what came; None when there is nothing."""
        ...

    def forget(self, places: NDArray[np.int64]) -> None:
        """Questions that are not waited for any more."""
        ...


class Seat(Protocol):
    """One device on a line."""

    @property
    def number(self) -> int: ...

    @property
    def line(self) -> Line: ...

    def take_request(self, question: Question) -> int | None:
        """A number for a question, until `give_back`; None: it cannot be asked here."""
        ...

    def give_back(self, request: int) -> None: ...

    def leave(self) -> None:
        """Safe twice."""
        ...


@runtime_checkable
class OffersSeat(Protocol):
    """What a session may have besides: its device may be asked together with others."""

    def take_seat(self) -> Seat | None:
        """A seat for the device, as it is asked now; None when there is none."""
        ...

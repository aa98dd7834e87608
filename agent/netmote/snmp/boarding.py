"""When one device boards the train (`steady_train`), and what came of its rides.

A ride that ends in its first poll says that the device does not bear to be asked so: the next one asks for less, and begins the later the
more of them there were in a row. Refuses what is asked and told on the way.
"""

from collections.abc import Callable
from typing import Final

from netmote.snmp.history import DeviceHistory
from netmote.snmp.passenger import Alighted, Passenger, Ridden
from netmote.snmp.reading import SteadyRows
from netmote.snmp.seat import OffersSeat
from netmote.snmp.steady_questions import MOST_OCTETS
from netmote.snmp.steady_train import SteadyTrain

SHORT_OCTETS: Final = 1_000  # of an answer, after those of MOST_OCTETS were not what was asked for
MOST_POLLS_WALKED: Final = 64  # before another try


class Boarding:
    """One device. Without a train it never boards."""

    def __init__(self, train: SteadyTrain | None, *, device: str) -> None:
        self._train, self._device = train, device
        self._passenger: Passenger | None = None
        self._short_rides = 0  # in a row, without a whole poll
        self._polls_to_walk = 0  # before it boards again

    def board(
        self,
        history: DeviceHistory,
        *,
        steady: SteadyRows | None,
        session: OffersSeat | None,
        interval: float,
        timeout: float,
        slot: float,
        until: float,
        tell: Callable[[Ridden], None],
    ) -> Passenger | None:
        """On the train, to be polled from `slot` on; None: its own next poll is then. Called once a poll of its own."""
        if self._polls_to_walk:
            self._polls_to_walk -= 1
            return None
        if self._train is None or session is None or steady is None or steady.names_until <= slot or until <= slot:
            return None
        seat = session.take_seat()
        if seat is None:
            return None
        self._passenger = self._train.board(
            device=self._device,
            history=history,
            steady=steady,
            seat=seat,
            interval=interval,
            timeout=timeout,
            slot=slot,
            until=until,
            tell=tell,
            most_octets=SHORT_OCTETS if self._short_rides else MOST_OCTETS,
        )
        return self._passenger

    async def ride(self, passenger: Passenger) -> Alighted:
        """Until it alights; cancelled, it alights too."""
        try:
            alighted = await passenger.alighted
        finally:
            self.alight()
            self._passenger = None
        if alighted.polls or not alighted.reason:
            self._short_rides = 0
        else:
            self._short_rides += 1
            self._polls_to_walk = min(2**self._short_rides, MOST_POLLS_WALKED)
        return alighted

    def alight(self) -> None:
        """Get off, if it is on."""
        if self._train is not None and self._passenger is not None:
            self._train.alight(self._passenger)

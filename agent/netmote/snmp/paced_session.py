"""Pacing and retries above the seam, the same for every back end.

`SendWindow` bounds requests that were sent a moment ago and not answered, over all devices. A slot frees itself after
`HOLD_SECONDS` even without an answer: a bound on *unanswered* requests would let dead devices hold every slot for their
whole timeout and stop the live ones.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from netmote.snmp.get_next import get_next
from netmote.snmp.round_trips import RoundTrips
from netmote.snmp.seat import OffersSeat, Seat
from netmote.snmp.session import (
    AsksTogether,
    NotInTimeWindow,
    Question,
    Reply,
    RequestTimedOut,
    SnmpSession,
    UnreadReply,
    WaitsAsTold,
)
from netmote.snmp.session_around import SessionAround

T = TypeVar("T")

HOLD_SECONDS = 0.2


class _Slot:
    """One request of the window. `is_held` until it is answered or `HOLD_SECONDS` have passed."""

    __slots__ = ("is_held", "until")

    def __init__(self, until: float) -> None:
        self.until, self.is_held = until, True


class SendWindow:
    """At most `max_in_flight` requests sent within the last `hold` seconds and not yet answered. When full, senders wait in turn."""

    def __init__(self, max_in_flight: int, *, hold: float = HOLD_SECONDS) -> None:
        self._free, self._hold = max_in_flight, hold
        self._slots: deque[_Slot] = deque()  # oldest first; those at the front that are no longer held are dropped at each send
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None  # of the oldest held slot, while somebody waits

    async def send(self, exchange: Callable[[], Awaitable[T]]) -> T:
        """Run one exchange in a slot. Raises what it raises."""
        loop = asyncio.get_running_loop()
        self._drop_old(loop.time())
        if self._free and not self._waiters:
            self._free -= 1
        else:
            await self._wait_turn(loop)
        slot = _Slot(loop.time() + self._hold)
        self._slots.append(slot)
        if self._waiters:
            self._set_timer(loop)
        try:
            return await exchange()
        finally:
            if slot.is_held:
                slot.is_held = False
                self._give_back()

    async def send_together(self, count: int, exchanges: Callable[[int], Awaitable[T]]) -> T:
        """Run up to `count` exchanges at once, as many as there are slots for, and at least one: it is told how many."""
        loop = asyncio.get_running_loop()
        self._drop_old(loop.time())
        if self._free and not self._waiters:
            self._free -= 1
        else:
            await self._wait_turn(loop)
        more = 0 if self._waiters else min(self._free, count - 1)
        self._free -= more
        slots = [_Slot(loop.time() + self._hold) for _ in range(more + 1)]
        self._slots += slots
        if self._waiters:
            self._set_timer(loop)
        try:
            return await exchanges(len(slots))
        finally:
            for slot in slots:
                if slot.is_held:
                    slot.is_held = False
                    self._give_back()

    def take(self, most: int) -> int:
        """Slots that are free now and that nobody waits for, at most so many. The caller gives each back in HOLD_SECONDS or before."""
        if not self._free or self._waiters:
            self._drop_old(asyncio.get_running_loop().time())
        taken = 0 if self._waiters else min(self._free, most)
        self._free -= taken
        return taken

    def give_back(self, count: int) -> None:
        """Slots that `take` gave."""
        for _ in range(count):
            self._give_back()

    async def _wait_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until a slot is given back; it is then ours."""
        turn: asyncio.Future[None] = loop.create_future()
        self._waiters.append(turn)
        self._set_timer(loop)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given in the same moment
                self._give_back()
            raise

    def _give_back(self) -> None:
        while self._waiters:
            turn = self._waiters.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _drop_old(self, now: float) -> None:
        slots = self._slots
        while slots and (not slots[0].is_held or slots[0].until <= now):
            slot = slots.popleft()
            if slot.is_held:
                slot.is_held = False
                self._give_back()

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None and self._slots:
            self._timer = loop.call_at(self._slots[0].until, self._expired, loop)

    def _expired(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._drop_old(loop.time())
        if self._waiters:
            self._set_timer(loop)


class PacedSession(SessionAround[SnmpSession]):
    """A session that waits for a slot and sends again what got no answer; counts what it did. Implements SnmpSession."""

    def __init__(self, session: SnmpSession, window: SendWindow, *, retries: int, round_trips: RoundTrips | None = None) -> None:
        """Without `round_trips` every attempt waits the session's own timeout."""
        super().__init__(session)
        self._window, self._retries = window, retries
        self._waits = session if isinstance(session, WaitsAsTold) else None
        self._round_trips = None if self._waits is None else round_trips
        self._together = session if isinstance(session, AsksTogether) else None
        self.requests = 0  # sent, repeated ones included
        self.timeouts = 0  # of them without an answer
        self.answers = 0  # of them with one, an error-status included

    async def get(self, oids: Sequence[bytes]) -> Reply:
        return await self._repeat(lambda: self._session.get(oids), self._retries)

    async def get_next(self, oids: Sequence[bytes]) -> Reply:
        return await self._repeat(lambda: get_next(self._session, oids), self._retries)

    async def get_once(self, oids: Sequence[bytes]) -> Reply:
        """GET without repetition: the cheap question to a device that may be dead."""
        return await self._repeat(lambda: self._session.get(oids), 0)

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        return await self._repeat(lambda: self._session.bulk(non_repeaters, columns, max_repetitions), self._retries)

    async def bulk_together(
        self, questions: Sequence[Question], monotonic: Callable[[], float]
    ) -> Sequence[UnreadReply | Exception] | None:
        """Implements AsksTogether. Sends nothing again: whoever needs what got no answer asks for it by itself."""
        together, replies = self._together, list[UnreadReply | Exception]()
        if together is None:
            return None
        while len(replies) < len(questions):
            rest = questions[len(replies) :]
            some = await self._window.send_together(len(rest), partial(self._ask_some, together, rest, monotonic))
            if some is None:
                return None
            replies += some
            self.requests += len(some)
            lost = sum(isinstance(reply, RequestTimedOut | NotInTimeWindow) for reply in some)
            self.timeouts += lost
            if self._round_trips is not None:
                for reply in some:
                    if isinstance(reply, UnreadReply):
                        self._round_trips.answered(reply.round_trip_seconds)
                if lost:
                    self._round_trips.lost()
            self.answers += len(some) - lost
        return replies

    def take_seat(self) -> Seat | None:
        """Implements OffersSeat."""
        return self._session.take_seat() if isinstance(self._session, OffersSeat) else None

    async def _ask_some(
        self, session: AsksTogether, questions: Sequence[Question], monotonic: Callable[[], float], count: int
    ) -> Sequence[UnreadReply | Exception] | None:
        if self._round_trips is not None:
            self._wait(self._round_trips.timeout)
        return await session.bulk_together(questions[:count], monotonic)

    async def _repeat(self, exchange: Callable[[], Awaitable[Reply]], retries: int) -> Reply:
        times = self._round_trips
        for attempt in range(retries + 1):
            self.requests += 1
            send = exchange if times is None else partial(self._send_timed, times, exchange, attempt, retries)
            try:
                reply = await self._window.send(send)
            except (RequestTimedOut, NotInTimeWindow):
                self.timeouts += 1
                if times is not None:
                    times.lost()
                if attempt == retries:
                    raise
            else:
                self.answers += 1
                if times is not None:
                    times.answered(reply.round_trip_seconds)
                return reply
        raise AssertionError("the loop returns or raises")

    async def _send_timed(self, times: RoundTrips, exchange: Callable[[], Awaitable[Reply]], attempt: int, retries: int) -> Reply:
        """The session reads its timeout when it sends, which is before anyone else's turn."""
        self._wait(times.timeout_of(attempt, is_last=attempt == retries))
        return await exchange()

    def _wait(self, seconds: float) -> None:
        if self._waits is not None:
            self._waits.timeout = seconds

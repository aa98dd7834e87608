"""A session that goes over to another back end when the first cannot read the device's answers, visibly.

It goes over only when the other one does read the very answer that the first could not, twice; then it stays there until the
session is opened anew. When the other cannot read it either, nothing changes and the other is not tried again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from netmote.errors import NetmoteError
from netmote.snmp.get_next import get_next
from netmote.snmp.seat import OffersSeat, Seat
from netmote.snmp.session import (
    AsksTogether,
    Question,
    Reply,
    SessionClosed,
    SnmpSession,
    UndecodableAnswer,
    UnreadReply,
    WaitsAsTold,
)

log = logging.getLogger(__name__)


class FallbackSession:
    """Implements SnmpSession over one of two sessions."""

    def __init__(self, first: SnmpSession, open_other: Callable[[], Awaitable[SnmpSession]], *, device: str) -> None:
        self._first = self._session = first
        self._open_other, self._device = open_other, device
        self._together = first if isinstance(first, AsksTogether) else None
        self._waits = first if isinstance(first, WaitsAsTold) else None
        self._may_change = True
        self._changing = asyncio.Lock()
        self._is_closed = False
        self.fallback_reason = ""

    @property
    def backend(self) -> str:
        return self._session.backend

    @property
    def timeout(self) -> float:
        """Of the one that answers now. Implements WaitsAsTold."""
        return 0.0 if self._waits is None else self._waits.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        if self._waits is not None:
            self._waits.timeout = seconds

    async def get(self, oids: Sequence[bytes]) -> Reply:
        return await self._ask(lambda session: session.get(oids))

    async def get_next(self, oids: Sequence[bytes]) -> Reply:
        return await self._ask(lambda session: get_next(session, oids))

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        return await self._ask(lambda session: session.bulk(non_repeaters, columns, max_repetitions))

    async def bulk_together(
        self, questions: Sequence[Question], monotonic: Callable[[], float]
    ) -> Sequence[UnreadReply | Exception] | None:
        """As the first choice does, while it is the one that answers. Implements AsksTogether; an answer that it cannot read changes
        nothing yet: whoever asks again, one by one, makes it so.
        """
        if self._session is self._first and self._together is not None:
            return await self._together.bulk_together(questions, monotonic)
        return None

    def take_seat(self) -> Seat | None:
        """As the first choice does, while it is the one that answers. Implements OffersSeat."""
        first = self._first
        return first.take_seat() if self._session is first and isinstance(first, OffersSeat) else None

    async def close(self) -> None:
        self._is_closed = True
        await self._first.close()
        await self._session.close()

    async def _ask(self, exchange: Callable[[SnmpSession], Awaitable[Reply]]) -> Reply:
        session = self._session
        try:
            return await exchange(session)
        except UndecodableAnswer:
            if session is not self._first or not self._may_change:
                raise
        try:  # one odd datagram is no reason
            return await exchange(session)
        except UndecodableAnswer as error:
            return await self._change(exchange, error)

    async def _change(self, exchange: Callable[[SnmpSession], Awaitable[Reply]], reason: UndecodableAnswer) -> Reply:
        async with self._changing:
            if self._session is not self._first:  # another request of the same time changed it
                return await exchange(self._session)
            if not self._may_change:
                raise reason
            self._may_change = False
            try:
                other = await self._open_other()
            except NetmoteError as error:
                raise reason from error
            is_better = False
            try:
                reply = await exchange(other)
                is_better = not self._is_closed
            except NetmoteError as error:
                raise reason from error
            finally:
                if not is_better:
                    await other.close()
            if not is_better:
                raise SessionClosed("the session was closed while the request ran")
            self._session, self.fallback_reason = other, str(reason)
            self._waits = other if isinstance(other, WaitsAsTold) else None
        log.warning(
            "goes over to %s, since the %s back end cannot read its answers: %s",
            other.backend,
            self._first.backend,
            reason,
            extra={"component": "snmp", "device": self._device},
        )
        return reply

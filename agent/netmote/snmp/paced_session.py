"""Pacing and retries above the seam, the same for every back end.

`SendWindow` bounds requests that were sent a moment ago and not answered, over all devices. A slot frees itself after
`HOLD_SECONDS` even without an answer: a bound on *unanswered* requests would let dead devices hold every slot for their
whole timeout and stop the live ones.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from netmote.snmp.session import NotInTimeWindow, Reply, RequestTimedOut, SnmpSession

HOLD_SECONDS = 0.2


class SendWindow:
    """At most `max_in_flight` requests sent within the last `HOLD_SECONDS` and not yet answered. When full, senders wait."""

    def __init__(self, max_in_flight: int) -> None:
        self._slots = asyncio.Semaphore(max_in_flight)

    async def send(self, exchange: Callable[[], Awaitable[Reply]]) -> Reply:
        """Run one exchange in a slot. Raises what it raises."""
        await self._slots.acquire()
        is_held = True

        def free() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._slots.release()

        timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, free)
        try:
            return await exchange()
        finally:
            timer.cancel()
            free()


class PacedSession:
    """A session that waits for a slot and sends again what got no answer; counts what it did. Implements SnmpSession."""

    def __init__(self, session: SnmpSession, window: SendWindow, *, retries: int) -> None:
        self._session, self._window, self._retries = session, window, retries
        self.requests = 0  # sent, repeated ones included
        self.timeouts = 0  # of them without an answer
        self.answers = 0  # of them with one, an error-status included

    @property
    def backend(self) -> str:
        return self._session.backend

    @property
    def fallback_reason(self) -> str:
        return self._session.fallback_reason

    async def get(self, oids: Sequence[bytes]) -> Reply:
        return await self._repeat(lambda: self._session.get(oids), self._retries)

    async def get_once(self, oids: Sequence[bytes]) -> Reply:
        """GET without repetition: the cheap question to a device that may be dead."""
        return await self._repeat(lambda: self._session.get(oids), 0)

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        return await self._repeat(lambda: self._session.bulk(non_repeaters, columns, max_repetitions), self._retries)

    async def close(self) -> None:
        await self._session.close()

    async def _repeat(self, exchange: Callable[[], Awaitable[Reply]], retries: int) -> Reply:
        for attempt in range(retries + 1):
            self.requests += 1
            try:
                reply = await self._window.send(exchange)
            except (RequestTimedOut, NotInTimeWindow):
                self.timeouts += 1
                if attempt == retries:
                    raise
            else:
                self.answers += 1
                return reply
        raise AssertionError("the loop returns or raises")

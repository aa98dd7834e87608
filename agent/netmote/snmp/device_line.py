"""The open line to one device: one session, paced for polls and for details, with what was sent over it.

Owns opening, closing and counting. Polls and details share the session and the bound on what is in flight, and differ in how long they
wait: a table of details may take seconds without making the next poll wait as long for a lost request. Refuses when and what is asked.
"""

import asyncio
from typing import NamedTuple, Protocol

from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Credentials, reveal_credentials
from netmote.snmp.paced_session import PacedSession, SendWindow
from netmote.snmp.round_trips import RoundTrips
from netmote.snmp.session import SnmpSession


class Backend(Protocol):
    """What opens sessions. `close` ends all of them."""

    async def open(self, target: TargetConfig, credentials: Credentials) -> SnmpSession: ...

    async def close(self) -> None: ...


class Exchanges(NamedTuple):
    """How many requests were sent, repeated ones included; how many of them got no answer; how many did."""

    requests: int = 0
    timeouts: int = 0
    answers: int = 0

    def since(self, earlier: "Exchanges") -> "Exchanges":
        """What was added to an earlier count."""
        return Exchanges(*(now - then for now, then in zip(self, earlier, strict=True)))


class DeviceLine:
    """Opened at first use and anew after `close`, which is safe twice."""

    def __init__(self, config: TargetConfig, *, backend: Backend, window: SendWindow) -> None:
        self._config, self._backend, self._window = config, backend, window
        self.round_trips = RoundTrips(config.timeout)
        """Of polls."""
        self._slow_round_trips = RoundTrips(config.timeout, least=config.timeout)
        self.polls: PacedSession | None = None
        """For polls; None while it is closed."""
        self.details: PacedSession | None = None
        """The same session, for details."""
        self._earlier = Exchanges()  # over sessions that are closed

    async def open(self) -> PacedSession:
        """The session for polls. Raises SecretMissing and what the back end raises."""
        if self.polls is None:
            credentials = await asyncio.to_thread(reveal_credentials, self._config)
            session = await self._backend.open(self._config, credentials)
            retries = self._config.retries
            self.polls = PacedSession(session, self._window, retries=retries, round_trips=self.round_trips)
            self.details = PacedSession(session, self._window, retries=retries, round_trips=self._slow_round_trips)
        return self.polls

    @property
    def exchanges(self) -> Exchanges:
        """Since this object was made."""
        total = self._earlier
        for session in (self.polls, self.details):
            if session is not None:
                total = Exchanges(
                    total.requests + session.requests, total.timeouts + session.timeouts, total.answers + session.answers
                )
        return total

    def add(self, requests: int, timeouts: int) -> None:
        """Count what was asked of the device by others for nothing."""
        self._earlier = Exchanges(
            self._earlier.requests + requests, self._earlier.timeouts + timeouts, self._earlier.answers + requests - timeouts
        )

    async def close(self) -> None:
        """End the session."""
        session, self._earlier = self.polls, self.exchanges
        self.polls = self.details = None
        if session is not None:
            await session.close()

    def poll_ended(self) -> None:
        """Take in the round trips of a poll."""
        self.round_trips.poll_ended()

    def details_ended(self) -> None:
        """Take in the round trips of a reading of details."""
        self._slow_round_trips.poll_ended()

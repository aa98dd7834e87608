"""What every session around another has in common: the one inside says what it is and is closed with it."""

from typing import Generic, TypeVar

from netmote.snmp.session import SnmpSession

SessionT = TypeVar("SessionT", bound=SnmpSession)


class SessionAround(Generic[SessionT]):
    """The base of sessions that pace, repeat, bound or replay what another one exchanges."""

    def __init__(self, session: SessionT) -> None:
        self._session = session

    @property
    def backend(self) -> str:
        """What speaks with the device."""
        return self._session.backend

    @property
    def fallback_reason(self) -> str:
        """Why that is not the first choice; "" where it is."""
        return self._session.fallback_reason

    async def close(self) -> None:
        """Close the one inside."""
        await self._session.close()

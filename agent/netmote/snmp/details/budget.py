"""A session that sends no more than so many requests: what is read slowly never crowds out what is read every cycle."""

from collections.abc import Sequence

from netmote.errors import Retryable
from netmote.snmp.get_next import get_next
from netmote.snmp.session import Reply, SnmpSession
from netmote.snmp.session_around import SessionAround


class RequestsSpent(Retryable):
    """The bound on requests was reached before the group was read."""


class BudgetedSession(SessionAround[SnmpSession]):
    """`left` requests of another session. Implements SnmpSession; closing is the owner's."""

    def __init__(self, session: SnmpSession, requests: int) -> None:
        super().__init__(session)
        self.left = requests

    async def get(self, oids: Sequence[bytes]) -> Reply:
        self._spend()
        return await self._session.get(oids)

    async def get_next(self, oids: Sequence[bytes]) -> Reply:
        self._spend()
        return await get_next(self._session, oids)

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
        self._spend()
        return await self._session.bulk(non_repeaters, columns, max_repetitions)

    async def close(self) -> None:
        """Nothing: the session belongs to who lent it."""

    def _spend(self) -> None:
        if not self.left:
            raise RequestsSpent("the bound on requests was reached")
        self.left -= 1

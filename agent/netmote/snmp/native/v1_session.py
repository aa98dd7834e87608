"""SNMPv1 behind the seam (RFC 1157): GETBULK as one GETNEXT of every column, noSuchName as the exceptions of v2.

RFC 3584 section 4.1.2 maps the exceptions of v2 to noSuchName for readers of v1; this is the way back. An agent of v1 answers nothing
at all when one name has nothing, so that name is left out and the rest asked again, at most once a name. Refuses everything else.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from netmote.snmp.mib import END_OF_MIB_VIEW, NO_SUCH_INSTANCE, NO_SUCH_NAME
from netmote.snmp.session import Reply, Varbind


class _Exchanges(Protocol):
    """What is needed of the session behind."""

    backend: str
    fallback_reason: str
    timeout: float

    async def get(self, oids: Sequence[bytes]) -> Reply: ...

    async def get_next(self, oids: Sequence[bytes]) -> Reply: ...

    async def close(self) -> None: ...


class V1Session:
    """Implements SnmpSession over the GET and GETNEXT of version 1."""

    def __init__(self, session: _Exchanges) -> None:
        self._session = session
        self.backend, self.fallback_reason = session.backend, session.fallback_reason

    @property
    def timeout(self) -> float:
        """Implements WaitsAsTold."""
        return self._session.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._session.timeout = seconds

    async def get(self, oids: Sequence[bytes]) -> Reply:
        return await _without_missing(self._session.get, oids, NO_SUCH_INSTANCE)

    async def get_next(self, oids: Sequence[bytes]) -> Reply:
        return await _without_missing(self._session.get_next, oids, END_OF_MIB_VIEW)

    async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:  # noqa: ARG002 - one row is all that GETNEXT gives
        return await _without_missing(self._session.get_next, (*non_repeaters, *columns), END_OF_MIB_VIEW)

    async def close(self) -> None:
        await self._session.close()


async def _without_missing(ask: Callable[[Sequence[bytes]], Awaitable[Reply]], oids: Sequence[bytes], exception: int) -> Reply:
    """Ask for `oids`; those that the agent names in noSuchName get `exception` for a value, each in its own place."""
    places = list(range(len(oids)))
    varbinds = [Varbind(oid, exception, b"") for oid in oids]
    while True:
        reply = await ask([oids[place] for place in places])
        if reply.error_status != NO_SUCH_NAME or not 1 <= reply.error_index <= len(places):
            break
        del places[reply.error_index - 1]
        if not places:
            return Reply(0, 0, varbinds, reply.round_trip_seconds)
    if reply.error_status:
        index = places[reply.error_index - 1] + 1 if 1 <= reply.error_index <= len(places) else 0
        return Reply(reply.error_status, index, reply.varbinds, reply.round_trip_seconds)
    if len(reply.varbinds) == len(places):
        for place, varbind in zip(places, reply.varbinds, strict=True):
            varbinds[place] = varbind
        return Reply(0, 0, varbinds, reply.round_trip_seconds)
    return reply  # another number than asked: the walk above judges it

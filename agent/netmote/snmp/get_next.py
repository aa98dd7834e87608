"""GETNEXT (RFC 3416 section 4.2.2), which the sessions of back ends have besides `SnmpSession`, for devices without GETBULK."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from netmote.snmp.session import Reply, SnmpSession


@runtime_checkable
class _GetsNext(Protocol):
    async def get_next(self, oids: Sequence[bytes]) -> Reply: ...


class SessionWithNext(SnmpSession, Protocol):
    """A session that can be asked so."""

    async def get_next(self, oids: Sequence[bytes]) -> Reply:
        """What follows each of `oids`. Raises the errors of `get`."""
        ...


async def get_next(session: SnmpSession, oids: Sequence[bytes]) -> Reply:
    """What follows each of `oids`. Raises the errors of `session`, TypeError for one that cannot ask so."""
    if not isinstance(session, _GetsNext):
        raise TypeError(f"{type(session).__name__} has no GETNEXT")
    return await session.get_next(oids)

"""Which back end speaks with which device, decided in one place, and the composite that the collector and `netmote poll` use.

Owns the choice, the laziness (pysnmp is imported when first needed, in a thread: a fifth of a second and 15 MB) and the way back
when the native back end cannot read a device (`fallback_session`). Refuses everything about messages.
"""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Literal, Protocol

from netmote.clock import Clock
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Credentials
from netmote.snmp.fallback_session import FallbackSession
from netmote.snmp.native.channel import EngineClock
from netmote.snmp.native.native_session import NativeBackend
from netmote.snmp.session import SnmpSession, UnsupportedSecurityLevel

if TYPE_CHECKING:
    from netmote.snmp.pysnmp_session import PysnmpBackend


def backend_of(target: TargetConfig) -> Literal["native", "pysnmp"]:
    """What speaks with this device first.

    Left to `auto`, native takes every version: each row of the USM matrix passes natively (tests/snmp/native_usm), and where pysnmp
    differs it knows less or loses a poll.
    """
    return "pysnmp" if target.backend == "pysnmp" else "native"


class Verifying(Protocol):
    """A back end says whether it checks the digest of every v3 answer before it believes anything in it."""

    name: str
    verifies_digests: bool


def refuse_unverified(backend: Verifying, target: TargetConfig) -> None:
    """SNMPv3 is spoken only by back ends that verify. Raises UnsupportedSecurityLevel.

    There are libraries that do not: they take a zeroed digest, or a plaintext answer to an encrypted question.
    """
    if target.version == "3" and not backend.verifies_digests:
        raise UnsupportedSecurityLevel(f"the {backend.name} back end does not verify who answers: not for SNMPv3")


class Backends:
    """All back ends as one `target.Backend`. Belongs to one loop; `close` is safe twice."""

    def __init__(self, *, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._native = NativeBackend(clock=clock, random=random)
        self._pysnmp: PysnmpBackend | None = None
        self._importing = asyncio.Lock()

    async def open(self, target: TargetConfig, credentials: Credentials) -> SnmpSession:
        """A session over the back end of the target. Raises what that back end raises."""
        if backend_of(target) == "pysnmp":
            return await self._open_pysnmp(target, credentials)
        refuse_unverified(self._native, target)
        session = await self._native.open(target, credentials)
        if target.backend == "native" or target.version == "1":  # asked for, or there is no other
            return session
        return FallbackSession(session, lambda: self._open_pysnmp(target, credentials), device=target.name)

    async def _open_pysnmp(self, target: TargetConfig, credentials: Credentials) -> SnmpSession:
        async with self._importing:
            if self._pysnmp is None:
                self._pysnmp = await asyncio.to_thread(_pysnmp_backend, self._clock)
        refuse_unverified(self._pysnmp, target)
        return await self._pysnmp.open(target, credentials)

    @property
    def ignored(self) -> Mapping[str, int]:
        """Datagrams that the native back end did not believe or never got, by reason."""
        return self._native.ignored

    @property
    def learnt(self) -> Mapping[str, int]:
        """What v3 devices changed in what the native back end knows of their engines, by kind."""
        return self._native.learnt

    def clocks_of(self, engine_id: bytes) -> Sequence[EngineClock]:
        """Clocks that a v3 engine of this id showed to polls, with the right digest."""
        return self._native.clocks_of(engine_id)

    async def close(self) -> None:
        await self._native.close()
        if self._pysnmp is not None:
            await self._pysnmp.close()


def _pysnmp_backend(clock: Clock) -> "PysnmpBackend":
    from netmote.snmp.pysnmp_session import PysnmpBackend  # noqa: PLC0415

    return PysnmpBackend(clock=clock)

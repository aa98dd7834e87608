"""The USM matrix over UDP, for both back ends: a row ends in the right value, or in the error that names it.

Where pysnmp differs from the native back end, its own outcome stands in `PYSNMP`, and why.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest
from usm_engine import UP_TIME, UsmEngine
from usm_exchange import USER
from usm_matrix import MATRIX, MISCONFIGURED, VALUE, Misconfigured, Outcome, Row

from netmote.clock import SystemClock
from netmote.errors import NetmoteError
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import UsmUser
from netmote.snmp.device_line import Backend
from netmote.snmp.native.native_session import NativeBackend
from netmote.snmp.oid import encode_oid
from netmote.snmp.pysnmp_session import PysnmpBackend
from netmote.snmp.session import RequestTimedOut, SnmpSession, UnreadableAnswer

PATIENCE = 0.6  # pysnmp takes tens of milliseconds for a message, on a busy machine more
SILENT = (RequestTimedOut, RequestTimedOut)

PYSNMP: dict[str, tuple[Outcome, Outcome]] = {
    # It drops the report of such an engine, although its digest is right.
    "boots at their maximum": SILENT,
    # It never asks again who is there; a timeout makes us let it forget, so that one poll is lost.
    "engine id replaced": (RequestTimedOut, VALUE),
    "engine id, boots and clock replaced": (RequestTimedOut, VALUE),
    # What it does not believe it drops without a word: safe, and the cause stays unknown.
    "tampered response": SILENT,
    "digest zeroed": SILENT,
    "plaintext noAuth reply to authPriv request": SILENT,
    "authNoPriv reply to authPriv request": SILENT,
    # It takes the context engine that its discovery saw for the one to ask.
    "reply from another context engine": (RequestTimedOut, VALUE),
    "a message that is none": (UnreadableAnswer, UnreadableAnswer),
}


class Wire(asyncio.DatagramProtocol):
    """An engine behind a socket."""

    def __init__(self, engine: UsmEngine) -> None:
        self.engine = engine

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, datagram: bytes, peer: tuple[str, int]) -> None:
        answer = self.engine.answer(datagram)
        if answer is not None:
            self.transport.sendto(answer, peer)


@pytest.fixture(params=["native", "pysnmp"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    """All that may speak v3: those that say that they verify, and here have to show it."""
    clock = SystemClock()
    opened = NativeBackend(clock=clock, random=Random(5)) if request.param == "native" else PysnmpBackend(clock=clock)
    assert opened.verifies_digests
    yield opened
    await opened.close()


@asynccontextmanager
async def polled(backend: Backend, engine: UsmEngine, user: UsmUser = USER) -> AsyncIterator[SnmpSession]:
    """A session with an engine on a port of its own."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Wire(engine), local_addr=("127.0.0.1", 0))
    config = {"security_name": user.security_name, "auth_protocol": "none", "priv_protocol": "none"}
    target = {"name": "d", "address": "127.0.0.1", "port": transport.get_extra_info("sockname")[1], "timeout": PATIENCE}
    session = await backend.open(TargetConfig.model_validate(target | {"version": "3", "user": config}), user)
    try:
        yield session
    finally:
        await session.close()
        transport.close()


def engine_of(user: UsmUser = USER, **changes: object) -> UsmEngine:
    return UsmEngine(user, SystemClock().monotonic, **changes)  # type: ignore[arg-type]


async def poll(session: SnmpSession) -> Outcome:
    try:
        return int.from_bytes((await session.get([encode_oid(UP_TIME)])).varbinds[0].value, "big")
    except NetmoteError as error:
        return type(error)


def expected(backend: Backend, what: str, *outcomes: Outcome) -> tuple[Outcome, ...]:
    return PYSNMP.get(what, outcomes) if isinstance(backend, PysnmpBackend) else outcomes


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: row.event)
async def test_events(backend: Backend, row: Row) -> None:
    """A device that answered, and what became of it: this poll and the next."""
    engine = engine_of()
    async with polled(backend, engine) as session:
        assert await poll(session) == VALUE
        row.happens(engine)
        assert (await poll(session), await poll(session)) == expected(backend, row.event, row.first, row.then)


@pytest.mark.parametrize("case", MISCONFIGURED, ids=lambda case: case.what)
async def test_first_contact(backend: Backend, case: Misconfigured) -> None:
    """A device that is set up otherwise than we believe."""
    async with polled(backend, engine_of(case.theirs), case.ours) as session:
        assert (await poll(session), await poll(session)) == expected(backend, case.what, case.first, case.second)


async def test_one_user_with_two_passwords(backend: Backend) -> None:
    """Two devices, one user name: side by side, each with its own password."""
    other = replace(USER, auth_password="otherauth99", priv_password="otherpriv99")
    second = engine_of(other, engine_id=b"\x80\0\x1f\x88\x04second")
    async with polled(backend, engine_of()) as one, polled(backend, second, other) as two:
        found = [await asyncio.gather(poll(one), poll(two)) for _ in range(3)]
    assert found == [[VALUE, VALUE]] * 3


async def test_two_devices_with_one_engine_id(backend: Backend) -> None:
    """Cloned machines, asked in turn; natively without one message more than two different ones would cost."""
    one, two = engine_of(), engine_of(boots=9, clock_offset=105_000.0)
    async with polled(backend, one) as first, polled(backend, two) as second:
        found = [await poll(session) for _ in range(3) for session in (first, second)]
    assert found == [VALUE] * 6
    if isinstance(backend, NativeBackend):
        assert [one.log, two.log] == [["unknownEngineIDs", "ok", "ok", "ok"]] * 2

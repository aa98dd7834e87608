"""The fault matrix: an agent that lies in every way known, walked by each back end. A row ends right, or at once in a named error.

The walk reads two columns of 20 rows. "ok" is the whole table as it is; anything else names the error. Where pysnmp differs from the
native back end, its own outcome stands beside, and why.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

import pytest
from snmp_agent_process import free_port
from snmp_fault_agent import (
    HC_IN_OCTETS,
    IN_OCTETS,
    ROWS,
    UP_TIME,
    Arcs,
    Behaviour,
    Bound,
    FaultAgent,
    Request,
    Sent,
    Table,
    bitten,
    changed,
    honest,
    listed,
    long,
    loop,
    noise,
    stepping,
    valued,
)

from netmote.clock import SystemClock
from netmote.errors import NetmoteError
from netmote.snmp import mib
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Community
from netmote.snmp.device_line import Backend
from netmote.snmp.native.native_session import NativeBackend
from netmote.snmp.oid import decode_oid, encode_oid
from netmote.snmp.paced_session import PacedSession, SendWindow
from netmote.snmp.pysnmp_session import PysnmpBackend
from netmote.snmp.session import AgentNotListening, Reply, RequestTimedOut, UndecodableAnswer, UnreadableAnswer
from netmote.snmp.walk import Walk, walk_columns

TIMEOUT, RETRIES = 0.15, 1
PROMPT = 3.0  # a table of 20 rows may take several exchanges, each of them two timeouts
MOST_REQUESTS = 60  # an endless table ends at its bound
MAX_ROWS = 300


class Row(NamedTuple):
    """A misbehaviour and how a walk over it ends."""

    behaviour: Behaviour
    ends: str  # "ok", "empty", "cut off", "unread values", or the name of an error
    pysnmp: str = ""  # where it ends otherwise there


def late(table: Table, request: Request) -> list[Sent]:
    return [sent._replace(after=TIMEOUT * 1.5) for sent in honest(table, request)]


def another_id(table: Table, request: Request) -> Sent:
    return Sent(replace(table.truth(request), request_id=request.request_id ^ 1).octets())


def cycle(table: Table, oid: Arcs) -> Bound:
    return table.next((*oid[:-1], 0)) if len(oid) > 9 and oid[-1] == ROWS // 2 else table.next(oid)


def endless(table: Table, oid: Arcs) -> Bound:
    column = next((column for column in (IN_OCTETS, HC_IN_OCTETS) if encode_oid(oid).startswith(column)), None)
    if column is None:
        return table.next(oid)
    width = len(decode_oid(column))
    return (encode_oid((*oid[:width], (oid[width] if len(oid) > width else 0) + 1)), mib.COUNTER32, b"\x07")


def too_big(table: Table, request: Request) -> list[Sent]:
    truth = table.truth(request)
    return [Sent((replace(truth, varbinds=(), status=mib.TOO_BIG) if len(truth.varbinds) > 10 else truth).octets())]


def every_second(table: Table, request: Request) -> list[Sent]:
    return honest(table, request) if request.number % 2 == 0 else []


def empty_first(table: Table, request: Request) -> list[Sent]:
    return changed(varbinds=())(table, request) if request.number == 1 else honest(table, request)


def huge(table: Table, request: Request) -> list[Sent]:
    truth = table.truth(request)
    varbinds = [(oid, 0x04, b"x" * 2_500) if tag == mib.COUNTER64 else (oid, tag, value) for oid, tag, value in truth.varbinds]
    return [Sent(replace(truth, varbinds=tuple(varbinds)).octets())]


def one_row(table: Table, request: Request) -> list[Sent]:
    return honest(table, request._replace(second=1))


def beyond(table: Table, request: Request) -> list[Sent]:
    return honest(table, request._replace(second=request.second + 3))


def stale(table: Table, request: Request) -> list[Sent]:
    """The answer to the request before, then the right one."""
    return [another_id(table, request), *honest(table, request)]


def reordered(table: Table, request: Request) -> list[Sent]:
    """Garbage, a foreign answer, the right one, its copies."""
    return [Sent(b"\x30\x82"), another_id(table, request), *honest(table, request) * 3]


def elsewhere(table: Table, request: Request) -> list[Sent]:
    return [sent._replace(is_from_elsewhere=True) for sent in honest(table, request)]


def half_row(varbinds: Sequence[Bound]) -> Sequence[Bound]:
    return varbinds[: len(varbinds) - 1] if len(varbinds) > 3 and len(varbinds) % 2 else varbinds


def spoilt(tag: int, content: bytes) -> Callable[[int, bytes], tuple[int, bytes]]:
    """One value of each answer in another form."""
    return lambda kind, value: (kind, content if kind == tag and value[-1] == 1 else value)


MATRIX = {
    "honest": Row(honest, "ok"),
    "silent": Row(lambda *_: [], "RequestTimedOut"),
    "late": Row(late, "RequestTimedOut"),
    "three times": Row(lambda table, request: honest(table, request) * 3, "ok"),
    "another id": Row(lambda table, request: [another_id(table, request)], "RequestTimedOut"),
    "another id, then the right one": Row(stale, "ok"),
    "garbage, another id, the right one thrice": Row(reordered, "ok"),
    "every second lost": Row(every_second, "ok"),
    "from another port": Row(elsewhere, "RequestTimedOut"),
    "noise": Row(noise, "UndecodableAnswer", "UnreadableAnswer"),
    "one octet": Row(bitten(lambda octets: octets[:1]), "UndecodableAnswer", "UnreadableAnswer"),
    "cut in half": Row(bitten(lambda octets: octets[: len(octets) // 2]), "UndecodableAnswer", "UnreadableAnswer"),
    "a length that lies": Row(bitten(lambda octets: b"\x30\x82\x40\x00" + octets[4:]), "UndecodableAnswer", "UnreadableAnswer"),
    "a negative length": Row(
        bitten(lambda octets: b"\x30\x84\xff\xff\xff\xff" + octets[4:]), "UndecodableAnswer", "UnreadableAnswer"
    ),
    "a thousand levels": Row(bitten(lambda _: b"\x30\x80" * 1_000), "UndecodableAnswer", "UnreadableAnswer"),
    "indefinite lengths": Row(changed(is_indefinite=True), "UndecodableAnswer", "ok"),  # BER that SNMP forbids
    "a length of a varbind that lies": Row(
        bitten(lambda octets: octets.replace(b"\x06\x0b", b"\x06\x7b")), "UndecodableAnswer", "UnreadableAnswer"
    ),
    "a varbind without a name": Row(
        listed(lambda varbinds: [*varbinds, (b"", 0x05, b"")]), "UndecodableAnswer", "UnreadableAnswer"
    ),
    "long lengths": Row(changed(length=long), "ok"),
    "octets behind the message": Row(bitten(lambda octets: octets + b"\0" * 7), "ok", "UnreadableAnswer"),
    "another community": Row(changed(community=b"private"), "RequestTimedOut"),
    "another version": Row(changed(version=0), "RequestTimedOut", "UnreadableAnswer"),
    "the request echoed": Row(lambda _, request: [Sent(request.octets)], "RequestTimedOut"),
    "a report": Row(changed(tag=0xA8), "RequestTimedOut", "ok"),  # it takes a Report of v2c for a Response
    "a trap": Row(changed(tag=0xA7), "RequestTimedOut"),
    "the same name again and again": Row(stepping(loop), "WalkLooped"),
    "names in a circle": Row(stepping(cycle), "WalkLooped"),
    "a table without end": Row(stepping(endless), "WalkLooped"),
    "no varbinds": Row(changed(varbinds=()), "UnreadableAnswer"),
    "no varbinds in the first": Row(empty_first, "UnreadableAnswer"),
    "genErr": Row(changed(status=5, index=0), "AgentError"),
    "genErr of what was not asked": Row(changed(status=5, index=99), "AgentError"),
    "an error-status nobody knows": Row(changed(status=1_000, index=1), "AgentError"),
    "a negative error-status": Row(changed(status=-1), "AgentError"),
    "authorizationError": Row(changed(status=16, index=1), "AccessDenied"),
    "noSuchName for each": Row(
        changed(status=2, index=2, varbinds=()), "empty", "AgentError"
    ),  # it drops an index without varbind
    "tooBig above ten": Row(too_big, "ok"),
    "always tooBig": Row(changed(status=1, varbinds=()), "AgentError"),
    "one row at a time": Row(one_row, "ok"),
    "more rows than asked": Row(beyond, "ok"),
    "cut in mid-row": Row(listed(half_row), "ok"),
    "50 kB": Row(huge, "unread values"),
    "nulls": Row(valued(lambda *_: (mib.NULL, b"")), "empty"),
    "endOfMibView at once": Row(valued(lambda *_: (mib.END_OF_MIB_VIEW, b"")), "empty"),
    "Counter32 without its sign octet": Row(
        valued(spoilt(mib.COUNTER32, b"\xff\xff\xff\xfe")), "unread values", "UnreadableAnswer"
    ),
    "Counter64 without its sign octet": Row(valued(spoilt(mib.COUNTER64, b"\xff" * 8)), "unread values", "UnreadableAnswer"),
    "Counter32 above 2^32": Row(valued(spoilt(mib.COUNTER32, b"\1\0\0\0\0")), "unread values", "UnreadableAnswer"),
    "a counter of two meanings": Row(valued(spoilt(mib.COUNTER32, b"\xff\x38")), "unread values", "UnreadableAnswer"),
    "a number without octets": Row(valued(spoilt(mib.COUNTER32, b"")), "unread values"),
    "a number of forty octets": Row(valued(spoilt(mib.COUNTER32, b"\0" * 40)), "unread values"),
    "a type nobody knows": Row(valued(lambda *_: (0x45, b"\1\2")), "unread values", "UnreadableAnswer"),
    "a name that ends within an arc": Row(
        listed(lambda varbinds: [(oid + b"\x81", tag, value) for oid, tag, value in varbinds]), "UnreadableAnswer"
    ),
}


@pytest.fixture(params=["native", "pysnmp"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    opened = (
        NativeBackend(clock=SystemClock(), random=Random(1)) if request.param == "native" else PysnmpBackend(clock=SystemClock())
    )
    yield opened
    await opened.close()


async def walk(backend: Backend, port: int, *, version: str = "2c") -> Walk:
    target = TargetConfig(name="d", address="127.0.0.1", port=port, timeout=TIMEOUT, version=version)
    session = PacedSession(await backend.open(target, Community()), SendWindow(50), retries=RETRIES)
    try:
        return await walk_columns(
            session,
            [IN_OCTETS, HC_IN_OCTETS],
            monotonic=SystemClock().monotonic,
            scalars=(UP_TIME,),
            max_repetitions=10,
            max_rows=MAX_ROWS,
        )
    finally:
        await session.close()


async def ending(backend: Backend, agent: FaultAgent, *, version: str = "2c") -> str:
    """How a walk ends, in the words of the matrix."""
    try:
        async with asyncio.timeout(PROMPT):
            found = await walk(backend, agent.port, version=version)
    except NetmoteError as error:
        return type(error).__name__
    columns = (IN_OCTETS, HC_IN_OCTETS)
    truth = {
        column: {
            oid[len(decode_oid(column)) :]: cell
            for oid, cell in agent.table.objects.items()
            if encode_oid(oid).startswith(column)
        }
        for column in columns
    }
    if all(tuple_cells(found.cells[column]) == truth[column] for column in columns):
        return "ok"
    if not any(found.cells.values()):
        return "empty"
    return "unread values" if all(found.cells[column].keys() == truth[column].keys() for column in columns) else "cut off"


def tuple_cells(cells: dict) -> dict:
    return {index: (cell.tag, cell.value) for index, cell in cells.items()}


@pytest.mark.parametrize("fault", MATRIX)
async def test_every_fault_ends_right_or_named(backend: Backend, fault: str) -> None:
    """At once, within a bounded number of requests, and with nothing left behind."""
    row = MATRIX[fault]
    async with FaultAgent(row.behaviour) as agent:
        ends = await ending(backend, agent)
        assert ends == (row.pysnmp if row.pysnmp and backend.name == "pysnmp" else row.ends)
        assert agent.requests <= MOST_REQUESTS
    if isinstance(backend, NativeBackend):
        assert [transport.waiting for transport in backend._transports.values()] == [0]


V1 = {
    "honest": Row(honest, "ok"),
    "silent": Row(lambda *_: [], "RequestTimedOut"),
    "an answer of v2c": Row(changed(version=1), "RequestTimedOut"),
    "cut in half": Row(bitten(lambda octets: octets[: len(octets) // 2]), "UndecodableAnswer"),
    "the same name again and again": Row(stepping(loop), "WalkLooped"),
    "genErr": Row(changed(status=5, index=0), "AgentError"),
    "noSuchName of what was not asked": Row(changed(status=2, index=99), "AgentError"),
    "noSuchName for each": Row(changed(status=2, index=1, varbinds=()), "empty"),
    "fewer varbinds than asked": Row(listed(lambda varbinds: varbinds[:2]), "ok"),
}


@pytest.mark.parametrize("fault", V1)
async def test_every_fault_ends_right_or_named_in_v1(fault: str) -> None:
    """The same of version 1, where a row is a request and noSuchName the end of the table."""
    backend = NativeBackend(clock=SystemClock(), random=Random(1))
    async with FaultAgent(V1[fault].behaviour) as agent:
        assert await ending(backend, agent, version="1") == V1[fault].ends
        assert agent.requests <= 3 * ROWS
    await backend.close()


async def test_a_port_where_nobody_listens_is_named_at_once() -> None:
    """ICMP says it; nobody waits for the timeout."""
    backend = NativeBackend(clock=SystemClock(), random=Random(1))
    target = TargetConfig(name="d", address="127.0.0.1", port=free_port(), timeout=10.0)
    async with asyncio.timeout(1.0):
        with pytest.raises(AgentNotListening):
            await (await backend.open(target, Community())).get([mib.SYS_UP_TIME])
    await backend.close()


async def test_flipped_bits_end_in_an_answer_or_a_name(backend: Backend) -> None:
    """60 answers, each with one bit wrong: an answer, or an error of the session; the session goes on."""
    random = Random(7)

    def flip(octets: bytes) -> bytes:
        spoilt = bytearray(octets)
        spoilt[random.randrange(len(spoilt))] ^= 1 << random.randrange(8)
        return bytes(spoilt)

    async with FaultAgent(
        lambda table, request: bitten(flip)(table, request) if request.second else honest(table, request)
    ) as agent:
        target = TargetConfig(name="d", address="127.0.0.1", port=agent.port, timeout=0.8)  # pysnmp reads them one by one
        session = await backend.open(target, Community())
        ends = await asyncio.gather(
            *(session.bulk([UP_TIME], [IN_OCTETS, HC_IN_OCTETS], 5) for _ in range(60)), return_exceptions=True
        )
        assert {type(end) for end in ends} <= {Reply, RequestTimedOut, UnreadableAnswer, UndecodableAnswer}
        assert any(isinstance(end, Reply) for end in ends)
        assert any(isinstance(end, UnreadableAnswer) for end in ends)
        assert (await session.get([mib.SYS_UP_TIME])).error_status == 0

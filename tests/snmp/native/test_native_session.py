"""One exchange of the native back end, from request to reply or named error, over real sockets."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from random import Random

import pytest
from snmp_fault_agent import FaultAgent, Request, Sent, Table, changed, honest

from netmote.clock import SystemClock
from netmote.errors import NetmoteError
from netmote.snmp import mib
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Community
from netmote.snmp.native.ber import element, integer
from netmote.snmp.native.channel import Opened, Verdict
from netmote.snmp.native.community_channel import CommunityChannel
from netmote.snmp.native.native_session import RESEALS, NativeBackend, NativeSession
from netmote.snmp.native.pdu import RESPONSE, build_request
from netmote.snmp.native.varbinds import encode_varbinds
from netmote.snmp.session import (
    AddressUnknown,
    AuthenticationFailed,
    NotInTimeWindow,
    RequestTimedOut,
    SessionClosed,
    UndecodableAnswer,
    UnknownUser,
)


@pytest.fixture
async def backend() -> AsyncIterator[NativeBackend]:
    opened = NativeBackend(clock=SystemClock(), random=Random(1))
    yield opened
    assert all(transport.waiting == 0 for transport in opened._transports.values()), "nothing is left behind"
    await opened.close()


def target(port: int, *, timeout: float = 0.3, address: str = "127.0.0.1") -> TargetConfig:
    return TargetConfig(name="d", address=address, port=port, timeout=timeout)


class Learning:
    """A channel of v2c that first must be told something, as v3 must; what it lacks is counted down by datagrams."""

    def __init__(self, *, lacks: int, refuses: NetmoteError | None = None, explains: NetmoteError | None = None) -> None:
        self._inner = CommunityChannel("2c", "public")
        self.lacks, self.refuses, self.explains = lacks, refuses, explains
        self.sealed: list[int] = []
        self.probes: list[int] = []
        self.expired: list[int] = []
        self.forgotten: list[int] = []

    def seal(self, pdu: bytes, message_id: int) -> bytes | None:
        self.sealed.append(message_id)
        return None if self.lacks > 1 else self._inner.seal(pdu, message_id)

    def probe(self, message_id: int) -> bytes:
        self.probes.append(message_id)
        return self._inner.seal(build_request(0xA0, []).pdu(message_id), message_id)

    def open(self, datagram: bytes) -> Opened:
        opened = self._inner.open(datagram)
        if self.lacks:
            self.lacks -= 1
            return opened._replace(verdict=Verdict.SEAL_AGAIN, pdu=b"")
        if self.refuses is not None:
            return opened._replace(verdict=Verdict.REFUSED, pdu=b"", error=self.refuses)
        return opened

    def expire(self, message_id: int) -> NetmoteError | None:
        self.expired.append(message_id)
        return self.explains

    def forget(self, message_id: int) -> None:
        self.forgotten.append(message_id)

    @property
    def ignored(self) -> Mapping[str, int]:
        return Counter()

    @property
    def learnt(self) -> Mapping[str, int]:
        return Counter()


async def session_over(backend: NativeBackend, channel: Learning, port: int) -> NativeSession:
    """A session with another channel."""
    opened = await backend.open(target(port), Community())
    assert isinstance(opened, NativeSession)
    return NativeSession(
        channel,
        opened.transport,
        opened.address,
        timeout=0.3,
        clock=SystemClock(),
        templates=lru_cache(10)(build_request),
        on_close=lambda _: None,
    )


async def test_what_a_channel_learns_is_used_within_the_same_exchange(backend: NativeBackend) -> None:
    """A probe, then the request, then once more, under one id; one call for whoever waits, timed by its last send."""
    channel = Learning(lacks=2)
    async with FaultAgent(honest) as agent:
        session = await session_over(backend, channel, agent.port)
        reply = await session.get([mib.SYS_DESCR])
        assert agent.requests == 3
    assert reply.varbinds[0].oid == mib.SYS_DESCR
    assert len(channel.probes) == 1
    assert len(channel.sealed) == 3
    assert len({*channel.sealed, *channel.probes}) == 1


async def test_a_device_that_never_stops_teaching_is_a_timeout(backend: NativeBackend) -> None:
    """Re-sends are bounded."""
    channel = Learning(lacks=1_000, explains=NotInTimeWindow("two clocks"))
    async with FaultAgent(honest) as agent:
        session = await session_over(backend, channel, agent.port)
        with pytest.raises(NotInTimeWindow):
            await session.get([mib.SYS_DESCR])
        assert agent.requests == RESEALS + 1
    assert channel.expired == channel.sealed[:1]


async def test_a_refusal_ends_the_exchange_at_once(backend: NativeBackend) -> None:
    """By the channel's own error."""
    async with FaultAgent(honest) as agent:
        session = await session_over(backend, Learning(lacks=0, refuses=UnknownUser("who?")), agent.port)
        with pytest.raises(UnknownUser):
            await session.get([mib.SYS_DESCR])


async def test_what_explains_a_silence_is_its_error(backend: NativeBackend) -> None:
    """The channel is asked at the deadline, before it is called a timeout."""
    async with FaultAgent(lambda *_: []) as agent:
        session = await session_over(backend, Learning(lacks=0, explains=AuthenticationFailed("wrong password")), agent.port)
        with pytest.raises(AuthenticationFailed):
            await session.get([mib.SYS_DESCR])


async def test_cancelled_and_late_leave_nothing_behind(backend: NativeBackend) -> None:
    """A hundred cancelled at every stage, a hundred that time out; what comes for them later is late."""

    def slowly(table: Table, request: Request) -> list[Sent]:
        return [sent._replace(after=0.15) for sent in honest(table, request)]

    async with FaultAgent(slowly) as agent:
        session = await backend.open(target(agent.port, timeout=0.1), Community())
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(session.get([mib.SYS_DESCR])) for _ in range(100)]
        for task in tasks:
            await asyncio.sleep(0)
            task.cancel()
        late = [loop.create_task(session.get([mib.SYS_DESCR])) for _ in range(100)]
        ends = await asyncio.gather(*tasks, *late, return_exceptions=True)
        assert [type(end) for end in ends] == [asyncio.CancelledError] * 100 + [RequestTimedOut] * 100
        await asyncio.sleep(0.2)
        transport = next(iter(backend._transports.values()))
        assert transport.waiting == 0
        assert not session._waiting
        assert transport.ignored["late"] == agent.requests
        del tasks, task, late, ends  # their tracebacks hold the frames
        gc.collect()
        assert not [each for each in gc.get_objects() if type(each).__name__ == "_Exchange"], "not even an object"


async def test_closing_ends_what_waits(backend: NativeBackend) -> None:
    """Every call says so, at once, also when its caller goes away at the same moment."""
    async with FaultAgent(lambda *_: []) as agent:
        session = await backend.open(target(agent.port, timeout=10.0), Community())
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(session.get([mib.SYS_DESCR])) for _ in range(4)]
        await asyncio.sleep(0.01)
        await session.close()
        tasks[0].cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] + [SessionClosed] * 3


async def test_the_back_end_closes_its_sessions(backend: NativeBackend) -> None:
    """And opens again: sockets belong to what is open."""
    async with FaultAgent(honest) as agent:
        session = await backend.open(target(agent.port), Community())
        await backend.close()
        with pytest.raises(SessionClosed):
            await session.get([mib.SYS_DESCR])
        again = await backend.open(target(agent.port), Community())
        assert (await again.get([mib.SYS_DESCR])).error_status == 0


async def test_devices_share_a_socket_and_their_requests(backend: NativeBackend) -> None:
    """Ten devices, one socket; what all of them are asked was built once."""
    agents = [FaultAgent(honest) for _ in range(10)]
    async with asyncio.TaskGroup() as group:
        for agent in agents:
            group.create_task(agent.__aenter__())
    sessions = [await backend.open(target(agent.port), Community()) for agent in agents]
    replies = await asyncio.gather(*(session.get([mib.SYS_DESCR, mib.SYS_UP_TIME]) for session in sessions))
    assert all(reply.varbinds[0].value == b"an agent that may lie" for reply in replies)
    assert len(backend._transports) == 1
    assert backend._templates.cache_info().misses == 1
    for agent in agents:
        await agent.__aexit__()


async def test_an_answer_from_elsewhere_is_named_in_the_timeout(backend: NativeBackend) -> None:
    """A device with several addresses answers from the wrong one: whoever reads the log knows at once."""
    async with FaultAgent(lambda table, request: [honest(table, request)[0]._replace(is_from_elsewhere=True)]) as agent:
        session = await backend.open(target(agent.port), Community())
        with pytest.raises(RequestTimedOut, match=r"one came from 127\.0\.0\.1"):
            await session.get([mib.SYS_DESCR])


async def test_an_answer_to_another_question_is_not_taken(backend: NativeBackend) -> None:
    """The id of the message is ours and that of the PDU is not: only a v3 message can carry two."""
    channel = Learning(lacks=0)
    stranger = element(RESPONSE, integer(7) + integer(0) + integer(0) + encode_varbinds([]))
    channel.open = lambda datagram: Opened(Verdict.ANSWER, channel.sealed[-1], stranger)
    async with FaultAgent(honest) as agent:
        session = await session_over(backend, channel, agent.port)
        with pytest.raises(UndecodableAnswer, match="another question"):
            await session.get([mib.SYS_DESCR])


async def test_names_are_resolved_and_missing_ones_named(backend: NativeBackend) -> None:
    """Off the loop, when the session is opened; a session opened later finds the new address."""
    with pytest.raises(AddressUnknown):
        await backend.open(target(161, address="no-such-host.invalid"), Community())
    async with FaultAgent(honest) as agent:
        session = await backend.open(target(agent.port, address="localhost"), Community())
        assert session.address[0] in ("127.0.0.1", "::1")


async def test_ipv6(backend: NativeBackend) -> None:
    """Beside IPv4, each family its own socket."""
    async with FaultAgent(honest) as four, FaultAgent(honest, host="::1") as six:
        sessions = [
            await backend.open(target(agent.port, address=address), Community())
            for agent, address in ((four, "127.0.0.1"), (six, "::1"))
        ]
        for session in sessions:
            assert (await session.get([mib.SYS_DESCR])).error_status == 0
    assert len(backend._transports) == 2


async def test_a_malformed_answer_is_named_at_once(backend: NativeBackend) -> None:
    """Right id, right community, and a varbind that is none: no timeout is waited for."""
    async with FaultAgent(changed(varbinds=((b"", 5, b""),))) as agent:
        session = await backend.open(target(agent.port, timeout=10.0), Community())
        async with asyncio.timeout(1):
            with pytest.raises(UndecodableAnswer, match="without a name"):
                await session.get([mib.SYS_DESCR])

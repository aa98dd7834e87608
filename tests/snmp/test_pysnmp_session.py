"""The pysnmp back end against a real snmpd, and against datagrams that no snmpd would send."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from snmp_agent_process import AUTH_PASSWORD, PRIV_PASSWORD, USERS, AgentProcess, free_port

from netmote.clock import SystemClock
from netmote.errors import NetmoteError
from netmote.snmp import mib
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Community, Credentials, UsmUser
from netmote.snmp.oid import oid_text
from netmote.snmp.pysnmp_session import PysnmpBackend, PysnmpSession
from netmote.snmp.session import (
    AddressUnknown,
    AuthenticationFailed,
    DecryptionFailed,
    NetworkUnreachable,
    RequestTimedOut,
    SessionClosed,
    UnknownUser,
    UnreadableAnswer,
    UnsupportedSecurityLevel,
)

UP_TIME = mib.SYS_UP_TIME[:-1]


def user(name: str) -> UsmUser:
    auth, priv = USERS[name]
    return UsmUser(name, auth, priv, AUTH_PASSWORD if auth != "none" else None, PRIV_PASSWORD if priv != "none" else None)


def target(port: int, *, address: str = "127.0.0.1", timeout: float = 1.0) -> TargetConfig:
    return TargetConfig(name="d", address=address, port=port, timeout=timeout)


@pytest.fixture
async def backend() -> AsyncIterator[PysnmpBackend]:
    opened = PysnmpBackend(clock=SystemClock())
    yield opened
    await opened.close()


async def refused(backend: PysnmpBackend, port: int, credentials: Credentials, *, tries: int = 1) -> NetmoteError:
    session = await backend.open(target(port, timeout=0.4), credentials)
    error: NetmoteError | None = None
    for _ in range(tries):
        with pytest.raises(NetmoteError) as caught:
            await session.get([mib.SYS_UP_TIME])
        error = caught.value
    await session.close()
    assert error is not None
    return error


@pytest.mark.parametrize("credentials", [Community(), *map(user, USERS)], ids=["v2c", *USERS])
async def test_every_version_and_algorithm_reads(backend: PysnmpBackend, agent: AgentProcess, credentials: Credentials) -> None:
    """v2c, and v3 from noAuthNoPriv to SHA-512 with AES-256, give the values that net-snmp's own client reads."""
    session = await backend.open(target(agent.port), credentials)
    reply = await session.get([mib.SYS_DESCR, mib.SYS_OBJECT_ID, mib.IF_TABLE_LAST_CHANGE])
    assert reply.error_status == 0
    descr, object_id, _ = reply.varbinds
    assert descr.value.decode() == agent.snmpget("1.3.6.1.2.1.1.1.0").partition(" ")[2].strip('"')
    assert (object_id.tag, oid_text(object_id.value)) == (mib.OBJECT_IDENTIFIER, "1.3.6.1.4.1.8072.3.2.10")
    assert 0 < reply.round_trip_seconds < 1
    await session.close()


async def test_bulk_gives_rows_of_several_columns(backend: PysnmpBackend, agent: AgentProcess) -> None:
    """Non-repeaters first, then the columns row by row, as raw OID, tag and bytes."""
    session = await backend.open(target(agent.port), Community())
    columns = [mib.COLUMN["ifName"], mib.COLUMN["ifHCInOctets"]]
    reply = await session.bulk([UP_TIME], columns, 2)
    assert [varbind.tag for varbind in reply.varbinds][:3] == [mib.TIME_TICKS, mib.OCTET_STRING, mib.COUNTER64]
    assert reply.varbinds[0].oid == mib.SYS_UP_TIME
    assert reply.varbinds[1].oid.startswith(columns[0])
    assert reply.varbinds[1].value == b"lo"


async def test_what_is_not_there_is_an_exception_value(backend: PysnmpBackend, agent: AgentProcess) -> None:
    """noSuchInstance, noSuchObject and endOfMibView come as tags, per varbind."""
    session = await backend.open(target(agent.port), Community())
    reply = await session.get([mib.SYS_UP_TIME, mib.COLUMN["ifName"] + b"\x8f\x7f"])
    assert [varbind.tag for varbind in reply.varbinds] == [mib.TIME_TICKS, mib.NO_SUCH_INSTANCE]
    reply = await session.bulk([], [bytes([0x2B, 6, 1, 6, 3, 0x7F])], 1)
    assert reply.varbinds[-1].tag == mib.END_OF_MIB_VIEW


async def test_ipv6(backend: PysnmpBackend, agent: AgentProcess) -> None:
    """The same device over IPv6, beside IPv4 on the same engine."""
    four = await backend.open(target(agent.port), Community())
    six = await backend.open(target(agent.port, address="::1"), Community())
    replies = await asyncio.gather(four.get([mib.SYS_DESCR]), six.get([mib.SYS_DESCR]))
    assert replies[0].varbinds == replies[1].varbinds


async def test_wrong_credentials_have_names(backend: PysnmpBackend, agent: AgentProcess) -> None:
    """Wrong password, unknown user, level not allowed: each its own error, at once."""
    assert isinstance(
        await refused(backend, agent.port, replace(user("sha"), auth_password="not-the-password")), AuthenticationFailed
    )
    assert isinstance(await refused(backend, agent.port, replace(user("sha"), security_name="stranger")), UnknownUser)
    more = replace(user("sha384only"), priv_protocol="aes128", priv_password=PRIV_PASSWORD)
    assert isinstance(await refused(backend, agent.port, more), UnsupportedSecurityLevel)


async def test_a_wrong_privacy_password_is_told_from_a_dead_device(backend: PysnmpBackend, agent: AgentProcess) -> None:
    """Snmpd drops what it cannot decrypt; the discovery that it did answer, twice, gives it away."""
    wrong = replace(user("sha"), priv_password="not-the-password")
    assert isinstance(await refused(backend, agent.port, wrong), RequestTimedOut)
    assert isinstance(await refused(backend, agent.port, wrong, tries=2), DecryptionFailed)


async def test_a_wrong_community_is_silence(backend: PysnmpBackend, agent: AgentProcess) -> None:
    """Agents drop it; so it can only be a timeout."""
    assert isinstance(await refused(backend, agent.port, Community("wrong")), RequestTimedOut)


async def test_two_passwords_of_one_user_stay_apart(backend: PysnmpBackend, agent: AgentProcess) -> None:
    """The right and the wrong password of one user, interleaved: each keeps its own fate."""
    right = await backend.open(target(agent.port), user("sha256"))
    wrong = await backend.open(target(agent.port), replace(user("sha256"), auth_password="not-the-password"))
    for _ in range(3):
        assert (await right.get([mib.SYS_UP_TIME])).error_status == 0
        with pytest.raises(AuthenticationFailed):
            await wrong.get([mib.SYS_UP_TIME])


async def test_nobody_there_is_a_timeout_on_our_clock(backend: PysnmpBackend) -> None:
    """The deadline is the session's, and it is kept."""
    session = await backend.open(target(free_port(), timeout=0.3), Community())
    began = asyncio.get_running_loop().time()
    with pytest.raises(RequestTimedOut):
        await session.get([mib.SYS_UP_TIME])
    assert 0.25 < asyncio.get_running_loop().time() - began < 0.6


async def test_names_and_routes_that_do_not_exist(backend: PysnmpBackend) -> None:
    """A name without address and an address without route are errors by name, at once."""
    with pytest.raises(AddressUnknown):
        await backend.open(target(161, address="no-such-host.invalid"), Community())
    session = await backend.open(target(161, address="255.255.255.255"), Community())  # EACCES: broadcast is not allowed
    with pytest.raises(NetworkUnreachable):
        await session.get([mib.SYS_UP_TIME])


async def test_a_closed_session_says_so(backend: PysnmpBackend, agent: AgentProcess) -> None:
    """Closing twice is safe, also after the back end; other sessions of the same credentials go on."""
    first = await backend.open(target(agent.port), Community())
    second = await backend.open(target(agent.port), Community())
    await first.close()
    await first.close()
    with pytest.raises(SessionClosed):
        await first.get([mib.SYS_UP_TIME])
    assert (await second.get([mib.SYS_UP_TIME])).error_status == 0
    await second.close()
    third = await backend.open(target(agent.port), Community())
    assert (await third.get([mib.SYS_UP_TIME])).error_status == 0
    await backend.close()
    await third.close()


async def test_engines_are_shared_and_do_not_pile_up(backend: PysnmpBackend, agent: AgentProcess) -> None:
    """One engine for all sessions of a credential set, kept while idle; changed credentials leave no engine behind."""
    for _ in range(3):
        session = await backend.open(target(agent.port), Community())
        other = await backend.open(target(agent.port), Community())
        assert session._engine is other._engine
        await session.close()
        await other.close()
    first = session._engine
    for number in range(4):
        session = await backend.open(target(agent.port), Community(f"changed-{number}"))
        await session.close()
    assert len(backend._engines) == 1
    assert first.engine.transport_dispatcher is None, "its sockets are closed"


async def test_cancelled_requests_leave_nothing_behind(backend: PysnmpBackend, agent: AgentProcess) -> None:
    """A caller that goes away does not disturb those that come after, also when its answer arrives late."""
    session = await backend.open(target(agent.port), user("sha"))
    for _ in range(5):
        task = asyncio.get_running_loop().create_task(session.get([mib.SYS_UP_TIME]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await session.get([mib.SYS_UP_TIME])).error_status == 0


async def test_v3_polling_stays_at_one_exchange_after_five_minutes(backend: PysnmpBackend, agent: AgentProcess) -> None:
    """Pysnmp forgets every peer's clock at each tick from 300 s of polling on; then each request would cost two."""
    session = await backend.open(target(agent.port), user("sha256"))
    engine = session._engine.engine
    usm = engine.security_models[3]
    for _ in range(3):
        await session.get([mib.SYS_UP_TIME])
    sent = count_sends(session)
    for tick in range(700):  # more than five minutes of ticks
        usm.receive_timer_tick(engine, float(tick))
    for _ in range(5):
        await session.get([mib.SYS_UP_TIME])
    assert sent() == 5


def with_engine_id(agent: AgentProcess, engine_id: str) -> None:
    """Restart snmpd as the SNMP engine of this id."""
    agent.stop()
    config = agent.directory / "agent.conf"
    kept = [line for line in config.read_text().splitlines() if not line.startswith("exactEngineID")]
    config.write_text("\n".join([*kept, f"exactEngineID {engine_id}"]) + "\n")
    agent.start()


async def test_a_replaced_device_is_discovered_again(backend: PysnmpBackend, own_agent: AgentProcess) -> None:
    """Another engine id at the same address: one request is lost, and with it what was known of the old engine."""
    session = await backend.open(target(own_agent.port, timeout=0.5), user("sha256"))
    await session.get([mib.SYS_UP_TIME])
    with_engine_id(own_agent, "0x80001f8804aabbccddeeff")
    with pytest.raises(RequestTimedOut):
        await session.get([mib.SYS_UP_TIME])
    assert (await session.get([mib.SYS_UP_TIME])).error_status == 0


async def test_a_restarted_agent_is_resynchronised(backend: PysnmpBackend, own_agent: AgentProcess) -> None:
    """The same engine with its time begun anew answers the first request after its restart."""
    with_engine_id(own_agent, "0x80001f8804aabbccddeeff")
    session = await backend.open(target(own_agent.port), user("sha256"))
    await session.get([mib.SYS_UP_TIME])
    own_agent.stop()
    own_agent.start()
    assert (await session.get([mib.SYS_UP_TIME])).error_status == 0


def count_sends(session: PysnmpSession) -> Callable[[], int]:
    """How many datagrams leave from now on."""
    transport = next(iter(session._engine.transports.values()))
    sent = 0
    original = transport.send_message

    def send(message: bytes, address: object) -> None:
        nonlocal sent
        sent += 1
        original(message, address)

    transport.send_message = send
    return lambda: sent


@contextmanager
def responder(answer: Callable[[bytes], list[bytes]], *, from_another_port: bool = False) -> Iterator[int]:
    """A UDP socket that answers each datagram with whatever bytes it is told to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.1)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    datagram, peer = sock.recvfrom(65_535)
                except TimeoutError:
                    continue
                for reply in answer(datagram):
                    (other if from_another_port else sock).sendto(reply, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def response(request: bytes, value: bytes) -> bytes:
    """A v2c Response to a GET of one object, with `value` as the whole TLV of the answer."""
    request_id = request[request.index(b"\xa0") + 2 :][:6]
    size = request_id[1] + 2
    oid = request[request.index(b"\x06\x08\x2b") :][:10]

    def tlv(tag: int, content: bytes) -> bytes:
        return bytes([tag, len(content)]) + content

    varbinds = tlv(0x30, tlv(0x30, oid + value))
    pdu = tlv(0xA2, request_id[:size] + b"\x02\x01\x00\x02\x01\x00" + varbinds)
    return tlv(0x30, b"\x02\x01\x01" + tlv(0x04, b"public") + pdu)


async def read_from(backend: PysnmpBackend, port: int) -> int:
    session = await backend.open(target(port, timeout=0.4), Community())
    try:
        reply = await session.get([mib.SYS_UP_TIME])
        return int.from_bytes(reply.varbinds[0].value, "big")
    finally:
        await session.close()


GOOD = b"\x43\x02\x12\x34"


async def test_the_responder_is_believed_when_it_is_right(backend: PysnmpBackend) -> None:
    """The bench itself works: a well-formed answer is read."""
    with responder(lambda request: [response(request, GOOD)]) as port:
        assert await read_from(backend, port) == 0x1234


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: [b"\x30\x82", b"garbage", b""],
        lambda request: [response(request, GOOD)[:-3]],
        lambda request: [response(request, b"\x43\x05\x12\x34\x56\x78\x9a")],
    ],
    ids=["garbage", "truncated", "a number too large"],
)
async def test_what_cannot_be_decoded_is_named(backend: PysnmpBackend, answer: Callable[[bytes], list[bytes]]) -> None:
    """The device is there and unreadable: not a timeout, and never an exception in the reader."""
    loop = asyncio.get_running_loop()
    escaped: list[object] = []
    loop.set_exception_handler(lambda _, context: escaped.append(context))
    with responder(answer) as port, pytest.raises(UnreadableAnswer):
        await read_from(backend, port)
    assert escaped == []


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: [request],
        lambda request: [response(request, GOOD).replace(b"public", b"secret")],
        lambda request: [],
    ],
    ids=["echo", "another community", "nothing"],
)
async def test_what_is_no_answer_is_not_believed(backend: PysnmpBackend, answer: Callable[[bytes], list[bytes]]) -> None:
    """Echoes and answers of another community end in an error, not in a value."""
    with responder(answer) as port, pytest.raises((RequestTimedOut, UnreadableAnswer)):
        await read_from(backend, port)


async def test_garbage_before_the_answer_does_not_hide_it(backend: PysnmpBackend) -> None:
    """The right answer is taken, whatever came before; duplicates of it are harmless."""
    with responder(lambda request: [b"\x30\x82", response(request, GOOD), response(request, GOOD)]) as port:
        assert await read_from(backend, port) == 0x1234


async def test_answers_from_another_address_are_not_heard(backend: PysnmpBackend) -> None:
    """A datagram from a port that was not asked is counted, not believed."""
    with responder(lambda request: [response(request, GOOD)], from_another_port=True) as port:
        session = await backend.open(target(port, timeout=0.4), Community())
        with pytest.raises(RequestTimedOut):
            await session.get([mib.SYS_UP_TIME])
        assert next(iter(session._engine.transports.values())).foreign_datagrams == 1

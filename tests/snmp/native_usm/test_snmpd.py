"""The native back end against a real snmpd: every algorithm that net-snmp has, and what happens to a device in its life."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from snmp_agent_process import AUTH_PASSWORD, PRIV_PASSWORD, AgentProcess

from netmote.clock import SystemClock
from netmote.errors import NetmoteError
from netmote.snmp import mib
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import UsmUser
from netmote.snmp.native.native_session import NativeBackend, NativeSession
from netmote.snmp.native.v3_channel import V3Channel
from netmote.snmp.session import (
    AuthenticationFailed,
    DecryptionFailed,
    RequestTimedOut,
    UnknownUser,
    UnsupportedSecurityLevel,
)

AUTH = {"md5": "MD5", "sha": "SHA", "sha224": "SHA-224", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
PRIV = {"des": "DES", "aes128": "AES", "aes192": "AES-192", "aes256": "AES-256", "aes192c": "AES-192-C", "aes256c": "AES-256-C"}
PAIRS = [("none", "none"), *((auth, priv) for auth in AUTH for priv in ("none", *PRIV))]
USER = UsmUser("sha256-aes128", "sha256", "aes128", AUTH_PASSWORD, PRIV_PASSWORD)


def user(auth: str, priv: str) -> UsmUser:
    return UsmUser(
        f"{auth}-{priv}", auth, priv, AUTH_PASSWORD if auth != "none" else None, PRIV_PASSWORD if priv != "none" else None
    )


class UsmAgent(AgentProcess):
    """snmpd with a user of every pair of algorithms, a second context, and an engine id of its own choosing."""

    def __init__(self, directory: Path, *, engine_id: str = "0x80001f8804aabbccddeeff") -> None:
        super().__init__(directory, keeps_state=True)
        lines = ["view all included .1", f"proxy -Cn other -v2c -c public 127.0.0.1:{self.port} .1.3.6.1.2.1.1"]
        for auth, priv in PAIRS:
            name = f"{auth}-{priv}"
            create = ["createUser", name]
            create += [AUTH[auth], AUTH_PASSWORD] if auth != "none" else []
            create += [PRIV[priv], PRIV_PASSWORD] if priv != "none" else []
            level = "noauth" if auth == "none" else "auth"
            lines += [" ".join(create), f'rouser {name} {level} -V all ""', f"rouser {name} {level} -V all other"]
        self.lines = (directory / "agent.conf").read_text().splitlines() + lines
        self._write(engine_id)

    def _write(self, engine_id: str) -> None:
        (self.directory / "agent.conf").write_text("\n".join([*self.lines, f"exactEngineID {engine_id}"]) + "\n")

    def lose_state(self) -> None:
        """Start again with boots and clock as on the first day."""
        self.stop()
        shutil.rmtree(self.directory / "state")
        self.start()

    def become(self, engine_id: str) -> None:
        """Be replaced by a device of this engine id."""
        self._write(engine_id)
        self.lose_state()

    def restart(self) -> None:
        self.stop()
        self.start()


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UsmAgent]:
    """One for all tests that only read."""
    yield from running(tmp_path_factory.mktemp("snmpd"))


@pytest.fixture
def own_agent(tmp_path: Path) -> Iterator[UsmAgent]:
    """One that a test may stop."""
    yield from running(tmp_path)


def running(directory: Path) -> Iterator[UsmAgent]:
    if not shutil.which("snmpd") or not shutil.which("snmpget"):
        pytest.skip("snmpd and the snmp tools are not installed")
    process = UsmAgent(directory)
    process.start()
    yield process
    process.stop()


@pytest.fixture
async def backend() -> AsyncIterator[NativeBackend]:
    opened = NativeBackend(clock=SystemClock(), random=random.Random(1))
    yield opened
    await opened.close()


async def opened(
    backend: NativeBackend, agent: AgentProcess, credentials: UsmUser, *, address: str = "127.0.0.1", patience: float = 1.0
) -> NativeSession:
    config = {"security_name": credentials.security_name, "auth_protocol": "none", "priv_protocol": "none"}
    target = TargetConfig.model_validate(
        {"name": "d", "address": address, "port": agent.port, "timeout": patience, "version": "3", "user": config}
    )
    session = await backend.open(target, credentials)
    assert isinstance(session, NativeSession)
    return session


def channel_of(session: NativeSession) -> V3Channel:
    assert isinstance(session.channel, V3Channel)
    return session.channel


async def description(session: NativeSession) -> bytes:
    return (await session.get([mib.SYS_DESCR])).varbinds[0].value


async def refused(session: NativeSession, tries: int = 1) -> type[NetmoteError]:
    for _ in range(tries):
        with pytest.raises(NetmoteError) as caught:
            await session.get([mib.SYS_UP_TIME])
    return type(caught.value)


@pytest.mark.parametrize(("auth", "priv"), PAIRS, ids=[f"{auth}-{priv}" for auth, priv in PAIRS])
async def test_every_algorithm_of_net_snmp(backend: NativeBackend, agent: UsmAgent, auth: str, priv: str) -> None:
    """Six digests, seven kinds of privacy, and none: text, numbers and rows, as v2c gives them; no datagram is doubted."""
    session = await opened(backend, agent, user(auth, priv))
    assert (await description(session)).decode() == agent.snmpget("1.3.6.1.2.1.1.1.0").partition(" ")[2].strip('"')
    reply = await session.bulk([mib.SYS_UP_TIME[:-1]], [mib.COLUMN["ifName"], mib.COLUMN["ifHCInOctets"]], 1)
    assert [varbind.tag for varbind in reply.varbinds] == [mib.TIME_TICKS, mib.OCTET_STRING, mib.COUNTER64]
    assert channel_of(session).engine_id.hex() == "80001f8804aabbccddeeff"
    assert not channel_of(session).ignored
    assert not channel_of(session).learnt


async def test_both_families_side_by_side(backend: NativeBackend, agent: UsmAgent) -> None:
    """Many requests at once over IPv4 and IPv6, from the very first: each has its answer."""
    sessions = [await opened(backend, agent, USER), await opened(backend, agent, USER, address="::1")]
    found = await asyncio.gather(*(description(session) for session in sessions for _ in range(50)))
    assert len(set(found)) == 1
    assert not any(channel_of(session).ignored for session in sessions)


async def test_cancelled_and_timed_out_requests_leave_nothing_behind(backend: NativeBackend, agent: UsmAgent) -> None:
    """Neither before discovery nor after; the next request reads, and nothing waits in the channel."""
    session = await opened(backend, agent, USER)
    for _ in range(5):
        task = asyncio.get_running_loop().create_task(description(session))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not channel_of(session)._waiting
        assert await description(session)
    silent = await opened(backend, agent, replace(USER, priv_password="not-the-password"), patience=0.1)
    assert await refused(silent, tries=3) is DecryptionFailed
    assert not channel_of(silent)._waiting


async def test_what_is_set_up_wrongly(backend: NativeBackend, agent: UsmAgent) -> None:
    """Each with its name, at once; the privacy password, which net-snmp is silent about, at the second request."""
    wrong = {
        replace(USER, auth_password="not-the-password"): AuthenticationFailed,
        replace(USER, auth_protocol="sha512"): AuthenticationFailed,
        replace(USER, security_name="stranger"): UnknownUser,
        replace(user("sha256", "none"), priv_protocol="aes128", priv_password=PRIV_PASSWORD): UnsupportedSecurityLevel,
        replace(user("none", "none"), auth_protocol="sha", auth_password=AUTH_PASSWORD): UnsupportedSecurityLevel,
    }
    for credentials, error in wrong.items():
        session = await opened(backend, agent, credentials)
        assert await refused(session) is error, credentials
        assert await refused(session) is error, credentials
    for credentials in (replace(USER, priv_password="not-the-password"), replace(USER, priv_protocol="aes256")):
        session = await opened(backend, agent, credentials, patience=0.2)
        assert [await refused(session) for _ in range(3)] == [RequestTimedOut, DecryptionFailed, DecryptionFailed]
    right, other = (
        await opened(backend, agent, USER),
        await opened(backend, agent, replace(USER, auth_password="not-the-password")),
    )
    for _ in range(3):
        assert await description(right)
        assert await refused(other) is AuthenticationFailed


async def test_contexts(backend: NativeBackend, agent: UsmAgent) -> None:
    """A second context, which snmpd serves by asking itself; one that it does not have is dropped in silence."""
    session = await opened(backend, agent, replace(USER, context_name="other"))
    assert await description(session) == await description(await opened(backend, agent, USER))
    missing = await opened(backend, agent, replace(USER, context_name="missing"), patience=0.2)
    assert await refused(missing, tries=2) is DecryptionFailed


async def test_less_than_the_user_could(backend: NativeBackend, agent: UsmAgent) -> None:
    """A user with privacy, asked without: answered without, which is what was asked for."""
    assert await description(await opened(backend, agent, replace(USER, priv_protocol="none", priv_password=None)))


async def test_a_restarted_agent(backend: NativeBackend, own_agent: UsmAgent) -> None:
    """Boots + 1: the request after it reads, its clock taken from the authenticated report, also for requests side by side."""
    session = await opened(backend, own_agent, USER)
    assert await description(session)
    for restarts in (1, 2):
        own_agent.restart()
        assert len(set(await asyncio.gather(*(description(session) for _ in range(5))))) == 1
        assert set(channel_of(session).learnt) == {"forward"}
        assert channel_of(session).learnt["forward"] == 5 * restarts
    assert backend.learnt == {"forward": 10}
    await session.close()
    assert backend.learnt == {"forward": 10}, "what was counted outlives its session"


async def test_an_agent_whose_state_is_lost(
    backend: NativeBackend, own_agent: UsmAgent, caplog: pytest.LogCaptureFixture
) -> None:
    """Its boots and clock go back with its state: followed, counted, and logged once."""
    session = await opened(backend, own_agent, USER)
    for times in (1, 2):
        own_agent.restart()
        assert await description(session)
        own_agent.lose_state()
        assert await description(session)
        assert channel_of(session).learnt["boots_back"] == times
    assert [record.getMessage() for record in caplog.records].count(
        "the engine's boots went back, as an authenticated report says; followed them"
    ) == 1


async def test_another_engine_at_the_address(backend: NativeBackend, own_agent: UsmAgent) -> None:
    """The device is replaced: the next request discovers, and reads."""
    session = await opened(backend, own_agent, USER)
    assert await description(session)
    own_agent.become("0x80001f880411223344")
    assert await description(session)
    assert channel_of(session).engine_id.hex() == "80001f880411223344"
    assert channel_of(session).learnt["engine_replaced"] == 1
    own_agent.become("0x80001f8804aabbccddeeff")
    assert await description(session)

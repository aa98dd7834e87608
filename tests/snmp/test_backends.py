"""Which back end speaks with which device."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from random import Random

import pytest
from snmp_agent_process import AUTH_PASSWORD, PRIV_PASSWORD, AgentProcess
from snmp_fault_agent import FaultAgent, changed, honest

from netmote.clock import SystemClock
from netmote.snmp import mib
from netmote.snmp.backends import Backends, backend_of, refuse_unverified
from netmote.snmp.config import SnmpConfig, TargetConfig, UsmConfig
from netmote.snmp.credentials import Community, UsmUser
from netmote.snmp.session import UndecodableAnswer, UnsupportedSecurityLevel

USER = UsmConfig.model_validate({"security_name": "sha256", "auth_password": "file:/a", "priv_password": "file:/p"})


def target(**keywords: object) -> TargetConfig:
    return TargetConfig.model_validate({"name": "d", "address": "127.0.0.1", "timeout": "300ms", **keywords})


@pytest.fixture
async def backends() -> AsyncIterator[Backends]:
    opened = Backends(clock=SystemClock(), random=Random(1))
    yield opened
    await opened.close()
    await opened.close()


@pytest.mark.parametrize(
    ("everybody", "own", "version", "expected"),
    [
        ("auto", None, "1", "native"),
        ("auto", None, "2c", "native"),
        ("pysnmp", None, "1", "native"),
        ("pysnmp", None, "2c", "pysnmp"),
        ("pysnmp", "auto", "2c", "native"),
        ("native", "pysnmp", "2c", "pysnmp"),
        ("auto", None, "3", "native"),
        ("native", None, "3", "native"),
        ("auto", "pysnmp", "3", "pysnmp"),
    ],
)
def test_the_choice(everybody: str, own: str | None, version: str, expected: str) -> None:
    """A device's own word, else the one for all, else what speaks its version better."""
    device = target(version=version, backend=own, user=USER if version == "3" else None)
    assert backend_of(SnmpConfig.model_validate({"backend": everybody}).resolved(device)) == expected


class Trusting:
    """A back end as gufo_snmp or snmpkit would be: it believes what it is told."""

    name = "trusting"
    verifies_digests = False


def test_a_back_end_that_does_not_verify_is_refused_for_v3() -> None:
    """It may speak what has nothing to verify; ours both verify, which the USM matrix tries."""
    refuse_unverified(Trusting(), target(version="2c"))
    with pytest.raises(UnsupportedSecurityLevel, match="trusting"):
        refuse_unverified(Trusting(), target(version="3", user=USER))


@pytest.mark.parametrize(("backend", "speaks"), [("auto", "native"), ("native", "native"), ("pysnmp", "pysnmp")])
async def test_sessions_say_what_speaks(backends: Backends, agent: AgentProcess, backend: str, speaks: str) -> None:
    """Each choice reads a real snmpd."""
    session = await backends.open(target(port=agent.port, backend=backend), Community())
    assert (await session.get([mib.SYS_UP_TIME])).error_status == 0
    assert (session.backend, session.fallback_reason) == (speaks, "")
    await session.close()


async def test_v3_is_read(backends: Backends, agent: AgentProcess) -> None:
    """By whatever speaks it under auto."""
    device = target(port=agent.port, version="3", user=USER)
    session = await backends.open(device, UsmUser("sha256", "sha256", "aes128", AUTH_PASSWORD, PRIV_PASSWORD))
    assert (await session.get([mib.SYS_UP_TIME])).error_status == 0
    assert session.backend == backend_of(device)


async def test_a_device_that_native_cannot_read_goes_over(backends: Backends) -> None:
    """Indefinite lengths: BER that RFC 3417 section 8 forbids, and pysnmp reads."""
    async with FaultAgent(changed(is_indefinite=True)) as odd:
        session = await backends.open(target(port=odd.port), Community())
        assert (await session.get([mib.SYS_DESCR])).varbinds[0].value == b"an agent that may lie"
        assert session.backend == "pysnmp"
        assert "no id could be read" in session.fallback_reason
        strict = await backends.open(target(port=odd.port, backend="native"), Community())
        with pytest.raises(UndecodableAnswer):
            await strict.get([mib.SYS_DESCR])


async def test_what_is_not_believed_can_be_read(backends: Backends) -> None:
    """Counted by reason, over all devices, also of sessions that are closed."""
    async with FaultAgent(
        lambda table, request: [*changed(community=b"x")(table, request), *honest(table, request) * 2]
    ) as agent:
        session = await backends.open(target(port=agent.port), Community())
        await session.get([mib.SYS_DESCR])
        await asyncio.sleep(0.05)
        assert backends.ignored == {"wrong_community": 1, "duplicate": 1}
        await session.close()
        assert backends.ignored == {"wrong_community": 1, "duplicate": 1}


def test_pysnmp_is_not_imported_until_it_is_needed() -> None:
    """It costs 15 MB and a fifth of a second."""
    program = "import sys, netmote.snmp.collector; sys.exit('pysnmp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

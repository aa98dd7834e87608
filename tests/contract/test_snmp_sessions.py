"""What every SNMP session must do, whatever carries its bytes: the contract of `netmote.snmp.session.SnmpSession`."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from snmp_agent_process import AUTH_PASSWORD, PRIV_PASSWORD, USERS, AgentProcess
from snmp_scripted import ScriptedDevice, ScriptedSession
from snmp_simulator import Simulator

from netmote.clock import SystemClock
from netmote.snmp import mib
from netmote.snmp.backends import Backends
from netmote.snmp.config import TargetConfig, UsmConfig
from netmote.snmp.credentials import Community, UsmUser
from netmote.snmp.oid import decode_oid, encode_arcs
from netmote.snmp.session import RequestTimedOut, SessionClosed, SnmpSession, WaitsAsTold
from netmote.snmp.walk import walk_columns

UP_TIME = mib.SYS_UP_TIME[:-1]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    if not shutil.which("snmpd") or not shutil.which("snmpbulkwalk"):
        pytest.skip("snmpd and the snmp tools are not installed")
    process = AgentProcess(tmp_path_factory.mktemp("snmpd"))
    process.start()
    yield process
    process.stop()


RECORDING = "network/switch/cts-media-converter"  # small, with a system group and named ports


@pytest.fixture(scope="module")
def simulator(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """Snmpsim with one recording of a real device."""
    if not shutil.which("snmpget"):
        pytest.skip("the snmp tools are not installed")
    pytest.importorskip("snmpsim")
    served = Simulator(tmp_path_factory.mktemp("snmpsim"), data / "snmp", [RECORDING])
    served.start()
    yield served
    served.stop()


class Way(NamedTuple):
    """How a device is read: back end, agent, version, address."""

    backend: str
    agent: str
    version: str = "2c"
    address: str = "127.0.0.1"
    user: str = ""


WAYS = {
    "scripted": Way("scripted", "scripted"),
    "native": Way("native", "agent"),
    "native IPv6": Way("native", "agent", address="::1"),
    "native v1": Way("native", "agent", "1"),
    "native v1 IPv6": Way("native", "agent", "1", "::1"),
    "native, snmpsim": Way("native", "simulator"),
    "native v1, snmpsim": Way("native", "simulator", "1"),
    "native v3 authPriv": Way("native", "agent", "3", user="sha256"),
    "native v3 authNoPriv": Way("native", "agent", "3", "::1", "sha384only"),
    "native v3 noAuthNoPriv": Way("native", "agent", "3", user="nobody"),
    "auto": Way("auto", "agent"),
    "auto v3": Way("auto", "agent", "3", user="sha512"),
    "pysnmp": Way("pysnmp", "agent"),
    "pysnmp IPv6": Way("pysnmp", "agent", address="::1"),
    "pysnmp, snmpsim": Way("pysnmp", "simulator"),
    "pysnmp v3": Way("pysnmp", "agent", "3", user="sha256"),
}


@pytest.fixture(
    params=[
        pytest.param(way, id=name, marks=pytest.mark.realdata if way.agent == "simulator" else []) for name, way in WAYS.items()
    ]
)
async def session(request: pytest.FixtureRequest) -> AsyncIterator[SnmpSession]:
    """Every implementation, each with a device that has a system group and at least one interface."""
    way: Way = request.param
    if way.backend == "scripted":
        device = ScriptedDevice()
        device.boot(up_time=1_000)
        device.put(mib.SYS_DESCR, mib.OCTET_STRING, "scripted")
        for index in (1, 2, 10):
            device.port(index, f"eth{index}")
        yield ScriptedSession(device)
        return
    agent = request.getfixturevalue(way.agent)
    backend = Backends(clock=SystemClock(), random=Random(1))
    credentials = _user(way.user) if way.user else Community(RECORDING if way.agent == "simulator" else "public")
    target = TargetConfig(
        name="d",
        address=way.address,
        port=agent.port,
        version=way.version,
        backend=way.backend,
        timeout=5.0,
        user=UsmConfig(security_name=way.user, auth_protocol="none", priv_protocol="none") if way.user else None,
    )
    yield await backend.open(target, credentials)
    await backend.close()


def _user(name: str) -> UsmUser:
    auth, priv = USERS[name]
    return UsmUser(name, auth, priv, AUTH_PASSWORD if auth != "none" else None, PRIV_PASSWORD if priv != "none" else None)


async def test_get_answers_in_the_order_asked(session: SnmpSession) -> None:
    """One varbind per OID, in order; what is not there is an exception tag, not an error."""
    missing = mib.COLUMN["ifName"] + encode_arcs([999_999])
    reply = await session.get([mib.SYS_UP_TIME, missing, mib.SYS_DESCR])
    assert [varbind.oid for varbind in reply.varbinds] == [mib.SYS_UP_TIME, missing, mib.SYS_DESCR]
    assert [varbind.tag for varbind in reply.varbinds] == [mib.TIME_TICKS, mib.NO_SUCH_INSTANCE, mib.OCTET_STRING]
    assert (reply.error_status, reply.error_index) == (0, 0)
    assert reply.round_trip_seconds > 0


async def test_bulk_steps_from_what_was_asked(session: SnmpSession) -> None:
    """Non-repeaters once, columns row by row, each OID after the one asked for (RFC 3416 section 4.2.3)."""
    columns = [mib.COLUMN["ifName"], mib.COLUMN["ifInOctets"]]  # v1 has no Counter64 (RFC 3584 section 4.2.2.1)
    reply = await session.bulk([UP_TIME], columns, 2)
    first, *cells = reply.varbinds
    assert first.oid == mib.SYS_UP_TIME
    assert len(cells) in (2, 4)
    for cell, column in zip(cells[:2], columns, strict=True):
        assert cell.oid.startswith(column)
        assert decode_oid(cell.oid) > decode_oid(column)


async def test_values_are_raw(session: SnmpSession) -> None:
    """Numbers as content bytes of integers, text as octets: nothing is interpreted at the seam."""
    reply = await session.bulk([], [mib.COLUMN["ifName"], mib.COLUMN["ifType"]], 1)
    name, kind = reply.varbinds[:2]
    assert isinstance(name.value, bytes)
    assert name.value
    assert int.from_bytes(kind.value, "big", signed=True) in range(1, 300)


async def test_a_whole_table_can_be_walked(session: SnmpSession) -> None:
    """The walk above the seam ends on every implementation, with a name for every row."""
    walk = await walk_columns(session, [mib.COLUMN["ifName"], mib.COLUMN["ifOperStatus"]], monotonic=SystemClock().monotonic)
    names, states = (walk.cells[mib.COLUMN[name]] for name in ("ifName", "ifOperStatus"))
    assert names.keys() == states.keys()
    assert len(names) >= 1


async def test_calls_may_run_side_by_side(session: SnmpSession) -> None:
    """Concurrent requests each get their own answer."""
    oids = [mib.SYS_UP_TIME, mib.SYS_DESCR] * 10
    replies = await asyncio.gather(*(session.get([oid]) for oid in oids))
    assert [reply.varbinds[0].oid for reply in replies] == oids


async def test_cancellation_leaves_the_session_usable(session: SnmpSession) -> None:
    """A cancelled call disturbs no later one."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(session.get([mib.SYS_UP_TIME]))
        await asyncio.sleep(0)
        task.cancel()
    assert (await session.get([mib.SYS_DESCR])).varbinds[0].oid == mib.SYS_DESCR


async def test_close_is_final_and_safe_twice(session: SnmpSession) -> None:
    """After close every call says so by name."""
    await session.close()
    await session.close()
    with pytest.raises(SessionClosed):
        await session.get([mib.SYS_UP_TIME])
    with pytest.raises(SessionClosed):
        await session.bulk([], [mib.COLUMN["ifName"]], 1)


async def test_a_session_says_what_carries_it(session: SnmpSession) -> None:
    """The name of a back end, and no excuse where it is the first choice."""
    assert session.backend in ("native", "pysnmp", "scripted")
    assert session.fallback_reason == ""


# pysnmp is given no version 1: it is spoken natively only.
@pytest.mark.parametrize(
    ("backend", "version"), [("native", "1"), ("native", "2c"), ("auto", "1"), ("auto", "2c"), ("pysnmp", "2c")]
)
async def test_a_timeout_set_later_counts_for_what_is_sent_then(backend: str, version: str) -> None:
    """To a host that never answers: what was sent before waits as it was told, what is sent after as it is told now."""
    backends = Backends(clock=SystemClock(), random=Random(1))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        target = TargetConfig(name="d", address="127.0.0.1", port=port, version=version, backend=backend, timeout=0.6)
        session = await backends.open(target, Community("public"))
        assert isinstance(session, WaitsAsTold)
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            earlier = group.create_task(_silence(session))
            await asyncio.sleep(0.05)
            session.timeout = 0.1
            await _silence(session)
            assert 0.1 <= loop.time() - began < 0.55
            assert not earlier.done()
        assert 0.6 <= loop.time() - began < 3
    await backends.close()


async def _silence(session: SnmpSession) -> None:
    with pytest.raises(RequestTimedOut):
        await session.get([mib.SYS_UP_TIME])

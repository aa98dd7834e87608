"""Which of a name's addresses is tried."""

import socket
from random import Random

import pytest
from snmp_fault_agent import FaultAgent, honest

from netmote.clock import SystemClock
from netmote.snmp import mib
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Community
from netmote.snmp.native.addresses import MOST_TURNS, Addresses, Found
from netmote.snmp.native.native_session import NativeBackend
from netmote.snmp.session import AddressUnknown, AgentNotListening


async def two(host: str, port: int) -> Found:
    """A name of both families, IPv6 first, as a resolver gives it."""
    return [(socket.AF_INET6, ("::1", port, 0)), (socket.AF_INET, ("127.0.0.1", port, 0))]


async def test_the_first_address_stays_while_it_is_heard() -> None:
    """Order is the resolver's business."""
    addresses = Addresses(two)
    for _ in range(3):
        assert (await addresses.find("sw", 161))[1] == ("::1", 161, 0)


async def test_after_silence_the_next_has_its_turn() -> None:
    """And after the last the first again; other names are not concerned."""
    addresses = Addresses(two)
    tried = []
    for _ in range(3):
        tried.append((await addresses.find("sw", 161))[1][0])
        addresses.was_silent("sw", 161)
    assert tried == ["::1", "127.0.0.1", "::1"]
    assert (await addresses.find("other", 161))[1][0] == "::1"


async def test_a_name_without_address_is_named() -> None:
    """By the system's own lookup."""
    with pytest.raises(AddressUnknown, match=r"no-such-host\.invalid"):
        await Addresses().find("no-such-host.invalid", 161)


async def test_numeric_addresses_need_no_name() -> None:
    """Both families, with the family that they are of."""
    assert await Addresses().find("127.0.0.1", 7) == (socket.AF_INET, ("127.0.0.1", 7, 0))
    assert await Addresses().find("::1", 7) == (socket.AF_INET6, ("::1", 7, 0))


def test_what_is_remembered_is_bounded() -> None:
    """The oldest name is forgotten."""
    addresses = Addresses(two)
    for number in range(MOST_TURNS + 10):
        addresses.was_silent(f"sw{number}", 161)
    assert len(addresses._turns) == MOST_TURNS


async def test_a_device_that_answers_at_its_second_address_is_found() -> None:
    """A session that never heard anything is closed, as a poller does after failures; the next one tries the other address."""
    backend = NativeBackend(clock=SystemClock(), random=Random(1), addresses=Addresses(two))
    async with FaultAgent(honest) as agent:
        target = TargetConfig(name="d", address="sw.example", port=agent.port, timeout=1.0)
        unused = await backend.open(target, Community())
        await unused.close()  # tells nothing of its address
        first = await backend.open(target, Community())
        with pytest.raises(AgentNotListening):
            await first.get([mib.SYS_DESCR])
        await first.close()
        for _ in range(2):
            session = await backend.open(target, Community())
            assert (await session.get([mib.SYS_DESCR])).error_status == 0
            await session.close()
    await backend.close()

"""When details are read, what they may cost, and that a failure costs its own group alone."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from manual_clock import ManualClock
from snmp_agent_process import AgentProcess
from snmp_fault_agent import Arcs, Bound, FaultAgent, Request, Sent, Table
from snmp_scripted import ScriptedBackend, ScriptedDevice, ScriptedSession

from netmote.clock import SystemClock
from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.snmp import mib
from netmote.snmp.backends import Backends
from netmote.snmp.careful_session import read_device
from netmote.snmp.config import TargetConfig
from netmote.snmp.credentials import Community
from netmote.snmp.details.details_reader import DetailsReader
from netmote.snmp.oid import encode_oid, parse_oid
from netmote.snmp.paced_session import PacedSession, SendWindow
from netmote.snmp.profiles.loader import ProfileSet, load_profiles
from netmote.snmp.quirks import QuirkLearner
from netmote.snmp.reading import DeviceReader
from netmote.snmp.session import Reply, RequestTimedOut, Varbind
from netmote.snmp.target import PollOutcome, Target

STORAGE, LOAD, LLDP = "1.3.6.1.2.1.25.2.3.1", "1.3.6.1.2.1.25.3.3.1.2", "1.0.8802.1.1.2.1.4.1.1"


def reader(clock: ManualClock | SystemClock, **settings: int) -> DetailsReader:
    return DetailsReader("d", interval=60.0, profiles=ProfileSet(), max_gauges=settings.get("max_gauges", 500), clock=clock)


def device() -> ScriptedDevice:
    made = ScriptedDevice()
    made.boot(up_time=100_000)
    made.put(mib.SYS_OBJECT_ID, mib.OBJECT_IDENTIFIER, parse_oid("1.3.6.1.4.1.99999.1"))
    made.port(1, "eth1")
    for row, load in enumerate((10, 50), 1):
        made.put(parse_oid(f"{LOAD}.{row}"), mib.INTEGER, load)
    store(made, 1, "/", units=4096, size=2**31 + 1000, used=2**30)
    return made


def store(made: ScriptedDevice, row: int, name: str, *, units: int, size: int, used: int) -> None:
    made.put(parse_oid(f"{STORAGE}.3.{row}"), mib.OCTET_STRING, name)
    for arc, value in ((4, units), (5, size), (6, used)):
        signed = value - 2**32 if value >= 2**31 else value
        made.put(parse_oid(f"{STORAGE}.{arc}.{row}"), mib.INTEGER, signed.to_bytes(5, "big", signed=True).lstrip(b"\0") or b"\0")


def neighbour(made: ScriptedDevice, port: int, chassis: bytes, name: str) -> None:
    row = f"0.{port}.1"
    for arc, tag, value in ((4, mib.INTEGER, 4), (5, mib.OCTET_STRING, chassis), (6, mib.INTEGER, 5)):
        made.put(parse_oid(f"{LLDP}.{arc}.{row}"), tag, value)
    for arc, value in ((7, "ge-0/0/1"), (8, "uplink"), (9, name)):
        made.put(parse_oid(f"{LLDP}.{arc}.{row}"), mib.OCTET_STRING, value)


async def advance(made: ScriptedDevice, details: DetailsReader, clock: ManualClock, requests: int = 100) -> list[str]:
    session = ScriptedSession(made)
    reading = await DeviceReader(clock=clock, max_repetitions=20).read(session)
    return [f"{fact.entity} {fact.name}" for fact in await details.advance(session, reading, requests=requests)]


async def test_gauges_have_the_mibs_names_and_base_units() -> None:
    """Loads as mean and maximum; storage beyond 2^31 units in bytes."""
    clock = ManualClock()
    details = reader(clock)
    await advance(device(), details, clock)
    assert details.take_gauges() == {
        "hrProcessorLoad": 30.0,
        "hrProcessorLoad/max": 50.0,
        "hrProcessorLoad/count": 2.0,
        "hrStorageSize//": (2**31 + 1000) * 4096.0,
        "hrStorageUsed//": 2.0**30 * 4096,
    }
    assert details.take_gauges() == {}  # each is told once


async def test_more_used_than_there_is_is_not_believed() -> None:
    """A size that wrapped gives neither size nor use, and says so."""
    clock, made = ManualClock(), device()
    store(made, 2, "/big", units=4096, size=100, used=2**31)
    details = reader(clock)
    await advance(made, details, clock)
    assert not [name for name in details.take_gauges() if "/big" in name]
    assert "hrStorageUsed//big" in details.details.doubts["storage"][0]


async def test_a_group_is_read_once_an_interval_and_an_absent_one_once_an_hour() -> None:
    """A cycle in which nothing is due costs not one request."""
    clock, made = ManualClock(), device()
    details = reader(clock)
    await advance(made, details, clock)
    session = ScriptedSession(made)
    reading = await DeviceReader(clock=clock, max_repetitions=20).read(session)
    made.requests.clear()
    await details.advance(session, reading)
    assert made.requests == []
    clock.advance(61)
    await details.advance(session, reading)
    assert 2 <= len(made.requests) <= 4  # processors and storage
    assert "lldp" in details.details.absent


async def test_many_devices_begin_one_after_the_other() -> None:
    """Not one request before a device's own time; its profile waits as well."""
    clock, made = ManualClock(), device()
    details = DetailsReader(
        "d", interval=60.0, profiles=load_profiles(("builtin",)), max_gauges=500, clock=clock, first_after=7.0
    )
    made.put(mib.SYS_OBJECT_ID, mib.OBJECT_IDENTIFIER, parse_oid("1.3.6.1.4.1.9.1.516"))
    session = ScriptedSession(made)
    reading = await DeviceReader(clock=clock, max_repetitions=20).read(session)
    made.requests.clear()
    clock.advance(6.9)
    await details.advance(session, reading)
    assert made.requests == []
    clock.advance(0.2)
    await details.advance(session, reading)
    assert details.take_gauges()["hrProcessorLoad"] == 30.0
    assert details.details.profile == "cisco"


async def test_requests_are_bounded_and_the_rest_waits_for_the_next_cycle() -> None:
    """With three requests a cycle every group has its turn, none is asked twice before."""
    clock, made = ManualClock(), device()
    details, gauges = reader(clock), {}
    for _ in range(20):
        made.requests.clear()
        session = ScriptedSession(made)
        reading = await DeviceReader(clock=clock, max_repetitions=20).read(session)
        made.requests.clear()
        await details.advance(session, reading, requests=3)
        assert len(made.requests) <= 3
        gauges |= details.take_gauges()
        clock.advance(1)
    assert "hrProcessorLoad" in gauges
    assert "hrStorageSize//" in gauges


async def test_a_table_that_needs_too_many_requests_costs_itself_alone() -> None:
    """It is named, tried again at growing distances, and the others are read."""
    clock, made = ManualClock(), device()
    for row in range(3, 900):
        store(made, row, f"/{row}", units=1, size=10, used=5)
    details = reader(clock)
    for _ in range(4):
        await advance(made, details, clock, requests=30)
        clock.advance(1)
    assert details.details.failed == {"storage": "needs more than 30 requests"}
    assert details.take_gauges()["hrProcessorLoad"] == 30.0


async def test_the_bound_on_gauges_names_what_it_leaves_out() -> None:
    """No more than so many gauges a device; the others are named."""
    clock = ManualClock()
    details = reader(clock, max_gauges=4)
    await advance(device(), details, clock)
    assert len(details.take_gauges()) == 4
    assert details.details.excess == ("hrStorageUsed//",)


async def test_another_neighbour_is_a_fact_of_the_port() -> None:
    """Not at the first reading; when another chassis is there; when none is there any more."""
    clock, made = ManualClock(), device()
    details = reader(clock)
    neighbour(made, 1, b"\0\1\2\3\4\5", "core1")
    assert await advance(made, details, clock) == []
    assert details.details.neighbours[0].chassis_id == "00:01:02:03:04:05"
    clock.advance(61)
    assert await advance(made, details, clock) == []
    neighbour(made, 1, b"\0\1\2\3\4\6", "core2")
    clock.advance(61)
    assert await advance(made, details, clock) == ["interface:d/eth1 lldp_neighbour_changed"]


@pytest.mark.parametrize("trouble", ["genErr", "loops", "silent"])
async def test_a_bad_table_touches_neither_counters_nor_the_other_groups(trouble: str) -> None:
    """Over real datagrams: storage answers genErr, or goes round in circles, or not at all; ports and processors are read."""
    bad = tuple(map(int, STORAGE.split(".")))

    def behave(table: Table, request: Request) -> list[Sent]:
        touches = any(oid[: len(bad)] == bad for oid in request.oids)
        if not touches:
            return [Sent(table.truth(request).octets())]
        if trouble == "silent":
            return []
        if trouble == "genErr":
            answer = table.truth(request)
            return [Sent(type(answer)(answer.version, answer.community, answer.request_id, answer.varbinds, 5, 0).octets())]

        def circle(oid: Arcs) -> Bound:
            return (encode_oid((*bad, 4, 1)), mib.INTEGER, b"\1") if oid[: len(bad)] == bad else table.next(oid)

        return [Sent(table.truth(request, circle).octets())]

    clock, backend = SystemClock(), Backends(clock=SystemClock(), random=Random(1))
    async with FaultAgent(behave) as agent:
        agent.table.put(parse_oid(f"{LOAD}.1"), mib.INTEGER, b"\x2a")
        target = TargetConfig(name="d", address="127.0.0.1", port=agent.port, timeout=0.3, backend="native")
        session = await backend.open(target, Community("public"))
        details = reader(clock)
        reading = await DeviceReader(clock=clock, max_repetitions=20).read(session)
        await details.advance(session, reading)
        again = await DeviceReader(clock=clock, max_repetitions=20).read(session)
    await backend.close()
    assert list(details.details.failed) == ["storage"]
    assert details.take_gauges()["hrProcessorLoad"] == 42.0
    assert len(again.ports.if_index) == len(reading.ports.if_index) == 20


async def test_the_next_device_record_carries_the_gauges() -> None:
    """Details come after the poll, so that counters never wait; their gauges go with the record that follows."""
    clock, made, emitted = ManualClock(), device(), list[Batch]()
    target = Target(
        TargetConfig(name="d", address="192.0.2.1"),
        interval=10.0,
        backend=ScriptedBackend({"d": made}),
        window=SendWindow(10),
        clock=clock,
        random=Random(1),
        emit=emitted.append,
        details=lambda: reader(clock),
    )
    assert await target.poll() is PollOutcome.ANSWERED
    await target.read_details(10.0)
    await target.poll()
    first, second = [batch.gauges for batch in emitted if isinstance(batch, DeviceRecord)]
    assert first == {}
    assert second["hrProcessorLoad/max"] == 50.0


def kibibytes(name: str) -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def processes() -> int:
    return len(list(Path("/proc").glob("[0-9]*")))


def load_of_15_minutes() -> float:
    return float(Path("/proc/loadavg").read_text().split()[2])


async def test_snmpd_gives_what_the_kernel_has(agent: AgentProcess) -> None:
    """Memory, processors, load and storage of Debian's snmpd, by /proc and by snmpget; counters as rates at the second reading."""
    clock, backend = SystemClock(), Backends(clock=SystemClock(), random=Random(1))
    session = await backend.open(TargetConfig(name="d", address="127.0.0.1", port=agent.port), Community("public"))
    details = DetailsReader("d", interval=0.5, profiles=ProfileSet(), max_gauges=500, clock=clock)
    reading = await DeviceReader(clock=clock, max_repetitions=20).read(session)
    await details.advance(session, reading)
    gauges = details.take_gauges()
    await asyncio.sleep(1.2)
    await details.advance(session, reading)
    later = details.take_gauges()
    await backend.close()
    assert not details.details.failed
    assert gauges["memTotalReal"] == kibibytes("MemTotal") * 1024
    assert gauges["memTotalSwap"] == kibibytes("SwapTotal") * 1024
    assert gauges["hrMemorySize"] == kibibytes("MemTotal") * 1024
    assert gauges["hrSystemProcesses"] == pytest.approx(processes(), rel=0.5, abs=30)
    assert gauges["laLoad/Load-15"] == pytest.approx(load_of_15_minutes(), abs=0.3)
    size, units = agent.walk(f"{STORAGE}.5"), agent.walk(f"{STORAGE}.4")
    physical = next(oid for oid, name in agent.walk(f"{STORAGE}.3").items() if name == "Physical memory").rpartition(".")[2]
    by_hand = int(size[f"{STORAGE}.5.{physical}"]) * int(units[f"{STORAGE}.4.{physical}"].split()[0])
    assert gauges["hrStorageSize/Physical memory"] == by_hand
    assert later["ssCpuRawIdle"] >= 0
    assert later["udpInDatagrams"] >= 0
    assert "udpInDatagrams" not in gauges


async def test_what_the_ports_showed_is_known_to_the_details() -> None:
    """A device of one varbind a request is asked so from the first request on."""
    clock, made = ManualClock(), device()
    made.fail = lambda: RequestTimedOut("no") if made.requests[-1][1] > 1 else None
    details = reader(clock)
    learner = QuirkLearner()
    session = PacedSession(ScriptedSession(made), SendWindow(10), retries=0)
    reading = await read_device(DeviceReader(clock=clock, max_repetitions=20), session, learner, is_doubtful=True)
    assert learner.quirks.most_varbinds == 1
    timeouts = session.timeouts
    await details.advance(session, reading, quirks=learner.quirks)
    assert session.timeouts == timeouts, "nothing was tried in vain"
    assert not details.details.failed
    assert details.take_gauges()["hrProcessorLoad"] == 30.0


async def test_details_learn_for_themselves_and_leave_the_ports_alone() -> None:
    """A table that bears only small requests is read in small ones; the ports go on as they were."""
    clock, made = ManualClock(), device()
    for row in range(3, 40):
        store(made, row, f"/{row}", units=1, size=10, used=5)
    session = PacedSession(ScriptedSession(made), SendWindow(10), retries=0)
    learner = QuirkLearner()
    reading = await read_device(DeviceReader(clock=clock, max_repetitions=20), session, learner)
    made.fail = lambda: RequestTimedOut("no") if made.requests[-1][0] == "bulk" and made.requests[-1][1] > 20 else None
    details = reader(clock)
    await details.advance(session, reading, requests=300, quirks=learner.quirks)
    assert not details.details.failed
    assert details.take_gauges()["hrStorageSize//39"] == 10.0
    assert learner.quirks.described == ()


async def test_a_table_out_of_order_is_read_all_the_same() -> None:
    """As a session gives it whose rows come 2, 1, 4, 3."""

    class Shuffled(ScriptedSession):
        async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
            del max_repetitions
            varbinds: list[Varbind] = []
            for column in columns:
                prefix = next((p for p in (parse_oid(f"{LOAD}"),) if column.startswith(p)), None)
                if prefix is None:
                    return await super().bulk(non_repeaters, columns, 1)
                after = {b"": 2, b"\2": 1, b"\1": 4, b"\4": 3}.get(column[len(prefix) :])
                got = await super().get([prefix + bytes([after])] if after else [mib.SYS_UP_TIME])
                varbinds += got.varbinds
            return Reply(0, 0, varbinds, 0.001)

    clock, made = ManualClock(), device()
    for row in (3, 4):
        made.put(parse_oid(f"{LOAD}.{row}"), mib.INTEGER, 60)
    session = Shuffled(made)
    reading = await DeviceReader(clock=clock, max_repetitions=20).read(session)
    details = reader(clock)
    await details.advance(session, reading)
    assert details.take_gauges()["hrProcessorLoad/count"] == 4.0


async def test_requests_of_details_are_counted_in_the_next_record() -> None:
    """What was sent between two polls is told with the second; a session that was closed meanwhile takes nothing with it."""
    clock, made, emitted = ManualClock(), device(), list[Batch]()
    target = Target(
        TargetConfig(name="d", address="192.0.2.1"),
        interval=10.0,
        backend=ScriptedBackend({"d": made}),
        window=SendWindow(10),
        clock=clock,
        random=Random(1),
        emit=emitted.append,
        details=lambda: reader(clock),
    )
    await target.poll()
    await target.read_details(10.0)
    await target.poll()
    records = [batch for batch in emitted if isinstance(batch, DeviceRecord)]
    assert sum(record.requests for record in records) == len(made.requests)
    assert records[1].requests > 10

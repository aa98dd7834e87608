"""One poll of one device, over an agent in memory."""

import itertools
from collections.abc import Iterator

import pytest
from manual_clock import ManualClock
from snmp_scripted import ScriptedDevice, ScriptedSession

from netmote.records.interface import INTERFACE_COUNTERS
from netmote.snmp import mib
from netmote.snmp.counters import MALFORMED_BITS, NARROW, WIDE
from netmote.snmp.reading import REFRESH_SECONDS, DeviceReader, DeviceReading
from netmote.snmp.session import AgentError, RequestTimedOut, Varbind
from netmote.snmp.walk import REQUESTS_IN_FLIGHT

IN_OCTETS = INTERFACE_COUNTERS.index("if_hc_in_octets")


class Bench:
    """A device, a reader and a clock; each answer takes ten milliseconds."""

    def __init__(self, ports: int = 4) -> None:
        self.device, self.clock = ScriptedDevice(), ManualClock()
        self.device.boot(up_time=10_000, hr_uptime=90_000)
        self.device.put(mib.SYS_DESCR, mib.OCTET_STRING, "a switch")
        self.device.put(mib.SYS_NAME, mib.OCTET_STRING, "sw-1")
        self.device.put(mib.IF_NUMBER, mib.INTEGER, ports)
        for index in range(1, ports + 1):
            self.device.port(index, f"eth{index}", octets=index * 100)
        self.device.before_answer = lambda: self.pass_time(0.01)
        self.reader = DeviceReader(clock=self.clock, max_repetitions=20)
        self.session = ScriptedSession(self.device)

    def pass_time(self, seconds: float) -> None:
        """Our clock and the agent's go on together."""
        self.clock.advance(seconds)
        _, value = self.device.objects[(1, 3, 6, 1, 2, 1, 1, 3, 0)]
        ticks = int.from_bytes(value, "big") + round(seconds * 100)
        self.device.boot(up_time=ticks % 2**32)

    async def read(self) -> DeviceReading:
        self.device.requests.clear()
        return await self.reader.read(self.session)


async def test_everything_about_the_ports_is_read() -> None:
    """Names, types, speeds, states and all counters, in the order of ifIndex, with the agent's own time."""
    bench = Bench()
    reading = await bench.read()
    assert reading.system.sys_name == "sw-1"
    assert reading.ports.if_index.tolist() == [1, 2, 3, 4]
    assert reading.ports.if_name == ("eth1", "eth2", "eth3", "eth4")
    assert reading.ports.if_alias[0] == "to eth1"
    assert reading.counters.values[:, IN_OCTETS].tolist() == [100, 200, 300, 400]
    assert (reading.counters.bits[:, IN_OCTETS] == WIDE).all()
    assert reading.counters.bits[0, INTERFACE_COUNTERS.index("if_in_errors")] == NARROW
    assert reading.counters.bits[0, INTERFACE_COUNTERS.index("carrier_transitions")] == 0
    assert reading.counters.if_high_speed.tolist() == [1000] * 4
    assert reading.instant.hr_system_uptime == 90_000
    assert reading.instant.sys_up_time is not None
    # wall and monotonic time are of the first answer that held counters, not of the end of the poll
    assert reading.wall_ns < bench.clock.now_ns()


async def test_later_polls_ask_only_for_what_changes() -> None:
    """Names are not read again, 32-bit twins of 64-bit counters not at all, and nothing past the last row."""
    bench = Bench(ports=30)
    await bench.read()
    first = sum(varbinds for _, varbinds in bench.device.requests)
    bench.pass_time(10)
    await bench.read()
    second = sum(varbinds for _, varbinds in bench.device.requests)
    rows = 30 * (8 + 5 + 3)
    requests = len(bench.device.requests)
    assert second == 4 + rows + (requests - 1), "scalars, 16 columns of each row once, sysUpTime in every answer"
    assert second < first / 1.8


async def test_names_are_read_again_after_a_while() -> None:
    """An alias changed by the operator is seen at the next refresh."""
    bench = Bench()
    await bench.read()
    bench.device.put_cell("ifAlias", 1, mib.OCTET_STRING, "new uplink")
    bench.pass_time(10)
    assert (await bench.read()).ports.if_alias[0] == "to eth1"
    bench.pass_time(REFRESH_SECONDS)
    assert (await bench.read()).ports.if_alias[0] == "new uplink"


@pytest.mark.parametrize("tells", ["ifNumber", "nothing"])
async def test_new_ports_are_seen_at_once(tells: str) -> None:
    """By ifNumber; a renumbered table also by its rows alone."""
    bench = Bench()
    await bench.read()
    bench.pass_time(10)
    if tells == "ifNumber":
        bench.device.port(5, "eth5", octets=5)
        bench.device.put(mib.IF_NUMBER, mib.INTEGER, 5)
    else:
        bench.device.remove_row(2)
        bench.device.port(3, "renamed")
    reading = await bench.read()
    expected = [1, 2, 3, 4, 5] if tells == "ifNumber" else [1, 3, 4]
    assert reading.ports.if_index.tolist() == expected
    assert reading.ports.if_name[-1] == ("eth5" if tells == "ifNumber" else "eth4")


async def test_a_restart_is_a_reason_to_read_names_again() -> None:
    """After a reboot indexes may mean other ports: names are read in the same poll."""
    bench = Bench()
    await bench.read()
    bench.pass_time(10)
    bench.device.boot(up_time=200)
    bench.device.port(1, "other")
    assert (await bench.read()).ports.if_name[0] == "other"


async def test_a_device_without_64_bit_counters() -> None:
    """Every counter comes from its 32-bit twin, marked as such."""
    bench = Bench()
    for column in mib.COUNTER_SOURCES:
        for index in range(1, 5):
            if column.wide:
                bench.device.objects.pop((1, 3, 6, 1, 2, 1, 31, 1, 1, 1, int(mib.COLUMN[column.wide][-1]), index))
    for _ in range(2):
        reading = await bench.read()
        assert reading.counters.values[:, IN_OCTETS].tolist() == [100, 200, 300, 400]
        assert (reading.counters.bits[:, :8] == NARROW).all()
        bench.pass_time(10)


async def test_each_port_falls_back_alone() -> None:
    """A slow port without 64-bit counters beside fast ones with them."""
    bench = Bench()
    del bench.device.objects[(1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6, 3)]
    for _ in range(2):
        reading = await bench.read()
        assert reading.counters.bits[:, IN_OCTETS].tolist() == [WIDE, WIDE, NARROW, WIDE]
        bench.pass_time(10)


async def test_a_64_bit_counter_stuck_at_zero_is_not_believed() -> None:
    """Some agents have the 64-bit column and never count in it: the 32-bit twin that counts is read."""
    bench = Bench()
    bench.device.put_cell("ifHCInOctets", 2, mib.COUNTER64, 0)
    for _ in range(2):
        reading = await bench.read()
        assert reading.counters.values[1, IN_OCTETS] == 200
        assert reading.counters.bits[1, IN_OCTETS] == NARROW
        bench.pass_time(10)


async def test_a_value_of_another_type_is_malformed() -> None:
    """An octet string where a counter belongs, in both columns, and an empty counter."""
    bench = Bench()
    bench.device.put_cell("ifHCInOctets", 1, mib.OCTET_STRING, "many")
    bench.device.put_cell("ifInOctets", 1, mib.OCTET_STRING, "many")
    bench.device.put_cell("ifInErrors", 2, mib.COUNTER32, b"")
    reading = await bench.read()
    assert reading.counters.bits[0, IN_OCTETS] == MALFORMED_BITS
    assert reading.counters.bits[1, INTERFACE_COUNTERS.index("if_in_errors")] == MALFORMED_BITS


async def test_integers_are_unsigned_however_encoded() -> None:
    """Agents send counters with the top bit set as negative numbers; they are read modulo their width."""
    bench = Bench()
    bench.device.put_cell("ifHCInOctets", 1, mib.COUNTER64, b"\xff" * 8)
    bench.device.put_cell("ifInErrors", 1, mib.COUNTER32, b"\xff\xff\xff\xfe")
    bench.device.put_cell("ifInErrors", 2, mib.COUNTER32, b"\x00\xff\xff\xff\xfe")
    reading = await bench.read()
    errors = INTERFACE_COUNTERS.index("if_in_errors")
    assert int(reading.counters.values[0, IN_OCTETS]) == 2**64 - 1
    assert reading.counters.values[:2, errors].tolist() == [2**32 - 2, 2**32 - 2]


async def test_names_are_made_printable() -> None:
    """Padding, control characters and Latin-1 do not reach names, logs or terminals."""
    bench = Bench()
    bench.device.put_cell("ifAlias", 1, mib.OCTET_STRING, b"  uplink\x00\x1b[31m \n")
    bench.device.put_cell("ifAlias", 2, mib.OCTET_STRING, "Büro".encode("latin-1"))
    bench.device.put_cell("ifAlias", 3, mib.INTEGER, 5)
    assert (await bench.read()).ports.if_alias[:3] == ("uplink[31m", "Büro", "")


async def test_states_that_the_mib_does_not_know_are_not_known() -> None:
    """An enumeration value out of range is 0, not an invented state."""
    bench = Bench()
    bench.device.put_cell("ifOperStatus", 1, mib.INTEGER, 99)
    assert (await bench.read()).ports.if_oper_status.tolist() == [0, 1, 1, 1]


async def test_an_overburdened_agent_is_asked_one_by_one_until_names_are_read_again() -> None:
    """What it loses of requests in flight together is asked again, and for a while nothing is asked together."""
    bench = Bench(ports=40)
    whole = await bench.read()
    answers = itertools.count(1)
    bench.device.fail = lambda: RequestTimedOut("lost") if next(answers) == 4 else None
    lossy = await bench.read()
    assert (lossy.counters.values == whole.counters.values).all()
    assert bench.reader._requests_in_flight == 1
    bench.pass_time(REFRESH_SECONDS)
    await bench.read()
    assert bench.reader._requests_in_flight == REQUESTS_IN_FLIGHT


async def test_answers_that_overtook_each_other_are_no_restart() -> None:
    """Of requests in flight together the first may be answered last: half a second back is no other life, ten are."""
    bench = Bench(ports=40)
    await bench.read()
    for seconds, is_other_life in ((0.5, False), (10, True)):
        bench.pass_time(60)
        answers = itertools.count(1)

        def overtake(seconds: float = seconds, answers: Iterator[int] = answers) -> None:
            if next(answers) == 10:
                _, value = bench.device.objects[1, 3, 6, 1, 2, 1, 1, 3, 0]
                bench.device.boot(up_time=int.from_bytes(value, "big") - round(seconds * 100))

        bench.device.before_answer = overtake
        if is_other_life:
            with pytest.raises(AgentError, match="restarted during the walk"):
                await bench.read()
        else:
            assert (await bench.read()).ports.if_index.tolist() == list(range(1, 41))
        bench.device.before_answer = lambda: None


async def test_a_restart_during_the_walk_is_refused() -> None:
    """Counters of two lives are not one reading."""
    bench = Bench(ports=40)
    answers = 0

    def restart_midway() -> None:
        nonlocal answers
        answers += 1
        bench.pass_time(0.01)
        if answers == 14:
            bench.device.boot(up_time=5)

    bench.pass_time(1_000)
    bench.device.before_answer = restart_midway
    with pytest.raises(AgentError, match="restarted during the walk"):
        await bench.read()


async def test_a_clock_that_stands_still_is_no_restart() -> None:
    """Some agents refresh sysUpTime every few seconds, and it wraps after 497 days: the walk is whole."""
    for up_time in (10_000, 2**32 - 5):
        bench = Bench(ports=40)
        bench.device.boot(up_time=up_time)
        bench.device.before_answer = lambda bench=bench: bench.clock.advance(0.5)  # type: ignore[misc]
        if up_time > 10_000:
            bench.device.before_answer = lambda bench=bench: bench.pass_time(0.5)  # type: ignore[misc]
        assert len((await bench.read()).ports.if_index) == 40


async def test_errors_of_the_session_pass_through() -> None:
    """The reader hides nothing, and the next poll works."""
    bench = Bench()
    bench.device.is_silent = True
    with pytest.raises(RequestTimedOut):
        await bench.read()
    bench.device.is_silent = False
    assert len((await bench.read()).ports.if_index) == 4


async def test_a_refused_column_is_named() -> None:
    """GenErr on ifInErrors: the rest is read, and the reading says which object was refused."""
    bench = Bench()
    column = (1, 3, 6, 1, 2, 1, 2, 2, 1, 14)

    def refuse(asked: object) -> tuple[int, int] | None:
        hit = [position for position, oid in enumerate(asked, 1) if oid[: len(column)] == column]  # type: ignore[arg-type, var-annotated]
        return (5, hit[0]) if hit else None

    bench.device.refuse = refuse
    reading = await bench.read()
    assert reading.refused_columns == {"ifInErrors": "genErr"}
    assert not reading.counters.bits[:, INTERFACE_COUNTERS.index("if_in_errors")].any()


async def test_a_device_without_interfaces() -> None:
    """A sensor with a system group and no ifTable is read; it just has no ports."""
    bench = Bench(ports=0)
    reading = await bench.read()
    assert len(reading.ports.if_index) == 0
    assert (await bench.read()).counters.values.shape == (0, len(INTERFACE_COUNTERS))


async def test_a_device_without_sys_up_time() -> None:
    """Time is then our own."""
    bench = Bench()
    bench.device.before_answer = lambda: bench.clock.advance(0.01)
    del bench.device.objects[(1, 3, 6, 1, 2, 1, 1, 3, 0)]
    bench.device.rewrite = lambda varbinds: [Varbind(v.oid, v.tag, v.value) for v in varbinds]
    assert (await bench.read()).instant.sys_up_time is None


async def test_repetitions_are_halved_at_once_and_raised_slowly() -> None:
    """An agent that says tooBig for a while is asked for less, then for a little more whenever names are learnt again, until it costs no
    more than one that never said so; one that says it for ever costs a question or two in five minutes.
    """
    bench, bearing_all = Bench(ports=60), Bench(ports=60)
    bench.device.too_big_above = 20
    await bearing_all.read()

    async def requests() -> list[int]:
        bench.pass_time(REFRESH_SECONDS + 1)
        await bench.read()
        return [varbinds for _, varbinds in bench.device.requests]

    await requests()
    for _ in range(3):
        assert sum(varbinds > 20 for varbinds in await requests()) <= 2
    bench.device.too_big_above = None
    costs = [len(await requests()) for _ in range(12)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 1.4 * costs[-1], "slowly"
    assert costs[-1] == len(bearing_all.device.requests)

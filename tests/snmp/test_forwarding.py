"""Forwarding tables: page by page, bounded, and of real sense only."""

import json
from collections.abc import Mapping, Sequence

import pytest
from manual_clock import ManualClock
from snmp_scripted import ScriptedDevice, ScriptedSession

from netmote.cli.poll_details import details_objects
from netmote.snmp import mib
from netmote.snmp.details.details_reader import DetailsReader
from netmote.snmp.details.forwarding import REST_SECONDS, Forwarding
from netmote.snmp.details.found import Found, Station
from netmote.snmp.oid import decode_oid, parse_oid
from netmote.snmp.profiles.loader import ProfileSet
from netmote.snmp.reading import DeviceReader
from netmote.snmp.session import AgentError, Reply, Varbind, WalkLooped

Q, D, BASE_PORT = "1.3.6.1.2.1.17.7.1.2.2.1", "1.3.6.1.2.1.17.4.3.1", "1.3.6.1.2.1.17.1.4.1.2"
PORTS = {101: "ge1", 102: "ge2"}
LEARNED, SELF, INVALID = 3, 4, 2


def switch() -> ScriptedDevice:
    """Two ports whose bridge numbers are not their ifIndex."""
    made = ScriptedDevice()
    made.boot(up_time=1_000)
    for port, index in ((1, 101), (2, 102)):
        made.put(parse_oid(f"{BASE_PORT}.{port}"), mib.INTEGER, index)
    return made


def address(number: int) -> str:
    return f"0.80.86.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def station(made: ScriptedDevice, number: int, port: int, *, status: int | None = LEARNED, vlan: int | None = 10) -> None:
    entry, index = (D, address(number)) if vlan is None else (Q, f"{vlan}.{address(number)}")
    made.put(parse_oid(f"{entry}.2.{index}"), mib.INTEGER, port)
    if status is not None:
        made.put(parse_oid(f"{entry}.3.{index}"), mib.INTEGER, status)


async def read(group: Forwarding, made: ScriptedDevice, ports: Mapping[int, str] = PORTS) -> Found:
    made.requests.clear()
    return await group.read(ScriptedSession(made), ports)


async def test_addresses_stand_behind_the_ports_they_were_learnt_on() -> None:
    """By ifIndex of the bridge port, with the filtering database; neither the switch's own, nor what has no port, nor what is invalid."""
    made = switch()
    station(made, 1, 1)
    station(made, 1, 2, vlan=20)
    station(made, 2, 2)
    station(made, 3, 2, status=SELF)
    station(made, 4, 0)
    station(made, 5, 2, status=INVALID)
    station(made, 6, 7, status=None)  # a port that has no name, and a status that the device does not give
    found = await read(Forwarding(monotonic=lambda: 0.0), made)
    assert found.stations == (
        Station("7", "00:50:56:00:00:06", 10),
        Station("ge1", "00:50:56:00:00:01", 10),
        Station("ge2", "00:50:56:00:00:01", 20),
        Station("ge2", "00:50:56:00:00:02", 10),
    )
    gauges = {gauge.name: gauge.value for gauge in found.gauges}
    assert gauges == {"dot1qTpFdbAddress/count": 4.0, "dot1qTpFdbAddress/max": 2.0}
    assert found.next_after == REST_SECONDS


async def test_a_switch_without_vlans_is_read_by_the_older_table() -> None:
    """In the same reading; a device that has neither is asked three questions and has nothing."""
    made = switch()
    station(made, 1, 1, vlan=None)
    found = await read(Forwarding(monotonic=lambda: 0.0), made)
    assert found.stations == (Station("ge1", "00:50:56:00:00:01", None),)
    bare = ScriptedDevice()
    bare.boot(up_time=1)
    found = await read(Forwarding(monotonic=lambda: 0.0), bare)
    assert found.is_empty
    assert len(bare.requests) == 2


async def test_a_large_table_is_read_a_page_at_a_time() -> None:
    """Each reading sends no more than it may; what is known is the last whole table; the next pass sees what changed."""
    made, group = switch(), Forwarding(monotonic=lambda: 0.0, requests=5)
    for number in range(500):
        station(made, number, 1 + number % 2)
    readings = []
    for _ in range(20):
        found = await read(group, made)
        assert len(made.requests) <= 5 + 1  # and once the names of ports
        assert max(varbinds for _, varbinds in made.requests) <= 40
        readings.append((len(found.stations), found.next_after))
        if found.next_after:
            break
    assert readings == [(0, 0.0)] * 5 + [(500, REST_SECONDS)]
    made.objects.pop(next(oid for oid in made.objects if oid[:13] == tuple(map(int, f"{Q}.2".split(".")))))
    readings = [len((await read(group, made)).stations) for _ in range(6)]
    assert readings == [500] * 5 + [499], "the table before stays until this one is whole"


async def test_the_table_is_bounded_and_that_is_said() -> None:
    """Beyond the bound nothing is asked any more."""
    made = switch()
    for number in range(1_000):
        station(made, number, 1)
    found = await read(Forwarding(monotonic=lambda: 0.0, most_stations=100), made)
    assert 100 <= len(found.stations) < 160
    assert len(made.requests) <= 6
    assert found.doubts == ["dot1qTpFdbTable: has more than 100 rows; the rest is not kept"]


async def test_a_device_that_lies_ends_the_pass_and_the_next_begins_anew() -> None:
    """A circle is a loop, an error-status an error; both cost this group alone, and what comes then is read from the beginning."""
    made, group = switch(), Forwarding(monotonic=lambda: 0.0)
    for number in range(100):
        station(made, number, 1)
    session = ScriptedSession(made)
    first = parse_oid(f"{Q}.2.10.{address(1)}")
    made.rewrite = lambda varbinds: [varbinds[0]._replace(oid=first), *varbinds[1:]]
    with pytest.raises(WalkLooped):
        await group.read(session, PORTS)
    made.rewrite = lambda varbinds: varbinds
    made.refuse = lambda _: (5, 1)
    with pytest.raises(AgentError):
        await group.read(session, PORTS)
    made.refuse = lambda _: None
    assert len((await group.read(session, PORTS)).stations) == 100


async def test_the_daemon_counts_stations_and_forgets_them() -> None:
    """The same numbers, and nothing kept for thousands of devices."""
    made = switch()
    for number in range(300):
        station(made, number, 1 + (number > 100))
    keeping, counting = (Forwarding(monotonic=lambda: 0.0, keeps_stations=keeps) for keeps in (True, False))
    kept, counted = await read(keeping, made), await read(counting, made)
    assert kept.gauges == counted.gauges
    assert {gauge.value for gauge in counted.gauges} == {300.0, 199.0}
    assert (len(kept.stations), counted.stations) == (300, ())


async def test_a_column_without_an_end_is_bounded() -> None:
    """The states go on for ever, always by another index."""

    class Endless(ScriptedSession):
        async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
            states = parse_oid(f"{Q}.3")
            if not columns[-1].startswith(states):
                return await super().bulk(non_repeaters, columns, max_repetitions)
            self.device.requests.append(("bulk", max_repetitions))
            self.number = getattr(self, "number", 0) + 1
            found = [Varbind(parse_oid(f"{Q}.9.1"), mib.INTEGER, b"\1") for _ in columns[:-1]]
            return Reply(0, 0, [*found, Varbind(parse_oid(f"{Q}.3.7.{address(self.number)}"), mib.INTEGER, b"\3")], 0.001)

    made = switch()
    group = Forwarding(monotonic=lambda: 0.0, requests=1_000, most_stations=50)
    found = await group.read(Endless(made), PORTS)
    assert len(made.requests) <= 60
    assert found.doubts


async def test_rows_in_no_order_are_read_each_once() -> None:
    """As switches give them that answer from a hash table."""
    made, group = switch(), Forwarding(monotonic=lambda: 0.0)
    order = [3, 9, 1, 7, 2]
    for number in order:
        station(made, number, 1)

    class Hashed(ScriptedSession):
        async def bulk(self, non_repeaters: Sequence[bytes], columns: Sequence[bytes], max_repetitions: int) -> Reply:
            if decode_oid(columns[0])[:12] != tuple(map(int, Q.split("."))):
                return await super().bulk(non_repeaters, columns, max_repetitions)
            varbinds = []
            for column in columns:
                arcs = decode_oid(column)
                place = order.index(arcs[-1]) + 1 if len(arcs) > 13 else 0
                oid = f"{Q}.{arcs[12]}.10.{address(order[place])}" if place < len(order) else f"{Q}.9.1"
                varbinds.append(Varbind(parse_oid(oid), mib.INTEGER, b"\1"))
            return Reply(0, 0, varbinds, 0.001)

    found = await group.read(Hashed(made), PORTS)
    assert {station.address for station in found.stations} == {f"00:50:56:00:00:{number:02x}" for number in order}


async def test_it_is_read_beside_the_other_groups_and_rests() -> None:
    """Page after page at every cycle, then not before its entries can have aged; `netmote poll --json` gives a line each."""
    clock, made = ManualClock(), switch()
    made.port(101, "ge1")
    made.put(mib.SYS_OBJECT_ID, mib.OBJECT_IDENTIFIER, parse_oid("1.3.6.1.4.1.9"))
    for number in range(200):
        station(made, number, 1)
    details = DetailsReader("d", interval=60.0, profiles=ProfileSet(), max_gauges=100, clock=clock, forwarding_requests=3)
    session = ScriptedSession(made)
    reading = await DeviceReader(clock=clock, max_repetitions=20).read(session)
    asked = []
    for _ in range(12):
        made.requests.clear()
        await details.advance(session, reading)
        asked.append(len(made.requests))
        clock.advance(10.0)
    assert len(details.details.stations) == 200
    assert details.details.stations[0] == Station("ge1", "00:50:56:00:00:00", 10)
    assert asked[1] == 3
    assert sum(count > 0 for count in asked[3:]) <= 1, "but for the group of the bridge's own counters it rests"
    lines = [line for line in details_objects("d", details.details) if line["type"] == "station"]
    assert json.loads(json.dumps(lines[0])) == {
        "type": "station", "device": "d", "port": "ge1", "address": "00:50:56:00:00:00", "filtering_database": 10,
    }  # fmt: skip

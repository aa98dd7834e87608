"""What is kept from poll to poll changes nothing: a history that recognises its rows tells what one does that looks at all of them."""

from dataclasses import fields, replace
from random import Random

import numpy as np
import pytest

from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch
from netmote.snmp.counters import WIDE, CounterSample, Instant
from netmote.snmp.history import DeviceHistory
from netmote.snmp.notifications import LinkNotice
from netmote.snmp.port_order import has_same_rows
from netmote.snmp.reading import DeviceReading, PortTable, SystemGroup

SECOND = 10**9


def first_reading(names: list[str]) -> DeviceReading:
    ports = len(names)
    return DeviceReading(
        wall_ns=1_700_000_000 * SECOND,
        instant=Instant(1000.0, 0.01, 100_000, 900_000),
        round_trip_seconds=0.01,
        system=SystemGroup("a switch", b"", "sw-1", "", ""),
        ports=PortTable(
            if_index=np.arange(1, ports + 1),
            if_name=tuple(names),
            if_descr=tuple(names),
            if_alias=("",) * ports,
            if_admin_status=np.ones(ports, np.uint8),
            if_oper_status=np.ones(ports, np.uint8),
            if_last_change=(0,) * ports,
            if_phys_address=("",) * ports,
        ),
        counters=CounterSample(
            values=np.full((ports, len(INTERFACE_COUNTERS)), 1000, np.uint64),
            bits=np.full((ports, len(INTERFACE_COUNTERS)), WIDE, np.uint8),
            discontinuity=np.zeros(ports, np.int64),
            if_type=np.full(ports, 6),
            if_high_speed=np.full(ports, 1000),
        ),
    )


def following(before: DeviceReading, random: Random) -> DeviceReading:
    """Ten seconds later: traffic, links that go up and down, resets, and now and then another order of rows or a restart."""
    ports, counters, instant = before.ports, before.counters, before.instant
    count = len(ports.if_index)
    grown = np.array([[random.randrange(1000) for _ in INTERFACE_COUNTERS] for _ in range(count)], np.uint64)
    values = counters.values + grown * np.uint64(random.random() < 0.8)
    if random.random() < 0.1:
        values[random.randrange(count)] = 0
    discontinuity = counters.discontinuity.copy()
    if random.random() < 0.1:
        discontinuity[random.randrange(count)] += 1
    states = {
        name: np.where(
            np.array([random.random() < 0.05 for _ in range(count)]), random.randint(0, 3), getattr(ports, name)
        ).astype(np.uint8)
        for name in ("if_admin_status", "if_oper_status")
    }
    ports = replace(ports, **states)
    if random.random() < 0.1:
        rows = random.sample(range(count), count)
        ports = replace(ports, if_name=tuple(ports.if_name[row] for row in rows))
    up_time = 0 if random.random() < 0.05 else (instant.sys_up_time or 0) + 1000
    return replace(
        before,
        wall_ns=before.wall_ns + 10 * SECOND,
        instant=Instant(instant.monotonic + 10, 0.01, up_time, (instant.hr_system_uptime or 0) + 1000),
        ports=ports,
        counters=replace(counters, values=values, discontinuity=discontinuity),
    )


def copied(reading: DeviceReading) -> DeviceReading:
    """The same, of an ifIndex column that was never seen, so that nothing is recognised."""
    return replace(reading, ports=replace(reading.ports, if_index=reading.ports.if_index.copy()))


def same(one: InterfaceBatch, other: InterfaceBatch) -> None:
    for field in fields(InterfaceBatch):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)
        else:
            assert mine == theirs


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("names", [[f"eth{port}" for port in range(12)], ["eth0", "eth1", "eth1", "eth10", "eth2"]])
def test_recognising_rows_changes_nothing(names: list[str], seed: int) -> None:
    """Batches and facts are equal through restarts, renumbering, duplicated names, lost polls and notifications."""
    random = Random(seed)
    keeps, looks = DeviceHistory("sw"), DeviceHistory("sw")
    reading, recognised = first_reading(names), 0
    for _ in range(100):
        batch, facts = keeps.observe(reading)
        other_batch, other_facts = looks.observe(copied(reading))
        same(batch, other_batch)
        assert facts == other_facts
        if random.random() < 0.1:
            notice = LinkNotice(random.randint(1, len(names)), is_down=random.random() < 0.5, admin_status=1, oper_status=0)
            assert keeps.tell_link(notice, reading.wall_ns) == looks.tell_link(notice, reading.wall_ns)
        before, reading = reading, following(reading, random)
        recognised += has_same_rows(before, reading)
        if random.random() < 0.1:
            assert (keeps.lost(reading.wall_ns - SECOND) is None) == (looks.lost(reading.wall_ns - SECOND) is None)
    assert recognised > 50

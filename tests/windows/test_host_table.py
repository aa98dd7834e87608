"""The bounded table of hosts: who stays, who goes, and that it is counted."""

from ipaddress import ip_network

import numpy as np
import pytest
from window_records import packed

from netmote.records.entity import Entity, EntityKind
from netmote.windows.addresses import AddressTable
from netmote.windows.host_table import HostTable


@pytest.fixture
def addresses():
    return AddressTable([ip_network("10.0.0.0/8")])


def note(table, addresses, seen):
    """`seen`: (address, last packet, has sent)."""
    numbers = addresses.intern(np.array([packed(name) for name, _, _ in seen], "V16")).astype(np.int64)
    return table.update(numbers, np.array([last for _, last, _ in seen]), np.array([sent for _, _, sent in seen]))


def names(table):
    return [entity.name for entity in table.entities(table.canonical())]


def test_idle_longest_is_forgotten(addresses):
    """A full table gives up the host whose last packet is oldest, and counts it."""
    table = HostTable(addresses, max_hosts=2)
    note(table, addresses, [("10.0.0.1", 1, True), ("10.0.0.2", 2, True)])
    note(table, addresses, [("10.0.0.1", 3, True)])
    gone = note(table, addresses, [("10.0.0.3", 4, True)])
    assert names(table) == ["10.0.0.1", "10.0.0.3"]
    assert [addresses.text(number) for number in gone.tolist()] == ["10.0.0.2"]
    assert (table.forgotten, table.refused) == (1, 0)


def test_scanned_addresses_do_not_push_out_hosts(addresses):
    """Addresses that were only spoken to never replace one that has sent something; they are refused and counted."""
    table = HostTable(addresses, max_hosts=3)
    note(table, addresses, [("10.0.0.1", 1, True), ("10.0.0.2", 2, True)])
    note(table, addresses, [(f"10.1.0.{at}", 100 + at, False) for at in range(50)])
    assert names(table) == ["10.0.0.1", "10.0.0.2", "10.1.0.49"]
    assert (table.forgotten, table.refused) == (0, 49)


def test_ties_are_broken_by_address_not_by_arrival(addresses):
    """Among equals the greater addresses stay, in whatever order they came."""
    kept = set()
    for seen in (["10.0.0.9", "10.0.0.1", "10.0.0.5"], ["10.0.0.1", "10.0.0.5", "10.0.0.9"]):
        table = HostTable(AddressTable([ip_network("10.0.0.0/8")]), max_hosts=2)
        note(table, table._addresses, [(name, 7, True) for name in seen])
        kept.add(tuple(names(table)))
    assert kept == {("10.0.0.5", "10.0.0.9")}


def test_canonical_order_is_that_of_entities(addresses):
    """Hosts are ordered as their entities sort: by text."""
    table = HostTable(addresses, max_hosts=10)
    note(table, addresses, [(name, 1, True) for name in ("10.0.0.2", "10.0.0.10", "10.0.0.1")])
    assert names(table) == sorted(names(table))
    assert table.entities(table.canonical())[0] == Entity(EntityKind.HOST, "10.0.0.1")

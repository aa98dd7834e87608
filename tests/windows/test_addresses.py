"""The numbering of addresses: exact, local as configured, and shrinkable."""

from ipaddress import ip_network

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from window_records import packed

from netmote.windows.addresses import RESERVED, AddressTable

NETWORKS = (ip_network("10.0.0.0/8"), ip_network("192.168.4.0/22"), ip_network("fd00::/8"), ip_network("2001:db8:0:0:8000::/65"))


def column(*addresses):
    return np.array([packed(address) for address in addresses], "V16")


@given(st.lists(st.ip_addresses().map(str), min_size=1, max_size=30))
def test_same_address_same_number(addresses):
    """Equal addresses have equal numbers, different ones different, and the text comes back."""
    table = AddressTable(NETWORKS)
    first = table.intern(column(*addresses))
    again = table.intern(column(*reversed(addresses)))[::-1]
    assert (first == again).all()
    assert [packed(table.text(number)) for number in first.tolist()] == [packed(address) for address in addresses]
    assert [table.number(address) for address in addresses] == first.tolist()


@given(st.lists(st.ip_addresses().map(str), min_size=1, max_size=20))
def test_local_is_membership_of_a_network(addresses):
    """`is_local` agrees with the ipaddress module for IPv4, IPv6 and prefixes past 64 bits."""
    addresses = [
        *addresses,
        "10.255.0.1",
        "11.0.0.1",
        "192.168.7.255",
        "192.168.8.0",
        "fd12::1",
        "2001:db8::8000:0:0:1",
        "2001:db8::1",
    ]
    table = AddressTable(NETWORKS)
    numbers = table.intern(column(*addresses))
    from ipaddress import ip_address

    expected = [any(ip_address(one) in net for net in NETWORKS if net.version == ip_address(one).version) for one in addresses]
    assert table.is_local[numbers].tolist() == expected


def test_every_address_is_local_to_the_default_route():
    """A network of length 0 holds every address of its version and none of the other."""
    table = AddressTable([ip_network("0.0.0.0/0")])
    assert table.is_local[table.intern(column("203.0.113.1", "2001:db8::1"))].tolist() == [True, False]


def test_compact_keeps_order_and_what_is_live():
    """After compaction the live addresses have new numbers in the same order, others are gone and can come back."""
    table = AddressTable(NETWORKS)
    addresses = [f"10.0.{at // 256}.{at % 256}" for at in range(3_000)]
    numbers = table.intern(column(*addresses))
    live = numbers[::7]
    remap = table.compact(live.astype(np.int64))
    assert len(table) == RESERVED + live.size
    moved = remap[np.sort(live)]
    assert (np.diff(moved.astype(np.int64)) == 1).all()
    assert [table.text(number) for number in remap[live].tolist()] == addresses[::7]
    assert table.is_local[moved].all()
    assert table.number(addresses[1]) == -1
    assert table.text(int(table.intern(column(addresses[1]))[0])) == addresses[1]


def test_interfaces_have_reserved_numbers():
    """Interfaces are numbered below the addresses, stay after compaction, and more than 256 are refused."""
    table = AddressTable(NETWORKS)
    assert [table.interface(name) for name in ("eth0", "eth1", "eth0")] == [0, 1, 0]
    table.compact(np.zeros(0, np.int64))
    assert table.interface("eth1") == 1
    for at in range(RESERVED - 2):
        table.interface(f"veth{at}")
    with pytest.raises(ValueError, match="256"):
        table.interface("one too many")

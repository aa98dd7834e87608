"""When peers were first seen, within bounds."""

from ipaddress import ip_network

import numpy as np
import pytest
from window_records import packed

from netmote.windows.addresses import AddressTable
from netmote.windows.peer_memory import PeerMemory


@pytest.fixture
def addresses():
    table = AddressTable([ip_network("10.0.0.0/8")])
    table.intern(np.array([packed(f"10.0.{at // 256}.{at % 256}") for at in range(1_000)], "V16"))
    return table


def number(addresses, at):
    return addresses.number(f"10.0.{at // 256}.{at % 256}")


def note(memory, addresses, entity, peers, pane):
    entities = np.full(len(peers), number(addresses, entity))
    memory.update(entities, np.array([number(addresses, at) for at in peers], np.uint64), pane)


def test_known_before(addresses):
    """A peer is known before a window when it was seen earlier and again within."""
    memory = PeerMemory(addresses, limit=100, limit_per_entity=100)
    note(memory, addresses, 0, [1, 2, 2], 10)
    note(memory, addresses, 0, [2, 3], 20)
    counts = memory.known_before(15, len(addresses))
    assert counts[number(addresses, 0)] == 1  # only 2: 1 did not speak again, 3 is new
    assert memory.known_before(25, len(addresses)).sum() == 0


def test_longest_unseen_are_forgotten(addresses):
    """Past the limit the pairs seen longest ago go, an eighth more than needed, counted."""
    memory = PeerMemory(addresses, limit=64, limit_per_entity=1_000)
    note(memory, addresses, 0, range(1, 65), 10)
    note(memory, addresses, 0, range(1, 33), 20)
    note(memory, addresses, 1, [99], 30)
    assert len(memory) == 56
    assert memory.forgotten == 9
    assert memory.known_before(15, len(addresses))[number(addresses, 0)] == 32


def test_one_entity_cannot_fill_the_memory(addresses):
    """A scanner loses its own oldest peers; what is known of others stays."""
    memory = PeerMemory(addresses, limit=400, limit_per_entity=100)
    note(memory, addresses, 0, range(1, 51), 10)
    for pane in range(20, 30):
        note(memory, addresses, 7, range(100 + (pane - 20) * 80, 180 + (pane - 20) * 80), pane)
    assert len(memory) <= 150
    note(memory, addresses, 0, range(1, 51), 40)
    assert memory.known_before(35, len(addresses))[number(addresses, 0)] == 50


def test_eviction_does_not_depend_on_numbers():
    """The same pairs numbered in another order leave the same pairs."""
    names = [f"10.0.0.{at}" for at in range(200)]
    left = []
    for order in (names, names[::-1]):
        addresses = AddressTable([ip_network("10.0.0.0/8")])
        addresses.intern(np.array([packed(order[0])], "V16"))
        for name in order:
            addresses.intern(np.array([packed(name)], "V16"))
        memory = PeerMemory(addresses, limit=50, limit_per_entity=1_000)
        peers = np.array([addresses.number(name) for name in names], np.uint64)
        memory.update(np.full(200, addresses.number("10.0.0.0")), peers, 5)
        left.append({addresses.text(int(key) & 0xFFFFFF) for key in memory.keys})
    assert left[0] == left[1]
    assert len(left[0]) == 44


def test_forget_entities(addresses):
    """What belongs to a forgotten host goes with it."""
    memory = PeerMemory(addresses, limit=100, limit_per_entity=100)
    note(memory, addresses, 0, [1, 2], 10)
    note(memory, addresses, 1, [1, 2, 3], 10)
    memory.forget(np.array([number(addresses, 1)]))
    assert len(memory) == 2

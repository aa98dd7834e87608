"""Ports keep their names whatever the device does to ifIndex."""

import random

from hypothesis import given
from hypothesis import strategies as st

from netmote.snmp.identity import PortIdentities, PortRow, Renumbering


def row(index: int, name: str, descr: str = "", *, last_change: int = 0, is_up: bool = True) -> PortRow:
    return PortRow(index, name, descr, last_change, is_up)


def test_the_first_poll_only_names() -> None:
    """Names fall back from ifName to ifDescr to the index; nothing appeared, since nothing was known before."""
    names = PortIdentities().resolve([row(1, "eth0"), row(2, "", "Ethernet 2"), row(3, "")], ())
    assert names.index_of == {"eth0": 1, "Ethernet 2": 2, "ifIndex.3": 3}
    assert (names.renumbered, names.appeared, names.vanished, names.stale) == ((), (), (), ())


def test_renumbering_keeps_identity() -> None:
    """After a reboot the ports have other indexes and the same names; each move is told."""
    identities = PortIdentities()
    identities.resolve([row(1, "eth0"), row(2, "eth1")], ())
    names = identities.resolve([row(10, "eth1"), row(11, "eth0")], ())
    assert names.index_of == {"eth0": 11, "eth1": 10}
    assert names.renumbered == (Renumbering("eth0", 1, 11), Renumbering("eth1", 2, 10))
    assert not names.appeared
    assert not names.vanished


def test_ports_that_come_and_go_are_told_once() -> None:
    """A hot-swapped card: its ports vanish, others appear."""
    identities = PortIdentities()
    identities.resolve([row(1, "eth0"), row(2, "eth1")], ())
    names = identities.resolve([row(1, "eth0"), row(3, "eth2")], ())
    assert (names.appeared, names.vanished) == (("eth2",), ("eth1",))
    again = identities.resolve([row(1, "eth0"), row(3, "eth2")], ())
    assert (again.appeared, again.vanished) == ((), ())


def test_a_dead_row_beside_its_successor_is_stale() -> None:
    """Net-snmp keeps the row of a removed interface: the row that counts wins, and the move is told."""
    identities = PortIdentities()
    identities.resolve([row(2, "eth5", "eth5")], ())
    first = identities.resolve([row(2, "eth5", "eth5", is_up=False), row(4, "eth5", "eth5")], ())
    assert first.index_of == {"eth5": 2}, "nothing moved yet: who it was before stays"
    names = identities.resolve([row(2, "eth5", "eth5", is_up=False), row(4, "eth5", "eth5")], {4})
    assert names.index_of == {"eth5": 4}
    assert names.stale == (2,)
    assert names.renumbered == (Renumbering("eth5", 2, 4),)
    quiet = identities.resolve([row(2, "eth5", "eth5", is_up=False), row(4, "eth5", "eth5")], ())
    assert quiet.index_of == {"eth5": 4}, "an idle interval changes nothing"


def test_at_first_sight_the_live_row_wins() -> None:
    """Without any history: up before down, then who changed last, then the higher index."""
    names = PortIdentities().resolve([row(4, "eth5"), row(2, "eth5", is_up=False)], ())
    assert names.index_of == {"eth5": 4}
    names = PortIdentities().resolve([row(4, "eth5", last_change=5), row(2, "eth5", last_change=9)], ())
    assert names.index_of == {"eth5": 2}
    assert PortIdentities().resolve([row(2, "eth5"), row(4, "eth5")], ()).index_of == {"eth5": 4}


def test_two_live_rows_of_one_name_become_two_ports() -> None:
    """Both move: they are two ports after all, for good, and neither's traffic is lost."""
    identities = PortIdentities()
    rows = [row(1, "lan"), row(2, "lan")]
    identities.resolve(rows, ())
    names = identities.resolve(rows, {1, 2})
    assert sorted(names.index_of.values()) == [1, 2]
    assert names.stale == ()
    later = identities.resolve(rows, ())
    assert later.index_of == names.index_of, "they stay apart while idle"


def test_rows_of_one_name_are_told_apart_by_description() -> None:
    """Some devices give every port of a card the same ifName and a distinct ifDescr."""
    names = PortIdentities().resolve([row(1, "ge", "slot 1 ge 1"), row(2, "ge", "slot 1 ge 2"), row(3, "mgmt", "ge")], ())
    assert names.index_of == {"slot 1 ge 1": 1, "slot 1 ge 2": 2, "mgmt": 3}


def test_a_description_that_is_another_ports_name_is_not_taken() -> None:
    """Two ports never end up under one name."""
    names = PortIdentities().resolve([row(1, "ge", "a"), row(2, "ge", "b"), row(3, "a")], {1, 2})
    assert sorted(names.index_of.values()) == [1, 2, 3]


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), st.sampled_from(["", "a", "b", "x", "y"])), max_size=8), st.randoms()
)
def test_every_row_is_a_port_or_stale_and_none_is_both(names: list[tuple[str, str]], chance: random.Random) -> None:
    """However odd the names: each row is exactly one port or stale, in any order of rows, and moves never lose one."""
    rows = [row(index, *pair) for index, pair in enumerate(names, 1)]
    moved = {each.if_index for each in rows if chance.random() < 0.5}
    identities = PortIdentities()
    identities.resolve(rows, ())
    resolved = identities.resolve(rows, moved)
    indexes = [*resolved.index_of.values(), *resolved.stale]
    assert sorted(indexes) == [each.if_index for each in rows]
    assert moved <= set(resolved.index_of.values()), "a row that counts is never stale"

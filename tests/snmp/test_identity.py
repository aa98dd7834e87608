"""Ports keep their names whatever the device does to ifIndex."""

import random

from hypothesis import given
from hypothesis import strategies as st

from netmote.snmp.identity import Ambiguity, PortIdentities, PortRow, Renumbering


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


def port(index: int, name: str, *, mac: str = "", alias: str = "", kind: int = 6, descr: str = "") -> PortRow:
    return PortRow(index, name, descr, 0, True, alias, mac, kind)


def test_ports_without_a_name_are_called_by_their_address_then_alias() -> None:
    """What is unique among them serves, and survives renumbering."""
    identities = PortIdentities()
    rows = [port(1, "", mac="02aa"), port(2, "", mac="02bb"), port(3, "", mac="02cc", alias="uplink"), port(4, "", mac="02cc")]
    names = identities.resolve(rows, ()).index_of
    assert names == {"ifPhysAddress.02aa": 1, "ifPhysAddress.02bb": 2, "ifAlias.uplink": 3, "ifIndex.4": 4}
    later = identities.resolve([row._replace(if_index=row.if_index + 10) for row in rows], ())
    assert later.index_of == {"ifPhysAddress.02aa": 11, "ifPhysAddress.02bb": 12, "ifAlias.uplink": 13, "ifIndex.14": 14}


def test_doubled_names_are_told_apart_by_address_whatever_their_index() -> None:
    """Two live rows of one name swap their indexes at a reboot: each stays who it is."""
    identities = PortIdentities()
    rows = [port(1, "lan", mac="02aa"), port(2, "lan", mac="02bb")]
    identities.resolve(rows, ())
    apart = identities.resolve(rows, {1, 2})
    other = next(name for name in apart.index_of if name != "lan")
    swapped = identities.resolve([port(1, "lan", mac="02bb"), port(2, "lan", mac="02aa")], {1, 2})
    assert swapped.index_of == {name: 3 - index for name, index in apart.index_of.items()}
    assert other.startswith("lan#02")
    assert {each.name for each in swapped.renumbered} == {"lan", other}
    assert not swapped.ambiguous


def test_doubled_names_that_nothing_tells_apart_are_new_ports_after_renumbering() -> None:
    """Only ifIndex told them apart, and it changed: nobody's history is given to another."""
    identities = PortIdentities()
    rows = [port(1, "lan"), port(2, "lan")]
    identities.resolve(rows, ())
    before = identities.resolve(rows, {1, 2}).index_of
    assert not identities.resolve(rows, {1, 2}).ambiguous
    names = identities.resolve([port(7, "lan"), port(8, "lan")], {7, 8})
    assert sorted(names.index_of.values()) == [7, 8]
    assert not names.index_of.keys() & before.keys()
    assert {each.name for each in names.ambiguous} == set(names.appeared)
    assert not identities.resolve([port(7, "lan"), port(8, "lan")], {7, 8}).ambiguous, "they are who they are from now on"


def test_a_new_card_in_the_same_place_is_the_same_port() -> None:
    """Hot swap: another address under the name, or a whole card of them."""
    identities = PortIdentities()
    identities.resolve([port(1, "ge0", mac="02aa"), port(2, "ge1", mac="02ab")], ())
    names = identities.resolve([port(31, "ge0", mac="02ca", kind=6), port(32, "ge1", mac="02cb", kind=6)], ())
    assert names.index_of == {"ge0": 31, "ge1": 32}
    assert not names.ambiguous
    assert not names.appeared


def test_ports_that_exchange_addresses_under_their_names_are_new_ones() -> None:
    """Linux gave eth0 and eth1 to the other card at this boot: name and address contradict each other."""
    identities = PortIdentities()
    identities.resolve([port(1, "eth0", mac="02aa"), port(2, "eth1", mac="02bb"), port(3, "eth2", mac="02cc")], ())
    names = identities.resolve([port(1, "eth0", mac="02bb"), port(2, "eth1", mac="02aa"), port(3, "eth2", mac="02cc")], ())
    assert names.index_of == {"eth0~1": 1, "eth1~1": 2, "eth2": 3}
    assert names.ambiguous == (Ambiguity("eth0~1", "eth0"), Ambiguity("eth1~1", "eth1"))
    again = identities.resolve([port(1, "eth0", mac="02aa"), port(2, "eth1", mac="02bb"), port(3, "eth2", mac="02cc")], ())
    assert set(again.index_of) == {"eth0~2", "eth1~2", "eth2"}


def test_an_address_that_many_ports_share_says_nothing() -> None:
    """Switches give all ports the address of the chassis; a bond takes that of its first member."""
    identities = PortIdentities()
    rows = [port(1, "a", mac="02aa"), port(2, "b", mac="02aa"), port(3, "bond", mac="02bb"), port(4, "c", mac="02bb")]
    identities.resolve(rows, ())
    names = identities.resolve(
        [port(1, "a", mac="02bb"), port(2, "b", mac="02bb"), port(3, "bond", mac="02aa"), port(4, "c")], ()
    )
    assert not names.ambiguous
    assert set(names.index_of) == {"a", "b", "bond", "c"}


def test_a_nameless_port_of_another_kind_is_another_port() -> None:
    """Its ifIndex alone names it, and its type is another now."""
    identities = PortIdentities()
    identities.resolve([port(3, "", kind=6)], ())
    names = identities.resolve([port(3, "", kind=53)], ())
    assert names.ambiguous == (Ambiguity("ifIndex.3~1", "ifIndex.3"),)

"""Neighbours: what is told when an address is disputed, what is not, once each, however packets are cut into blocks."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netmote.capture.packets import Claim, ClaimColumns
from netmote.metering.neighbours import Neighbours, distinct, is_virtual
from netmote.records.fact import Fact

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
A, B, C = 0x0200_0000_000A, 0x0200_0000_000B, 0x0200_0000_000C
VRRP, HSRP = 0x0000_5E00_0107, 0x0000_0C9F_F001


@dataclass(frozen=True)
class Said:
    """One claim, `at` seconds after the start."""

    at: float
    hardware: int
    address: int = 1
    kind: Claim = Claim.ARP_REPLY
    segment: int = 0


def columns(*claims: Said) -> ClaimColumns:
    address = np.zeros((len(claims), 16), "u1")
    address[:, 10:12] = 0xFF
    address[:, 12] = 10
    address[:, 14:] = np.array([claim.address for claim in claims], ">u2").reshape(-1, 1).view("u1")
    return ClaimColumns(
        np.zeros(len(claims), "i8"),
        np.array([START + round(claim.at * SECOND) for claim in claims], "i8"),
        np.array([claim.kind for claim in claims], "u1"),
        np.array([claim.segment for claim in claims], "u4"),
        np.array([claim.hardware for claim in claims], "u8"),
        address.view("V16").reshape(-1),
    )


def neighbours(**bounds: int) -> Neighbours:
    return Neighbours(source="capture:eth0", **bounds)


def facts(of: Neighbours, *claims: Said) -> list[Fact]:
    return [fact for batch in of.observe(columns(*claims)) for fact in batch.facts]


def told(*claims: Said, **bounds: int) -> list[tuple[str, float]]:
    """(fact, seconds after the start) of a fresh observation."""
    return [(fact.name, (fact.time_ns - START) / SECOND) for fact in facts(neighbours(**bounds), *claims)]


def test_one_owner_is_nothing_to_tell() -> None:
    """However often an address is claimed by the one who has it."""
    assert told(*(Said(at, A) for at in range(100))) == []


def test_a_move_is_told_with_both_hardware_addresses() -> None:
    """Another claims the address: told at once, with who had it, who says so, where and how."""
    (fact,) = facts(neighbours(), Said(0, A, segment=7), Said(1, B, segment=7, kind=Claim.GRATUITOUS_ARP))
    assert (str(fact.entity), fact.name, fact.time_ns) == ("host:10.0.0.1", "neighbour_changed", START + SECOND)
    assert fact.annotations == {
        "hardware": "02:00:00:00:00:0b",
        "before": "02:00:00:00:00:0a",
        "by": "gratuitous_arp",
        "interface": "eth0",
        "vlan": "7",
    }


def test_two_that_go_on_claiming_are_a_conflict() -> None:
    """The former holder is still there: told once, then not again within the cool-down, then again."""
    said = [Said(at, A if at % 2 == 0 else B) for at in range(10)]
    assert told(*said) == [("neighbour_changed", 1), ("address_conflict", 2)]
    again = [Said(at, A if at % 2 == 0 else B) for at in range(598, 606)]
    assert told(*said, *again)[2:] == [("address_conflict", 602)]
    (fact,) = (fact for fact in facts(neighbours(), *said) if fact.name == "address_conflict")
    assert (fact.annotations["hardware"], fact.annotations["other"]) == ("02:00:00:00:00:0a", "02:00:00:00:00:0b")


def test_who_comes_back_after_long_is_a_move_not_a_conflict() -> None:
    """Only a claim shortly after the other's shows that both are there."""
    assert told(Said(0, A), Said(10, B), Said(70, A)) == [("neighbour_changed", 10), ("address_conflict", 70)]
    assert told(Said(0, A), Said(10, B), Said(71, A), cool_down_ns=SECOND) == [
        ("neighbour_changed", 10),
        ("neighbour_changed", 71),
    ]


def test_an_address_given_to_another_after_long_silence_is_ordinary() -> None:
    """A DHCP lease that changes hands tells nothing; one taken from a holder heard of lately does."""
    assert told(Said(0, A), Said(600, B)) == [("neighbour_changed", 600)]
    assert told(Said(0, A), Said(601, B)) == []


def test_the_same_address_elsewhere_is_another() -> None:
    """Segments (VLANs) and addresses are told apart."""
    assert told(Said(0, A), Said(1, B, segment=7), Said(2, C, address=2)) == []


@pytest.mark.parametrize(("first", "second"), [(VRRP, HSRP), (VRRP, VRRP + 1)])
def test_routers_that_share_an_address_are_no_alarm(first: int, second: int) -> None:
    """Virtual hardware addresses of redundancy protocols take over from each other by design, back and forth, and from a router's own."""
    assert told(*(Said(at, first if at % 2 == 0 else second) for at in range(10))) == []
    assert told(Said(0, A), Said(1, first)) == []


def test_one_that_takes_over_from_routers_is_told() -> None:
    """Posing as a redundant gateway is what ARP spoofing looks like there."""
    assert told(Said(0, VRRP), Said(1, B)) == [("neighbour_changed", 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:00:5e:00:01:01", True),
        ("00:00:5e:00:02:ff", True),
        ("00:00:0c:07:ac:01", True),
        ("00:00:0c:9f:f1:23", True),
        ("00:05:73:a0:00:01", True),
        ("00:07:b4:00:01:02", True),
        ("00:00:5e:00:53:01", False),
        ("02:00:5e:00:01:01", False),
    ],
)
def test_virtual_hardware_addresses(text: str, expected: bool) -> None:
    """Those of VRRP, CARP, HSRP and GLBP; not those for documentation (RFC 7042)."""
    assert is_virtual(int(text.replace(":", ""), 16)) is expected


def test_a_second_dhcp_server_is_told_once() -> None:
    """The first of a segment is learned; a further one is told with those known; another segment has its own."""
    of = neighbours()
    server = Claim.DHCP_SERVER
    assert facts(of, Said(0, A, kind=server), Said(5, A, kind=server), Said(6, C, 3, server, segment=7)) == []
    (fact,) = facts(of, Said(7, B, address=2, kind=server))
    assert (str(fact.entity), fact.name, fact.value) == ("host:10.0.0.2", "dhcp_server", 2.0)
    assert fact.annotations["before"] == "10.0.0.1 at 02:00:00:00:00:0a"
    assert facts(of, Said(8, B, address=2, kind=server), Said(9, A, kind=server)) == []
    (fact,) = facts(of, Said(10, C, kind=server))  # the first one's address, from elsewhere
    assert (str(fact.entity), fact.value) == ("host:10.0.0.1", 3.0)
    assert len(of) == 0


def test_dhcp_servers_are_bounded_and_counted() -> None:
    """A flood of made-up servers is told sixteen times at most."""
    of = neighbours()
    assert len(facts(of, *(Said(n / 10, A + n, n, Claim.DHCP_SERVER) for n in range(100)))) == 15
    assert of.addresses_refused == 84


def test_a_full_table_refuses_newcomers_and_keeps_whom_it_knows() -> None:
    """A flood of addresses does not push the gateway out; who fell silent makes room."""
    of = neighbours(max_addresses=10)
    facts(of, Said(0, A), *(Said(1, C, n) for n in range(100, 200)))
    assert (len(of), of.addresses_refused) == (10, 91)
    assert [fact.name for fact in facts(of, Said(2, B))] == ["neighbour_changed"]
    facts(of, *(Said(700, C, n) for n in range(300, 305)))
    assert (len(of), of.addresses_refused) == (10, 91)
    assert facts(of, Said(701, B, 300)) != []


def test_claims_beyond_the_bound_of_a_second_are_counted() -> None:
    """A storm costs what the bound allows; the next second is heard again."""
    of = neighbours(max_claims=50)
    storm = [Said(0.5, A + n, n) for n in range(20_000)]
    facts(of, *storm)
    assert (len(of), of.claims_passed_over) == (50, 19_950)
    facts(of, Said(1.5, B, 30_000))
    assert len(of) == 51


def test_event_time_never_goes_back() -> None:
    """A claim out of order counts as now: nothing is told twice, and silence is not measured backwards."""
    assert told(Said(100, A), Said(50, B), Said(40, A)) == [("neighbour_changed", 100)]
    assert told(Said(100, A), Said(50, B), Said(101, A)) == [("neighbour_changed", 100), ("address_conflict", 101)]


claims = st.builds(
    Said,
    at=st.integers(0, 40).map(lambda n: n / 2),
    hardware=st.sampled_from([A, B, C, VRRP]),
    address=st.integers(1, 3),
    kind=st.sampled_from([Claim.ARP_REPLY, Claim.GRATUITOUS_ARP, Claim.DHCP_SERVER]),
    segment=st.sampled_from([0, 7]),
)


@given(st.lists(claims, min_size=1, max_size=40), st.sets(st.integers(1, 39)), st.sampled_from([2, 5, 100]))
@settings(max_examples=300, deadline=None)
def test_block_borders_change_nothing(said: list[Said], borders: set[int], bound: int) -> None:
    """The same claims in other blocks tell the same facts, whatever is bounded."""
    bounds = {"max_addresses": bound, "max_claims": bound, "memory_ns": 4 * SECOND, "cool_down_ns": 3 * SECOND}
    whole, cut = neighbours(**bounds), neighbours(**bounds)
    expected = facts(whole, *said)
    found: list[Fact] = []
    start = 0
    for stop in [*sorted(border for border in borders if border < len(said)), len(said)]:
        found += facts(cut, *said[start:stop])
        start = stop
    assert found == expected
    assert len(whole) == len(cut) <= bound


def test_a_flood_is_handed_on_in_part() -> None:
    """What is heard again in the same second is left out; beyond the bound all is, and counted. What is handed on tells the same facts."""
    storm = columns(*(Said(0, A) for _ in range(9_000)), Said(1, A), *(Said(1, B) for _ in range(5)))
    parts, left_out = distinct(storm, 100)
    assert ([len(part) for part in parts], left_out) == ([1, 1, 3], 0)
    of = neighbours()
    assert [fact.name for part in parts for batch in of.observe(part) for fact in batch.facts] == ["neighbour_changed"]
    parts, left_out = distinct(columns(*(Said(0, A + n, n) for n in range(20_000))), 5_000)
    assert (sum(map(len, parts)), left_out) == (8_192, 20_000 - 8_192)
    assert distinct(ClaimColumns(), 10) == ([], 0)


def test_no_claims_no_batch() -> None:
    """A block without claims costs and says nothing; facts come in one batch of the source, in time order."""
    assert neighbours().observe(ClaimColumns()) == []
    (batch,) = neighbours().observe(columns(Said(0, A), Said(1, B), Said(2, A)))
    assert (batch.source, batch.start_ns, batch.end_ns) == ("capture:eth0", START + SECOND, START + 2 * SECOND)

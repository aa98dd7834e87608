"""Beacon scores beyond the window: right against the plain formula, and bounded under a flood."""

from ipaddress import ip_network

import numpy as np
import pytest
import window_reference
from hypothesis import given, settings
from hypothesis import strategies as st
from window_records import SECOND, Slice, packed

from netmote.windows.addresses import AddressTable
from netmote.windows.contact_memory import ContactMemory, _by_key_and_start

HOST, SERVER = "10.0.0.1", "203.0.113.5"


@pytest.fixture
def addresses():
    return AddressTable([ip_network("10.0.0.0/8")])


def feed(memory, addresses, slices):
    """Pane by pane, as the lane does."""
    for pane in sorted({one.pane for one in slices}):
        own = [one for one in slices if one.pane == pane]
        numbers = addresses.intern(np.array([packed(name) for one in own for name in (one.source, one.destination)], "V16"))
        start = np.array([round(one.start * SECOND) for one in own])
        length = np.array([round(one.duration * SECOND) for one in own])
        ports = np.array([one.port for one in own], np.uint64)
        memory.update(numbers[::2].astype(np.int64), numbers[1::2].astype(np.uint64), ports, start, start + length)


def score(memory, addresses, end, host=HOST):
    return memory.scores(round(end * SECOND), len(addresses))[addresses.number(host)]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9_000), st.integers(0, 2_000)), max_size=90),
    st.sampled_from((0, 3_000, 10_000)),
)
def test_equals_the_plain_formula(steps, period):
    """Any sequence of contacts with two servers, regular or not, scores as the formula written plainly."""
    at, slices = 0, []
    for server, step, length in steps:
        at += (step if not period else period + step // 50) if server == 0 else 0
        within_pane = min(length, 5_000 - at % 5_000)
        slices.append(Slice(at / 1000, HOST, f"203.0.113.{server}", duration=within_pane / 1000))
    addresses = AddressTable([ip_network("10.0.0.0/8")])
    memory = ContactMemory(addresses, limit=100, rings=100)
    feed(memory, addresses, slices)
    end = (at // 5_000 + 1) * 5
    expected = window_reference.beacon(slices, end)
    assert (score(memory, addresses, end) if slices else 0.0) == pytest.approx(expected, abs=1e-12)


def test_a_regular_beacon_scores_one(addresses):
    """Every 30 s to the same port is 1; and it stays so between its contacts."""
    memory = ContactMemory(addresses, limit=100, rings=100)
    feed(memory, addresses, [Slice(30.0 * at, HOST, SERVER) for at in range(12)])
    assert score(memory, addresses, 335) == 1.0
    assert score(memory, addresses, 410) == 1.0
    assert score(memory, addresses, 425) == 0.0  # three turns missed


def test_more_than_a_ring_of_contacts(addresses):
    """Only the last 64 contacts count: an irregular past is outgrown."""
    memory = ContactMemory(addresses, limit=100, rings=100)
    past = [Slice(float(at * at % 17 + 20 * at), HOST, SERVER) for at in range(30)]
    regular = [Slice(1_000.0 + 10 * at, HOST, SERVER) for at in range(64)]
    feed(memory, addresses, past)
    assert score(memory, addresses, 600) < 0.9
    feed(memory, addresses, regular)
    assert score(memory, addresses, 1_640) == 1.0


def test_a_long_transfer_is_one_contact(addresses):
    """A flow that goes on, cut into panes, is no beacon of 5 s."""
    memory = ContactMemory(addresses, limit=100, rings=100)
    feed(memory, addresses, [Slice(5.0 * at, HOST, SERVER, duration=4.9) for at in range(60)])
    assert score(memory, addresses, 300) == 0.0


@pytest.mark.parametrize("port", [53, 67, 123, 5353])
def test_regular_by_design_is_exempt(addresses, port):
    """DNS, DHCP, NTP and mDNS are not held against a host."""
    memory = ContactMemory(addresses, limit=100, rings=100)
    feed(memory, addresses, [Slice(30.0 * at, HOST, SERVER, port=port) for at in range(12)])
    assert len(memory) == 0


def test_a_flood_does_not_push_out_a_beacon(addresses):
    """Ten thousand keys contacted once go before one that is regular; both bounds hold and every loss is counted."""
    memory = ContactMemory(addresses, limit=1_000, rings=50)
    flood = [Slice(float(at // 40), "10.9.9.9", f"198.51.{at % 200}.{at // 200 % 250}", port=at % 1_000) for at in range(10_000)]
    beacon = [Slice(20.0 * at, HOST, SERVER) for at in range(13)]
    feed(memory, addresses, flood + beacon)
    assert len(memory) <= 1_000
    assert len(memory._gaps) <= 50
    assert memory.forgotten + memory.refused > 8_000
    assert score(memory, addresses, 250) == 1.0


def test_rings_are_bounded(addresses):
    """When every key is contacted again, the rings go to the most recent and the rest is counted."""
    memory = ContactMemory(addresses, limit=1_000, rings=16)
    for turn in range(8):
        feed(memory, addresses, [Slice(10.0 * turn + at / 100, HOST, f"198.51.100.{at}") for at in range(100)])
    assert len(memory._gaps) == 16
    assert memory.refused > 0
    assert score(memory, addresses, 75) >= 0.0


def test_forgetting_a_host_frees_its_rings(addresses):
    """A forgotten host's keys and rings are free for others."""
    memory = ContactMemory(addresses, limit=10, rings=2)
    feed(memory, addresses, [Slice(30.0 * at, HOST, server) for at in range(8) for server in (SERVER, "203.0.113.6")])
    memory.forget(np.array([addresses.number(HOST)]))
    assert len(memory) == 0
    feed(memory, addresses, [Slice(300 + 30.0 * at, "10.0.0.2", SERVER) for at in range(12)])
    assert score(memory, addresses, 635, "10.0.0.2") == 1.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**62)), min_size=1, max_size=40), st.sampled_from((0, 25, 61)))
def test_slices_come_by_key_and_start(pairs, shift):
    """Whether the starts lie within minutes or years, slices come in the order of key and start."""
    key = np.array([key for key, _ in pairs], np.uint64) << np.uint64(62)
    start = np.array([start for _, start in pairs]) >> shift
    order = _by_key_and_start(key, start)
    assert sorted(order.tolist()) == list(range(len(pairs)))
    assert list(zip(key[order].tolist(), start[order].tolist(), strict=True)) == sorted(
        zip(key.tolist(), start.tolist(), strict=True)
    )

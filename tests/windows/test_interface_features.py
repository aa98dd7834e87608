"""Rates of ports: divided by what was covered, missing where invalid, marked where broken."""

import numpy as np
import pytest
from window_records import ORIGIN, SECOND, interface_batch, vector

from netmote.records.interface import INTERFACE_COUNTERS, InvalidReason
from netmote.windows.config import WindowsConfig
from netmote.windows.interface_features import DISCONTINUITIES
from netmote.windows.sliding import Windows
from netmote.windows.vector import Quality

FULL = {
    "if_hc_in_octets": 125_000,
    "if_hc_out_octets": 250_000,
    "if_hc_in_ucast_pkts": 80,
    "if_hc_in_multicast_pkts": 15,
    "if_hc_in_broadcast_pkts": 5,
    "if_hc_out_ucast_pkts": 490,
    "if_hc_out_broadcast_pkts": 10,
    "if_in_discards": 20,
    "if_out_discards": 30,
    "if_in_errors": 1,
    "if_out_errors": 2,
    "carrier_transitions": 10,
}


def last(batches, schema="interface"):
    windows = Windows(WindowsConfig(), sensor="s1")
    found = []
    for batch in batches:
        windows.add(batch)
        found += windows.advance()
    return [batch for batch in found if batch.schema.name == schema][-1]


def polls(ports, count=6, **how):
    return [interface_batch(at * 10, at * 10 + 10, ports, **how) for at in range(count)]


def test_the_twelve_features():
    """Each feature from counters whose rates are known by hand."""
    batch = last(polls({"eth0": FULL}))
    assert vector(batch, "interface:sw1/eth0") == pytest.approx(
        {
            "in_octets_per_second": 12_500,
            "out_octets_per_second": 25_000,
            "in_packets_per_second": 10,
            "out_packets_per_second": 50,
            "non_unicast_packets_per_second": 3,
            "in_discards_per_second": 2,
            "out_discards_per_second": 3,
            "errors_per_second": 0.3,
            "carrier_transitions_per_second": 1,
            "in_packet_size": 1_250,
            "out_packet_size": 500,
            "utilization_ratio": 25_000 * 8 / 1e9,
        }
    )
    assert (batch.coverage[0], batch.quality[0], batch.loss_ratio[0]) == (1.0, Quality.GOOD, 0.0)


def test_rates_use_the_duration_the_device_says():
    """The divisor is the agent's own time, not the difference of our clocks."""
    batch = last(polls({"eth0": FULL}, duration=8.0))
    assert vector(batch, "interface:sw1/eth0")["in_octets_per_second"] == pytest.approx(125_000 / 8)


def test_intervals_count_by_their_share_of_the_window():
    """Polls that do not fall on window borders: the rate is the average over what was observed of the window."""
    quiet, busy = {"eth0": {}}, {"eth0": {"if_hc_in_octets": 10_000}}
    batch = last([interface_batch(-3, 27, quiet), interface_batch(27, 57, quiet), interface_batch(57, 67, busy)])
    assert batch.end_ns == ORIGIN + 60 * SECOND
    assert vector(batch, "interface:sw1/eth0")["in_octets_per_second"] == pytest.approx(10_000 * 0.3 / 60)
    assert batch.coverage[0] == 1.0


def test_undefined_is_not_present():
    """No packets, no mean size; no speed, no utilisation; never a zero."""
    row = vector(last(polls({"eth0": {}}, speed=0)), "interface:sw1/eth0")
    assert row["in_packet_size"] is None
    assert row["out_packet_size"] is None
    assert row["utilization_ratio"] is None
    assert row["in_octets_per_second"] == 0.0


def test_a_counter_the_device_lacks_is_no_fault():
    """ABSENT: the feature is not present, sums go without it, the window stays good."""
    absent = {
        ("eth0", name): InvalidReason.ABSENT for name in ("carrier_transitions", "if_out_errors", "if_hc_in_broadcast_pkts")
    }
    batch = last(polls({"eth0": FULL}, invalid=absent))
    row = vector(batch, "interface:sw1/eth0")
    assert row["carrier_transitions_per_second"] is None
    assert row["errors_per_second"] == pytest.approx(0.1)
    assert row["in_packets_per_second"] == pytest.approx(9.5)
    assert batch.quality[0] == Quality.GOOD


@pytest.mark.parametrize("reason", [reason for reason in InvalidReason if reason != InvalidReason.VALID])
def test_an_invalid_interval_is_missing_not_zero(reason):
    """One bad interval of six leaves the rate what it was; only a discontinuity marks the window."""
    bad = interface_batch(20, 30, {"eth0": FULL}, invalid={("eth0", name): reason for name in INTERFACE_COUNTERS})
    batch = last([*polls({"eth0": FULL})[:2], bad, *polls({"eth0": FULL})[3:]])
    assert vector(batch, "interface:sw1/eth0")["in_octets_per_second"] == pytest.approx(12_500)
    assert batch.coverage[0] == pytest.approx(50 / 60)
    assert bool(Quality.DISCONTINUITY & int(batch.quality[0])) == (reason in DISCONTINUITIES)


def test_a_counter_invalid_throughout_is_not_present():
    """A counter that never had a difference has no rate, nor has any sum that needs it."""
    invalid = {("eth0", "if_hc_in_ucast_pkts"): InvalidReason.FIRST, ("eth0", "if_in_errors"): InvalidReason.MALFORMED}
    row = vector(last(polls({"eth0": FULL}, invalid=invalid)), "interface:sw1/eth0")
    assert row["in_packets_per_second"] is None
    assert row["in_packet_size"] is None
    assert row["errors_per_second"] is None
    assert row["in_octets_per_second"] == pytest.approx(12_500)


def test_values_under_what_is_not_present_are_zero():
    """The array under a missing cell is 0, so that hashes do not depend on leftovers."""
    batch = last(polls({"eth0": FULL}, speed=0, invalid={("eth0", "if_hc_in_octets"): InvalidReason.LOST_POLL}))
    assert (batch.values[~batch.present] == 0.0).all()


def test_ports_of_several_devices_in_one_order():
    """Ports are sorted over all devices and each keeps its own numbers."""
    one, two = polls({"eth1": FULL, "eth0": {}}), polls({"a": FULL}, device="ap1")
    batch = last([batch for pair in zip(one, two, strict=True) for batch in pair])
    assert list(map(str, batch.entities)) == ["interface:ap1/a", "interface:sw1/eth0", "interface:sw1/eth1"]
    assert [vector(batch, str(entity))["in_octets_per_second"] for entity in batch.entities] == pytest.approx([12_500, 0, 12_500])


def test_split_and_shuffled_batches_change_no_bit():
    """A device's ports in one batch or in several, devices in any order: the same hash."""
    together = polls({"a": FULL, "b": {"if_hc_in_octets": 7}, "c": {}})
    apart = [
        batch
        for at in range(6)
        for batch in (polls({"c": {}})[at], polls({"a": FULL})[at], polls({"b": {"if_hc_in_octets": 7}})[at])
    ]
    windows = []
    for batches in (together, apart):
        one = Windows(WindowsConfig(), sensor="s1")
        for batch in batches:
            one.add(batch)
        windows.append([batch.hash for batch in one.advance()])
    assert windows[0] == windows[1]


def test_no_ports_no_window():
    """A device without ports emits nothing rather than an empty batch."""
    windows = Windows(WindowsConfig(), sensor="s1")
    for batch in polls({}):
        windows.add(batch)
    assert [batch.schema.name for batch in windows.advance() if batch.schema.name == "interface"] == []


def test_random_counters_against_plain_division():
    """Any deltas and validities: each rate is the sum of the valid differences over the sum of their seconds."""
    random = np.random.default_rng(7)
    batches = []
    for at in range(6):
        deltas = {name: int(random.integers(0, 10**9)) for name in INTERFACE_COUNTERS}
        invalid = {("p", name): InvalidReason.LOST_POLL for name in INTERFACE_COUNTERS if random.random() < 0.4}
        batches.append(interface_batch(at * 10, at * 10 + 10, {"p": deltas}, invalid=invalid, duration=9.5 + at / 10))
    row = vector(last(batches), "interface:sw1/p")
    for feature, counter in (("in_octets_per_second", "if_hc_in_octets"), ("out_discards_per_second", "if_out_discards")):
        column = INTERFACE_COUNTERS.index(counter)
        valid = [batch for batch in batches if batch.invalid[0, column] == 0]
        expected = sum(int(batch.deltas[0, column]) for batch in valid) / (sum(batch.duration_ns for batch in valid) / 1e9)
        assert row[feature] == pytest.approx(expected)

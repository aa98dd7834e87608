"""Features of a device: its answers, its ports, and what they cover."""

import pytest
from window_records import ORIGIN, SECOND, device_record, interface_batch, vector

from netmote.records.interface import InvalidReason
from netmote.windows.config import WindowsConfig
from netmote.windows.sliding import Windows
from netmote.windows.vector import Quality

PORTS = {
    "eth0": {"if_hc_in_octets": 1_000, "if_in_errors": 5, "if_in_discards": 10},
    "eth1": {"if_hc_in_octets": 3_000, "if_hc_out_octets": 1_250_000_000, "if_out_discards": 10},
}


def run(batches):
    windows = Windows(WindowsConfig(), sensor="s1")
    found = []
    for batch in batches:
        windows.add(batch)
        found += windows.advance()
    return [batch for batch in found if batch.schema.name == "device"], windows


def cycles(count=7, **how):
    return [
        batch for at in range(count) for batch in (device_record(at * 10.0, **how), interface_batch(at * 10 - 10, at * 10, PORTS))
    ]


def test_the_twelve_features():
    """Each feature from polls whose answers are known by hand."""
    found, _ = run(cycles(8))
    row = vector(found[-1], "device:sw1")
    assert row == pytest.approx(
        {
            "reachable_ratio": 1.0,
            "round_trip_seconds": 0.002,
            "timeout_ratio": 0.0,
            "sys_up_time_seconds": 1_000.0,
            "ports_up": 2,
            "ports_down": 0,
            "in_octets_per_second": 400,
            "out_octets_per_second": 125_000_000,
            "errors_per_second": 0.5,
            "discards_per_second": 2.0,
            "utilization_ratio": 1.0,
            "invalid_ratio": 0.0,
        }
    )
    assert (found[-1].coverage[0], found[-1].quality[0]) == (1.0, Quality.GOOD)


def test_a_silent_device_is_observed_as_silent():
    """A device that does not answer has a full window that says so; what only an answer tells is not present."""
    found, _ = run([device_record(at * 10.0, is_reachable=False, round_trip=None, up=None, timeouts=10) for at in range(8)])
    row = vector(found[-1], "device:sw1")
    assert (row["reachable_ratio"], row["timeout_ratio"]) == (0.0, 1.0)
    assert {name for name, value in row.items() if value is None} == set(row) - {"reachable_ratio", "timeout_ratio"}
    assert found[-1].coverage[0] == 1.0


def test_a_silent_device_delays_no_ports_of_others():
    """The poll cycles of an unreachable device carry its watermark, so the ports of others close in time."""
    silent = [device_record(10.0 * at, device="dead", is_reachable=at == 0, round_trip=None) for at in range(7)]
    dead_ports = interface_batch(-10, 0, {"p": {}}, device="dead")
    windows = Windows(WindowsConfig(), sensor="s1")
    windows.add(dead_ports)
    for at in range(7):
        windows.add(silent[at])
        windows.add(interface_batch(at * 10 - 10, at * 10, PORTS))
    ends = {(batch.schema.name, (batch.end_ns - ORIGIN) // SECOND) for batch in windows.advance()}
    assert ("interface", 60) in ends


def test_records_of_one_cycle_in_either_order():
    """A cycle's ports and its record may come in either order, with an advance between: nothing is late, once known all bits are equal."""
    pairs = [(interface_batch(at * 10 - 7, at * 10 + 3, PORTS), device_record(at * 10 + 3.0)) for at in range(12)]
    plain, first = run([batch for pair in pairs for batch in pair])
    swapped, second = run([batch for pair in pairs for batch in reversed(pair)])
    hashes = [{batch.end_ns: batch.hash for batch in found if batch.end_ns > ORIGIN + 10 * SECOND} for found in (plain, swapped)]
    common = hashes[0].keys() & hashes[1].keys()
    assert len(common) >= 9
    assert all(hashes[0][end] == hashes[1][end] for end in common)
    assert not first.late_records
    assert not second.late_records


def test_ports_down_are_those_that_should_be_up():
    """Only ports that are administratively up count as down; the status is that of the last poll within the window."""
    batches = [interface_batch(at * 10, at * 10 + 10, PORTS, oper={"eth0": 2 if at < 6 else 1, "eth1": 7}) for at in range(7)]
    found, _ = run(batches)
    assert [(batch.end_ns - ORIGIN) // SECOND for batch in found][-1] == 70
    assert (vector(found[-2], "device:sw1")["ports_up"], vector(found[-2], "device:sw1")["ports_down"]) == (0, 2)
    assert (vector(found[-1], "device:sw1")["ports_up"], vector(found[-1], "device:sw1")["ports_down"]) == (1, 1)


def test_a_discontinuity_marks_the_device():
    """A broken counter of one port marks its device, and shows in the share of invalid differences."""
    invalid = {("eth0", "if_hc_in_octets"): InvalidReason.RESTART, ("eth1", "carrier_transitions"): InvalidReason.ABSENT}
    found, _ = run([interface_batch(at * 10, at * 10 + 10, PORTS, invalid=invalid) for at in range(6)])
    assert found[-1].quality[0] == Quality.DISCONTINUITY
    assert vector(found[-1], "device:sw1")["invalid_ratio"] == pytest.approx(1 / 27)


def test_a_poll_speaks_for_the_time_since_the_last():
    """Coverage is the share of the window that poll cycles speak for; a pause longer than five minutes is not covered."""
    found, _ = run([device_record(0.0), device_record(45.0), device_record(60.0), device_record(1_005.0), device_record(1_015.0)])
    by_end = {(batch.end_ns - ORIGIN) // SECOND: batch.coverage[0] for batch in found}
    assert by_end[60] == 1.0
    assert by_end[90] == pytest.approx(0.5)
    assert by_end[1_010] == pytest.approx(5.1 / 60)


def test_devices_are_apart():
    """Each device sums its own ports only."""
    pairs = [
        batch
        for at in range(6)
        for batch in (
            interface_batch(at * 10, at * 10 + 10, PORTS),
            interface_batch(at * 10, at * 10 + 10, {"x": {"if_hc_in_octets": 70}}, device="ap1"),
        )
    ]
    found, _ = run(pairs)
    assert list(map(str, found[-1].entities)) == ["device:ap1", "device:sw1"]
    assert vector(found[-1], "device:ap1")["in_octets_per_second"] == pytest.approx(7)
    assert vector(found[-1], "device:sw1")["in_octets_per_second"] == pytest.approx(400)

"""Running totals over what passes: packets and losses by input, rates of ports, bounded."""

import time

import numpy as np
import pytest
from daemon_legs import Legs
from observed_records import ORIGIN, SECOND, pane, reading, unreachable

from netmote.daemon.tallies import MAX_PORTS, Tallies
from netmote.records.device import DeviceRecord
from netmote.records.entity import Entity, EntityKind
from netmote.records.flow import CaptureLoss, FlowBatch
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch, InvalidReason

COLUMN = {name: position for position, name in enumerate(INTERFACE_COUNTERS)}
SWITCH = Entity(EntityKind.DEVICE, "sw1")


def ports(count: int, *, invalid: int = 0) -> InterfaceBatch:
    deltas = np.zeros((count, len(INTERFACE_COUNTERS)), np.int64)
    deltas[:, COLUMN["if_hc_in_octets"]] = 1250
    deltas[:, COLUMN["if_in_errors"]] = 20
    reasons = np.full(deltas.shape, invalid, np.uint8)
    return InterfaceBatch(
        source="snmp:sw1",
        start_ns=ORIGIN,
        end_ns=ORIGIN + 10 * SECOND,
        device=SWITCH,
        interfaces=tuple(Entity(EntityKind.INTERFACE, f"sw1/ge{n}") for n in range(count)),
        duration_ns=10 * SECOND,
        deltas=np.where(reasons == 0, deltas, 0),
        invalid=reasons,
        if_index=np.arange(count),
        if_type=np.full(count, 6),
        if_high_speed=np.full(count, 1000),
        if_admin_status=np.ones(count, np.uint8),
        if_oper_status=np.ones(count, np.uint8),
        if_alias=("uplink",) * count,
    )


def test_packets_and_losses_of_an_input(legs: Legs) -> None:
    """What was received, and every way to lose a packet, by its reason; the metrics say the same."""
    tallies = Tallies(legs.metrics)
    batch = pane(0, ports=3)
    loss = CaptureLoss(
        received=1000,
        metered=900,
        refused=60,
        undecodable=(("truncated", 40),),
        dropped=12,
        dropped_by=(("ring", 2), ("softnet", 3)),
    )
    tallies.note(FlowBatch(batch.source, batch.start_ns, batch.end_ns, batch.interface, batch.slices, loss))
    tally = tallies.sources["capture:eth0"]
    assert (tally.received, tally.rate, tally.last_end_ns) == (1000, 200.0, batch.end_ns)
    assert tally.dropped == {"unplaced": 7, "ring": 2, "softnet": 3, "flow_table_full": 60, "truncated": 40}
    text = legs.metrics.render().decode()
    assert 'netmote_received_packets_total{collector="capture:eth0"} 1000.0' in text
    for place, packets in (("unplaced", 7), ("ring", 2), ("softnet", 3)):
        assert f'netmote_dropped_packets_total{{collector="capture:eth0",place="{place}"}} {packets}.0' in text
    assert 'error_type="truncated"} 40.0' in text


def test_rates_of_ports(legs: Legs) -> None:
    """Octets per second become bits, errors and discards add up, an invalid counter is no rate and no zero."""
    tallies = Tallies(legs.metrics)
    tallies.note(ports(2))
    first = tallies.ports[SWITCH][0]
    assert (first.name, first.state, first.alias) == ("ge0", "up", "uplink")
    assert (first.receive_bits_per_second, first.transmit_bits_per_second) == (1000.0, 0.0)
    assert (first.speed_bits_per_second, first.error_rate) == (1e9, 2.0)
    tallies.note(ports(1, invalid=InvalidReason.RESTART))
    first = tallies.ports[SWITCH][0]
    assert (first.receive_bits_per_second, first.error_rate) == (None, None)


def test_a_big_switch_does_not_hold_the_loop(legs: Legs) -> None:
    """A table of thousands of ports is cut for display and taken within the 10 ms that a callback has."""
    tallies = Tallies(legs.metrics)
    batch = ports(5000)
    best = 1.0
    for _ in range(5):
        began = time.perf_counter()
        tallies.note(batch)
        best = min(best, time.perf_counter() - began)
    assert len(tallies.ports[SWITCH]) == MAX_PORTS
    assert best < 0.01


@pytest.mark.parametrize("is_reachable", [True, False])
def test_devices(legs: Legs, is_reachable: bool) -> None:
    """The last answer of a device is that of its last poll that was answered."""
    tallies = Tallies(legs.metrics)
    tallies.note(DeviceRecord("snmp:sw1", ORIGIN, ORIGIN + SECOND, SWITCH, is_reachable, None, None, 5, 2))
    assert (SWITCH in tallies.last_answer_ns) is is_reachable
    assert tallies.sources["snmp:sw1"].dropped["timeout"] == 2
    tallies.forget(set())
    assert not tallies.devices


def test_facts_are_not_deliveries(legs: Legs) -> None:
    """A fact about an input is not a packet of it; a host reading is one."""
    tallies = Tallies(legs.metrics)
    tallies.note(unreachable(1))
    tallies.note(reading(0))
    assert {source: tally.received for source, tally in tallies.sources.items()} == {"host": 1}

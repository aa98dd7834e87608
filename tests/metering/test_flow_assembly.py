"""Whole flow records from slices: sums of panes equal one metering without panes."""

import numpy as np
from frames_in_memory import decode_frames
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from netmote.metering.flow_assembly import FlowAssembly
from netmote.metering.flow_meter import FlowMeter
from netmote.records.flow import FLOW_DTYPE

SECOND = 1_000_000_000


def assembled(batches) -> np.ndarray:
    assembly = FlowAssembly()
    parts = [assembly.add(batch.slices) for batch in batches]
    assert len(assembly) == 0
    assert len(assembly.finish()) == 0
    return np.sort(np.concatenate([*parts, np.zeros(0, FLOW_DTYPE)]), order="flow_id")


def meter_of(pane_ns: int) -> FlowMeter:
    forever = 10**6 * SECOND
    return FlowMeter(
        source="s",
        interface="i",
        max_flows=4096,
        active_timeout_ns=forever,
        idle_timeout_ns=forever,
        when_full="refuse",
        pane_ns=pane_ns,
    )


def test_slices_add_up_to_the_flow() -> None:
    """Cut into one-second panes and into one pane over all time, a flow is the same record (its resets are what they are)."""
    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    there = bytes(link / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1000, dport=80, flags="SP") / Raw(b"x" * 70))
    back = bytes(link / IP(src="10.0.0.2", dst="10.0.0.1") / TCP(sport=80, dport=1000, flags="A"))
    packets = decode_frames([there, back, back] * 20)
    cut, whole = meter_of(SECOND), meter_of(1000 * SECOND)
    records = assembled(cut.meter(packets) + cut.flush())
    assert records.tobytes() == assembled(whole.meter(packets) + whole.flush()).tobytes()
    assert len(records) == 1


def test_a_slice_without_packets_only_ends() -> None:
    """Start, sizes and counts come from slices that have packets."""
    slices = np.zeros(3, FLOW_DTYPE)
    slices["flow_id"] = [7, 7, 8]
    slices["flow_start_ns"] = [5, 9, 1]
    slices["flow_end_ns"] = [9, 9, 2]
    slices["initiator_packets"] = [2, 0, 1]
    slices["minimum_ip_total_length"] = [40, 0, 60]
    slices["maximum_ip_total_length"] = [44, 0, 60]
    assembly = FlowAssembly()
    assert len(assembly.add(slices[[0, 2]])) == 0
    assert len(assembly) == 2
    slices["flow_end_reason"][1] = 1
    (flow,) = assembly.add(slices[[1]])
    assert (flow["flow_start_ns"], flow["flow_end_ns"], flow["minimum_ip_total_length"]) == (5, 9, 40)
    assert (flow["initiator_packets"], flow["flow_end_reason"]) == (2, 1)
    assert assembly.finish()["flow_id"].tolist() == [8]


def test_counters_stop_at_their_largest() -> None:
    """A 32-bit counter never wraps to a small number."""
    slices = np.zeros(2, FLOW_DTYPE)
    slices["flow_id"], slices["tcp_syn_count"], slices["initiator_packets"] = 1, 2**32 - 2, 1
    slices["flow_end_reason"][1] = 3
    (flow,) = FlowAssembly().add(slices)
    assert flow["tcp_syn_count"] == 2**32 - 1


def test_a_bound_ends_the_flows_silent_for_longest() -> None:
    """Slices whose end was lost on the way do not pile up: the oldest leave as records, what follows is one more, sums stay equal."""
    assembly = FlowAssembly(max_flows=10)
    records = []
    for number in range(5):
        slices = np.zeros(8, FLOW_DTYPE)
        slices["flow_id"] = np.arange(8) + 8 * number
        slices["flow_start_ns"] = slices["flow_end_ns"] = number * SECOND
        slices["initiator_packets"] = 1
        records.append(assembly.add(slices))
        assert len(assembly) <= 10
    ended = np.concatenate(records)
    assert ended["flow_id"].tolist() == list(range(30))
    assert set(ended["flow_end_reason"].tolist()) == {5}
    assert assembly.ended_early == 30
    assert int(ended["initiator_packets"].sum()) + int(assembly.finish()["initiator_packets"].sum()) == 40


def test_a_meter_begun_anew_is_another_one() -> None:
    """Where ids come again with other keys, the flows of before end as forced, and nothing is added to a stranger."""
    assembly = FlowAssembly()
    slices = np.zeros(3, FLOW_DTYPE)
    slices["flow_id"], slices["initiator_packets"], slices["source_transport_port"] = [1, 2, 3], 5, [10, 20, 30]
    assert len(assembly.add(slices)) == 0
    anew = slices[:1].copy()
    anew["source_transport_port"], anew["initiator_packets"] = 99, 7
    ended = assembly.add(anew)
    assert ended["source_transport_port"].tolist() == [10, 20, 30]
    assert set(ended["flow_end_reason"].tolist()) == {4}
    (rest,) = assembly.finish()
    assert (rest["source_transport_port"], rest["initiator_packets"]) == (99, 7)


def test_flows_of_a_meter_that_died_do_not_stay() -> None:
    """A flow silent for longer than any timeout ends as forced with the next pane; one that still speaks goes on."""
    assembly = FlowAssembly(max_silence_ns=60 * SECOND)
    slices = np.zeros(2, FLOW_DTYPE)
    slices["flow_id"], slices["initiator_packets"] = [1, 2], 3
    slices["flow_start_ns"] = slices["flow_end_ns"] = SECOND
    assert len(assembly.add(slices)) == 0
    later = slices[1:].copy()
    later["flow_end_ns"] = 61 * SECOND
    assert len(assembly.add(later)) == 0
    later["flow_end_ns"] = 62 * SECOND
    (gone,) = assembly.add(later)
    assert (gone["flow_id"], gone["flow_end_reason"]) == (1, 4)
    assert (len(assembly), assembly.ended_early) == (1, 1)

"""What is derived of flow records, against Python's own statistics over the packets, and Zeek's table of states."""

import statistics

import numpy as np
import pytest

from netmote.metering.flow_assembly import FlowAssembly
from netmote.metering.flow_meter import FlowMeter
from netmote.records.flow import FLOW_DTYPE, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from netmote.records.flow_statistics import derived_columns, dscp, interarrival_moments, packet_size_moments, tcp_state

SECOND = 1_000_000_000
SYN, FIN, RST, ACK = TCP_SYN, TCP_FIN, TCP_RST, TCP_ACK


def test_moments_are_those_of_the_packets() -> None:
    """Mean and variance of sizes and gaps of a metered flow, cut into panes on the way, are those of the packets themselves."""
    from dataclasses import replace

    from frames_in_memory import decode_frames, frames_of
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether
    from scapy.packet import Raw

    from netmote.capture.headers import decode

    random = np.random.default_rng(5)
    sizes = random.integers(28, 1400, 300).tolist()
    frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=5, dport=6)
    frames = [bytes(frame / Raw(b"x" * (size - 28))) for size in sizes]
    times = 1_700_000_000 * SECOND + np.cumsum(random.integers(1, 300_000, 300)) * 1000
    packets = decode(replace(frames_of(frames), timestamp_ns=times), "test0")
    assert len(decode_frames(frames)) == 300
    forever = 10**6 * SECOND
    meter = FlowMeter(
        source="s", interface="i", max_flows=8, active_timeout_ns=forever, idle_timeout_ns=forever, when_full="refuse"
    )
    batches, assembly = meter.meter(packets) + meter.flush(), FlowAssembly()
    assert len(batches) > 3
    (flow,) = [record for batch in batches for record in assembly.add(batch.slices)]
    records = flow.reshape(1)
    mean, variance = packet_size_moments(records, "initiator")
    assert mean[0] == pytest.approx(statistics.fmean(sizes))
    assert variance[0] == pytest.approx(statistics.pvariance(sizes))
    gaps = (np.diff(times) // 1000).tolist()
    mean, variance = interarrival_moments(records, "initiator")
    assert mean[0] == pytest.approx(statistics.fmean(gaps))
    assert variance[0] == pytest.approx(statistics.pvariance(gaps))
    assert (flow["initiator_interarrival_min_us"], flow["initiator_interarrival_max_us"]) == (min(gaps), max(gaps))
    assert np.isnan(packet_size_moments(records, "responder")).all()
    assert np.isnan(interarrival_moments(records, "responder")).all()


def test_one_packet_has_a_size_and_no_gap() -> None:
    """Variance of one packet is zero; gaps there are none, which is no number."""
    flow = np.zeros(1, FLOW_DTYPE)
    flow["initiator_packets"], flow["initiator_octets"], flow["initiator_octet_sum_of_squares"] = 1, 1500, 1500**2
    assert [column.tolist() for column in packet_size_moments(flow, "initiator")] == [[1500.0], [0.0]]
    assert np.isnan(interarrival_moments(flow, "initiator")).all()


@pytest.mark.parametrize(
    ("initiator", "responder", "answers", "state"),
    [
        (SYN, 0, 0, "S0"),
        (SYN, ACK, 1, "OTH"),
        (SYN, RST | ACK, 1, "REJ"),
        (SYN | RST, 0, 0, "RSTOS0"),
        (SYN | FIN, 0, 0, "SH"),
        (SYN | ACK, SYN | ACK, 3, "S1"),
        (SYN | FIN | ACK, SYN | ACK, 3, "S2"),
        (SYN | ACK, SYN | FIN | ACK, 3, "S3"),
        (SYN | FIN | ACK, SYN | FIN | ACK, 3, "SF"),
        (SYN | RST | ACK, SYN | ACK, 3, "RSTO"),
        (SYN | ACK, SYN | RST | ACK, 3, "RSTR"),
        (ACK, SYN | RST | ACK, 2, "RSTRH"),
        (ACK, SYN | FIN | ACK, 2, "SHR"),
        (ACK, SYN | ACK, 2, "OTH"),
        (FIN | ACK, FIN | ACK, 2, "OTH"),
    ],
)
def test_the_state_of_a_connection(initiator: int, responder: int, answers: int, state: str) -> None:
    """The table of Zeek's conn_state; of other protocols there is none. (Against Zeek's own logs: tests/realdata.)"""
    flows = np.zeros(2, FLOW_DTYPE)
    flows["protocol_identifier"] = [6, 17]
    flows["initiator_tcp_control_bits"], flows["responder_tcp_control_bits"] = initiator, responder
    flows["initiator_packets"], flows["responder_packets"] = 3, answers
    assert tcp_state(flows).tolist() == [state, ""]


def test_dscp_is_the_upper_six_bits() -> None:
    """Expedited forwarding with congestion experienced is still expedited forwarding (RFC 3246: 46)."""
    flows = np.zeros(1, FLOW_DTYPE)
    flows["ip_class_of_service"] = 46 << 2 | 3
    assert dscp(flows).tolist() == [46]
    assert all(len(column) == 1 for column in derived_columns(flows).values())

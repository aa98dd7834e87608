"""What the meter promises beside equality with the dictionary: panes, ends, directions, a full table, and bounded memory."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from frames_in_memory import decode_frames, frames_of
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP

from netmote.capture.headers import decode
from netmote.capture.packets import ROW_COLUMNS, PacketColumns, Undecodable
from netmote.metering.config import MeteringConfig
from netmote.metering.flow_meter import FlowMeter
from netmote.records.flow import FLOW_DTYPE, PANE_NS, FlowEndReason, address_text

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND  # a pane border


def packet(source: str, sport: int, destination: str, dport: int, flags: str | None = "A") -> bytes:
    network = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=source, dst=destination)
    return bytes(network / (UDP(sport=sport, dport=dport) if flags is None else TCP(sport=sport, dport=dport, flags=flags)))


def block(*cases: tuple[float, bytes]) -> PacketColumns:
    """Frames at these seconds after START."""
    times = np.array([START + round(second * SECOND) for second, _ in cases], "i8")
    return decode(replace(frames_of([frame for _, frame in cases]), timestamp_ns=times), "test0")


def meter(**changes) -> FlowMeter:
    settings = {"max_flows": 1024, "active_timeout_ns": 60 * SECOND, "idle_timeout_ns": 10 * SECOND, "when_full": "refuse"}
    return FlowMeter(source="capture:test0", interface="test0", **settings | changes)


OPEN = packet("10.0.0.1", 1000, "10.0.0.2", 80, "S")
ANSWER = packet("10.0.0.2", 80, "10.0.0.1", 1000, "SA")
ACK = packet("10.0.0.1", 1000, "10.0.0.2", 80, "A")
FIN = packet("10.0.0.1", 1000, "10.0.0.2", 80, "FA")
FIN_BACK = packet("10.0.0.2", 80, "10.0.0.1", 1000, "FA")
RESET = packet("10.0.0.2", 80, "10.0.0.1", 1000, "R")


def ends(batches) -> list[tuple[float, int]]:
    """(pane in seconds, end reason) of every slice that ends a flow."""
    return [
        ((batch.start_ns - START) / SECOND, int(reason))
        for batch in batches
        for reason in batch.slices["flow_end_reason"].tolist()
        if reason
    ]


def test_a_conversation_is_one_flow_with_its_initiator() -> None:
    """Both directions in one slice; the sender of the first packet is the initiator."""
    found = meter()
    (batch,) = found.meter(block((0, OPEN), (0.1, ANSWER), (0.2, ACK), (5.0, ACK)))
    (row,) = batch.slices
    assert (batch.start_ns, batch.end_ns, batch.source, batch.interface) == (START, START + PANE_NS, "capture:test0", "test0")
    assert address_text(row["source_address"].tobytes()) == "10.0.0.1"
    assert (row["source_transport_port"], row["destination_transport_port"]) == (1000, 80)
    assert (row["initiator_packets"], row["responder_packets"]) == (2, 1)
    assert (row["initiator_tcp_control_bits"], row["responder_tcp_control_bits"]) == (0x12, 0x12)
    assert (row["flow_start_ns"], row["flow_end_ns"]) == (START, START + SECOND // 5)
    assert row["initiator_interarrival_sum_us"] == 200_000
    assert (row["tcp_syn_count"], row["flow_id"], row["flow_end_reason"]) == (1, 1, 0)


def test_a_flow_first_seen_by_its_answer_keeps_its_direction() -> None:
    """SYN with ACK first: the opening was missed, its receiver is the initiator."""
    found = meter()
    found.meter(block((0, ANSWER), (0.1, ACK)))
    (row,) = found.flush()[0].slices
    assert row["source_transport_port"] == 1000
    assert (row["initiator_packets"], row["responder_packets"]) == (1, 1)


def test_every_pane_is_emitted_once_and_in_order() -> None:
    """Silent panes are empty batches: the watermark; `advance` closes what has passed, and nothing twice."""
    found = meter(idle_timeout_ns=3600 * SECOND)
    batches = found.meter(block((1, ACK), (21, ACK)))
    assert [(batch.start_ns - START) // SECOND for batch in batches] == [0, 5, 10, 15]
    assert [len(batch.slices) for batch in batches] == [1, 0, 0, 0]
    assert found.advance(START + 24 * SECOND) == []
    assert [(batch.start_ns - START) // SECOND for batch in found.advance(START + 31 * SECOND)] == [20, 25]
    assert found.advance(START) == []


def test_silence_before_the_first_packet_is_told_live() -> None:
    """`advance` opens the first pane; from then on every pane is told."""
    found = meter()
    assert found.advance(START) == []
    assert [len(batch.slices) for batch in found.advance(START + 10 * SECOND)] == [0, 0]


def test_a_jump_in_time_does_not_make_millions_of_batches() -> None:
    """An hour of empty panes at most; the flow ended by its timeout on the way, and the next pane is the packet's own."""
    found = meter()
    batches = found.meter(block((0, ACK), (40_000_000, ACK)))
    assert len(batches) == 721
    assert ends(batches) == [(5, FlowEndReason.IDLE_TIMEOUT)]
    (last,) = found.flush()
    assert last.start_ns == START + 40_000_000 * SECOND


def test_a_packet_older_than_the_open_pane_is_accounted_there() -> None:
    """It is metered, with its own time; the closed pane stays closed."""
    found = meter()
    batches = found.meter(block((0, ACK), (7, ACK), (1, ACK))) + found.flush()
    assert [int(batch.slices["initiator_packets"].sum()) for batch in batches] == [1, 2]
    assert int(batches[1].slices["flow_start_ns"][0]) == START + SECOND


@pytest.mark.parametrize(
    ("packets", "expected"),
    [
        (((0, OPEN), (0.1, ANSWER), (0.2, ACK), (1, FIN), (1.1, FIN_BACK), (1.2, ACK)), [(0, FlowEndReason.END_OF_FLOW)]),
        (((0, OPEN), (0.1, RESET)), [(0, FlowEndReason.END_OF_FLOW)]),
        (((0, ACK), (1, FIN)), [(10, FlowEndReason.IDLE_TIMEOUT)]),  # half closed is not closed
        (((0, OPEN),), [(5, FlowEndReason.IDLE_TIMEOUT)]),
        # The last acknowledgement of a closing that crosses a pane border is no flow of its own.
        (((0, OPEN), (4.8, FIN), (4.9, FIN_BACK), (5.1, ACK)), [(5, FlowEndReason.END_OF_FLOW)]),
    ],
)
def test_how_flows_end(packets, expected) -> None:
    """FIN both ways or RST, else silence; decided where panes end."""
    found = meter()
    batches = found.meter(block(*packets)) + found.advance(START + 60 * SECOND)
    assert ends(batches) == expected
    assert found.flows_begun == 1
    assert found.flows_held == 0


def test_a_syn_after_the_end_begins_a_flow_at_once() -> None:
    """The same ports again and again inside one block and one pane: a flow for each connection, with its own initiator and numbers."""
    from_server = packet("10.0.0.2", 80, "10.0.0.1", 1000, "S")
    first = ((0, OPEN), (0.1, ANSWER), (0.2, ACK), (0.3, FIN), (0.4, FIN_BACK), (0.5, ACK))
    packets = block(*first, (1, OPEN), (1.1, RESET), (1.2, from_server), (1.3, RESET), (2, OPEN), (2.1, ANSWER))
    expected = [  # initiator's port, packets each way, flags of the initiator, start, end, why
        (1000, 4, 2, 0x13, 0, 0.5, FlowEndReason.END_OF_FLOW),
        (1000, 1, 1, 0x02, 1, 1.1, FlowEndReason.END_OF_FLOW),
        (80, 2, 0, 0x06, 1.2, 1.3, FlowEndReason.END_OF_FLOW),
        (1000, 1, 1, 0x02, 2, 2.1, FlowEndReason.FORCED_END),
    ]
    for cuts in ([], [6], [7, 8, 9], range(1, len(packets))):
        found, batches, rest, done = meter(), [], packets, 0
        for cut in cuts:
            part, rest = rest.split(cut - done)
            done = cut
            batches += found.meter(part)
        (batch,) = [*batches, *found.meter(rest), *found.flush()]
        assert batch.slices["flow_id"].tolist() == [1, 2, 3, 4]
        assert [
            (
                row["source_transport_port"],
                row["initiator_packets"],
                row["responder_packets"],
                row["initiator_tcp_control_bits"],
                (row["flow_start_ns"] - START) / SECOND,
                (row["flow_end_ns"] - START) / SECOND,
                row["flow_end_reason"],
            )
            for row in batch.slices
        ] == expected
        assert found.flows_held == 0


def test_a_syn_to_a_connection_that_goes_on_is_one_more_packet() -> None:
    """Half closed, or its opening sent twice: nothing ends."""
    found = meter()
    (batch,) = found.meter(block((0, OPEN), (0.5, OPEN), (1, ANSWER), (2, FIN), (3, OPEN))) + found.flush()
    assert batch.slices["initiator_packets"].tolist() == [4]
    assert batch.slices["tcp_syn_count"].tolist() == [3]


def test_a_connection_closed_before_the_active_timeout_begins_again_with_its_syn() -> None:
    """Ended by the active timeout in the pane in which it was closed: the SYN that follows begins a flow, in its own direction."""
    found = meter(active_timeout_ns=5 * SECOND)
    from_server = packet("10.0.0.2", 80, "10.0.0.1", 1000, "S")
    batches = found.meter(block((0, OPEN), (4.9, RESET), (5.1, from_server), (5.2, ACK))) + found.flush()
    slices = np.concatenate([batch.slices for batch in batches])
    assert slices["flow_id"].tolist() == [1, 2]
    assert slices["source_transport_port"].tolist() == [1000, 80]
    assert slices["initiator_packets"].tolist() == [1, 1]
    assert slices["flow_end_reason"].tolist() == [FlowEndReason.ACTIVE_TIMEOUT, FlowEndReason.FORCED_END]


def test_who_opens_and_resets_all_day_does_not_grow_memory() -> None:
    """Beyond a quarter of the table's size in one pane, connections on the same ports are one flow; every packet is metered."""
    found = meter(max_flows=1024)
    allocated = found.memory_bytes
    pair = decode_frames([OPEN, RESET])
    count = 65_536
    columns = {name: np.tile(getattr(pair, name), count // 2) for name in ROW_COLUMNS}
    times = START + np.arange(count, dtype="i8") * 1000
    found.meter(replace(pair, **columns | {"timestamp_ns": times}))
    assert found.memory_bytes <= allocated + 256 * FLOW_DTYPE.itemsize
    (batch,) = found.flush()
    assert len(batch.slices) == 257
    assert batch.slices["initiator_packets"].tolist() == [1] * 256 + [count // 2 - 256]
    assert found.accounting.metered == count
    # The next pane has its own quarter.
    found.meter(replace(pair, **columns | {"timestamp_ns": times + 5 * SECOND}))
    assert len(found.flush()[0].slices) == 257


def test_protocols_have_idle_timeouts_of_their_own() -> None:
    """TCP, an attempt without an answer, UDP, ICMP, SCTP and the rest each end when theirs has passed; what is not named has the common one."""
    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    talk = [(0, OPEN), (0.1, ANSWER), (0.2, ACK)]
    attempt = (0, packet("10.0.0.9", 1, "10.0.0.2", 80, "S"))
    ping = (0, bytes(link / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP()))
    tunnel = (0, bytes(link / IP(src="10.0.0.1", dst="10.0.0.2", proto=47) / b"12345678"))
    association = (0, bytes(link / IP(src="10.0.0.1", dst="10.0.0.2") / SCTP(sport=1, dport=2)))
    query = (0, packet("10.0.0.1", 5, "10.0.0.2", 6, None))
    document = {
        "idle_timeout": "10s",
        "idle_timeouts": {"tcp": "60s", "tcp_opening": "5s", "udp": "20s", "icmp": "15s", "other": "30s"},
    }
    found = FlowMeter.configured(MeteringConfig.model_validate(document), source="capture:test0", interface="test0")
    batches = found.meter(block(*talk, attempt, ping, tunnel, association, query)) + found.advance(START + 100 * SECOND)
    ended = {
        (int(row["protocol_identifier"]), int(row["source_transport_port"])): (batch.end_ns - START) // SECOND
        for batch in batches
        for row in batch.slices
        if row["flow_end_reason"] == FlowEndReason.IDLE_TIMEOUT
    }
    # A flow ends with the pane in which its silence has been long enough.
    assert ended == {(6, 1): 5, (132, 1): 10, (1, 0): 15, (17, 5): 20, (47, 0): 30, (6, 1000): 65}
    with pytest.raises(ValueError, match="udpp"):
        meter(idle_timeouts_ns={"udpp": 1})


def test_an_end_after_the_last_slice_is_a_slice_without_packets() -> None:
    """It names the flow, when it was last seen, and why it ended."""
    found = meter()
    batches = found.meter(block((1, OPEN), (1.5, ACK))) + found.advance(START + 30 * SECOND)
    last = next(batch.slices[0] for batch in batches if len(batch.slices) and batch.slices[0]["flow_end_reason"])
    assert (last["initiator_packets"], last["responder_packets"], last["minimum_ip_total_length"]) == (0, 0, 0)
    assert last["flow_start_ns"] == last["flow_end_ns"] == START + round(1.5 * SECOND)
    assert last["flow_id"] == 1


def test_a_flow_that_outlives_the_active_timeout_begins_anew_with_its_direction() -> None:
    """A new id, the same initiator, although its responder speaks first; nothing is counted twice."""
    found = meter(active_timeout_ns=20 * SECOND, idle_timeout_ns=30 * SECOND)
    packets = [(second, ACK) for second in range(19)] + [(21, packet("10.0.0.2", 80, "10.0.0.1", 1000)), (22, ACK)]
    batches = found.meter(block(*packets)) + found.flush()
    slices = np.concatenate([batch.slices for batch in batches])
    assert ends(batches) == [(15, FlowEndReason.ACTIVE_TIMEOUT), (20, FlowEndReason.FORCED_END)]
    assert sorted(set(slices["flow_id"].tolist())) == [1, 2]
    assert set(slices["source_transport_port"].tolist()) == {1000}
    assert int(slices["initiator_packets"].sum()) == 20
    assert int(slices["responder_packets"].sum()) == 1


def test_flush_ends_everything_and_the_meter_can_go_on() -> None:
    """FORCED_END for what had no reason yet; no pane is emitted twice afterwards."""
    found = meter()
    found.meter(block((0, OPEN), (1, packet("10.0.0.3", 5, "10.0.0.4", 6, None))))
    (batch,) = found.flush()
    assert batch.slices["flow_end_reason"].tolist() == [FlowEndReason.FORCED_END] * 2
    assert found.flush() == []
    found.meter(block((2, OPEN)))
    (batch,) = found.flush()
    assert batch.start_ns == START + PANE_NS
    assert batch.slices["flow_id"].tolist() == [3]


def test_undecodable_and_dropped_packets_are_told_of_their_pane() -> None:
    """They move event time like any packet; the identity holds in every pane."""
    arp = bytes(Ether(src="02::1", dst="ff:ff:ff:ff:ff:ff", type=0x0806)) + b"\0" * 28
    found = meter()
    (first,) = found.meter(block((0, arp), (1, ACK), (2, arp), (6, arp)), dropped=9)
    (second,) = found.flush()
    assert (first.loss.received, first.loss.metered, first.loss.undecodable, first.loss.dropped) == (3, 1, (("arp", 2),), 0)
    assert (second.loss.received, second.loss.undecodable, second.loss.dropped) == (1, (("arp", 1),), 9)
    lone = PacketColumns.undecoded("test0", START + 60 * SECOND, Undecodable.CUT_OFF)
    assert found.meter(lone) == []
    assert found.accounting.undecodable == {"arp": 3, "cut_off": 1}
    assert found.accounting.received == 5


def test_drops_say_where_they_happened() -> None:
    """Every place of loss is told of the pane, their sum and what has no place is `dropped`, and a place without loss is silent."""
    found = meter()
    found.meter(block((0, ACK)), dropped=2, dropped_by={"ring": 3, "interface": 4, "softnet": 0})
    found.meter(PacketColumns.empty("test0"), dropped_by={"ring": 1})
    (batch,) = found.flush()
    assert (batch.loss.dropped, batch.loss.dropped_by) == (10, (("interface", 4), ("ring", 4)))
    assert (found.accounting.dropped, found.accounting.dropped_by) == (10, {"ring": 4, "interface": 4})


def flood(count: int, seed: int, second: float = 0.0, frame: bytes = OPEN) -> PacketColumns:
    """Packets, every one of another source: one frame, then its source words replaced."""
    one = decode_frames([frame])
    random = np.random.default_rng(seed)
    source = (
        (random.integers(0, 2**32, count, "u8") << np.uint64(32)) | np.uint64(0xFFFF0000) | random.integers(1, 2**16, count, "u8")
    )
    repeated = {name: np.repeat(getattr(one, name), count) for name in ROW_COLUMNS}
    times = START + round(second * SECOND) + np.arange(count, dtype="i8") * 500
    return replace(one, **repeated | {"timestamp_ns": times, "source_word": source})


@pytest.mark.parametrize("frame", [OPEN, packet("10.0.0.1", 5, "10.0.0.2", 53, None)])
@pytest.mark.parametrize("when_full", ["refuse", "evict"])
def test_a_flood_neither_grows_memory_nor_blinds_flows_that_were_there(when_full: str, frame: bytes) -> None:
    """Half a million forged SYNs, or datagrams, against a table of 4,096: established flows are metered on, the rest is counted."""
    found = meter(max_flows=4096, when_full=when_full, idle_timeout_ns=30 * SECOND)
    ours = []
    for number in range(100):
        client = ("10.9.0.1", 2000 + number, "10.9.0.2", 443)
        ours += [(0.0, packet(*client, "S")), (0.001, packet(*client[2:], *client[:2], "SA")), (0.002, packet(*client, "A"))]
    found.meter(block(*ours))
    allocated = found.memory_bytes
    for number in range(8):
        found.meter(flood(65_536, number, 0.1 + number * 0.1, frame))
        account = found.accounting
        assert account.received == account.metered + account.refused
        assert found.memory_bytes <= allocated + 4096 * FLOW_DTYPE.itemsize
        assert found.flows_held <= 4096
    assert found.accounting.refused > 500_000
    (batch,) = found.meter(block(*[(1.0, frame) for _, frame in ours], (5.0, ours[2][1])))
    old = batch.slices[batch.slices["flow_id"] <= 100]
    assert (old["initiator_packets"] == 4).all()
    assert (old["responder_packets"] == 2).all()
    assert (old["flow_end_reason"] == 0).all()
    assert len(old) == 100
    evicted = int((batch.slices["flow_end_reason"] == FlowEndReason.LACK_OF_RESOURCES).sum())
    assert evicted == found.flows_evicted == (4096 if when_full == "evict" else 0)
    assert found.memory_bytes == allocated


def test_a_flood_leaves_nothing_behind() -> None:
    """What Python itself has allocated after the tenth block of a flood is what it had after the third."""
    found = meter(max_flows=4096, when_full="evict")
    tracemalloc.start()
    try:
        held = []
        for number in range(10):
            found.meter(flood(16_384, number, 5.0 * number))
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[-1] <= held[2] + 64 * 1024


@pytest.mark.parametrize("max_flows", [1, 4096, 100_000, 131_073])
def test_the_table_is_small_and_allocated_once(max_flows: int) -> None:
    """At most 22 MB per 100,000 flows whatever the number of flows, before and after."""
    found = meter(max_flows=max_flows)
    before = found.memory_bytes
    found.meter(flood(65_536, 1))
    assert found.memory_bytes == before <= max_flows * 220


def test_rows_are_found_after_many_deletions() -> None:
    """Churn far beyond the table's size: graves are cleared, and every flow is still one flow."""
    found = meter(max_flows=2048)
    total = 0
    for number in range(60):
        packets = flood(1500, number, number * 5.0)
        closing = flood(1500, number, number * 5.0 + 0.5)
        closing.tcp_control_bits[:] = 0x04
        for batch in found.meter(packets) + found.meter(closing):
            total += int(batch.slices["initiator_packets"].sum())
            assert (np.diff(batch.slices["flow_id"].astype("i8")) > 0).all()
    total += sum(int(batch.slices["initiator_packets"].sum()) for batch in found.flush())
    assert total == found.accounting.metered == 60 * 3000
    assert found.flows_begun == 60 * 1500

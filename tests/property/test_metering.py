"""The flow meter against a dictionary, packet by packet, over generated traffic that reorders time, collides and overflows."""

from dataclasses import replace

import numpy as np
import pytest
from dictionary_meter import SECOND, DictionaryMeter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netmote.capture.packets import CoalescedColumns, DnsColumns, PacketColumns, Undecodable
from netmote.metering import flow_key
from netmote.metering.flow_assembly import FlowAssembly
from netmote.metering.flow_meter import FlowMeter
from netmote.records.flow import FLOW_DTYPE

BASE = 1_700_000_000 * SECOND


@st.composite
def blocks(draw, most: int = 60) -> PacketColumns:
    """Packets among few endpoints, so that flows meet again; time mostly forward, sometimes far, sometimes back."""
    count = draw(st.integers(0, most))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    spread = draw(st.sampled_from([0.01, 0.7, 4.0, 40.0]))
    step = (random.exponential(spread, count) * SECOND).astype("i8")
    time = BASE + np.cumsum(step)
    if draw(st.booleans()) and count:
        late = random.random(count) < 0.2
        time[late] -= (random.random(int(late.sum())) * 20 * SECOND).astype("i8")
    if draw(st.integers(0, 9)) == 0 and count:
        time[count // 2 :] += 5000 * SECOND
    hosts = draw(st.sampled_from([1, 2, 40]))
    is_six = random.random(count) < draw(st.sampled_from([0.0, 0.5]))
    protocol = random.choice([6, 17, 1, 58], count, p=[0.6, 0.3, 0.05, 0.05]).astype("u8")
    has_ports = (protocol == 6) | (protocol == 17)
    host, port = random.integers(0, hosts, (2, count)).astype("u8"), random.integers(0, 3, (2, count)).astype("u8") * has_ports
    mapped = [
        np.where(is_six, 0, host[side] << np.uint64(56) | np.uint64(0xFFFF0000)).astype("u8") | port[side] for side in (0, 1)
    ]
    six = np.flatnonzero(is_six)
    address = np.stack([np.full(len(six), 0x20, "u8"), host[0, six], np.full(len(six), 0x20, "u8"), host[1, six]], axis=1)
    vlan = random.choice([0, 0, 0, 5, 5 | 7 << 16], count).astype("u8")
    bits = random.choice([0x02, 0x12, 0x10, 0x18, 0x11, 0x14, 0x04], count).astype("u1") * (protocol == 6).astype("u1")
    dns = np.flatnonzero((protocol == 17) & (random.random(count) < 0.3))
    is_response = random.random(len(dns)) < 0.5
    names = np.where(is_response, 0, random.integers(0, 200, len(dns))).astype("u4")
    # Streams that mostly go on, skip, repeat, keep alive and wrap; or numbers that make no sense at all.
    payload = (random.choice([0, 1, 1460], count, p=[0.3, 0.1, 0.6]) * (protocol == 6)).astype("u2")
    origin = np.uint32(draw(st.sampled_from([1, 2**31, 2**32 - 5000, 2**32 - 1460])))
    step = random.choice([0, 0, 0, 1460, -1460, -1, -5000], count)
    sequence = (np.cumsum(payload.astype("i8")) - payload + step).astype("u4") + origin
    if draw(st.integers(0, 2)) == 0:
        sequence = random.integers(0, 2**32, count).astype("u4")
    length = np.maximum(random.integers(41, 65_576, count), 40 + payload).astype("u4")
    joined = np.flatnonzero(random.random(count) < draw(st.sampled_from([0.0, 0.3])))
    lost = np.sort(random.integers(0, count + 1, draw(st.integers(0, 3))))
    return PacketColumns(
        "test0",
        time,
        wire_length=random.integers(60, 1514, count).astype("u4"),
        ip_total_length=length,
        source_word=mapped[0],
        destination_word=mapped[1],
        flow_class=protocol | np.where(is_six, 6 << 8, 4 << 8).astype("u8") | vlan << np.uint64(16),
        ip_class_of_service=random.integers(0, 256, count).astype("u1"),
        tcp_control_bits=bits,
        icmp_type=np.where((protocol == 1) | (protocol == 58), random.integers(0, 5, count), 0).astype("u1"),
        icmp_code=np.where(protocol == 1, random.integers(0, 3, count), 0).astype("u1"),
        is_fragment=random.random(count) < 0.1,
        time_to_live=random.choice(draw(st.sampled_from([[64], [64, 63], list(range(256))])), count).astype("u1"),
        tcp_sequence=sequence,
        tcp_payload_octets=payload,
        six_position=six,
        six_address=address,
        dns=DnsColumns(dns, is_response, np.where(is_response, 3, 0).astype("u1"), names, names * np.uint32(3)),
        coalesced=CoalescedColumns(
            joined,
            random.integers(1, 44, len(joined)).astype("u4"),
            random.integers(0, 65_536, len(joined)).astype("u4"),
            random.integers(0, 2**40, len(joined)).astype("u8"),
            random.integers(20, 41, len(joined)).astype("u4") if draw(st.booleans()) else length[joined],
        ),
        undecodable_position=lost,
        undecodable_timestamp_ns=time[np.minimum(lost, max(count - 1, 0))] if count else np.full(len(lost), BASE),
        undecodable_reason=random.choice(list(map(int, Undecodable)), len(lost)).astype("u1"),
    )


def meter_of(*, max_flows=4096, when_full="refuse", hash_seed=None, active=60, idle=15, **more) -> FlowMeter:
    return FlowMeter(
        source="capture:test0",
        interface="test0",
        max_flows=max_flows,
        active_timeout_ns=active * SECOND,
        idle_timeout_ns=idle * SECOND,
        when_full=when_full,
        hash_seed=hash_seed,
        **more,
    )


def everything(batches) -> list[tuple]:
    return [(batch.start_ns, batch.slices.tobytes(), batch.loss) for batch in batches]


FULL = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def unlike(batches, plain: DictionaryMeter) -> list[str]:
    """Panes and fields in which a meter and the dictionary differ."""
    assert [(batch.start_ns, len(batch.slices)) for batch in batches] == [(start, len(slices)) for start, slices in plain.out]
    found = []
    for batch, (start, slices) in zip(batches, plain.out, strict=True):
        for mine, other in zip(batch.slices, slices, strict=True):
            found += [
                f"pane {start}, flow {mine['flow_id']}: {name} {mine[name]} is {other[name]}"
                for name in FLOW_DTYPE.names or ()
                if mine[name] != other[name]
            ]
    return found


timeouts = st.dictionaries(
    st.sampled_from(["tcp", "tcp_opening", "udp", "icmp", "sctp", "other"]),
    st.integers(5, 90).map(lambda seconds: seconds * SECOND),
)


@FULL
@given(
    blocks(),
    st.sampled_from([(4096, "refuse"), (3, "refuse"), (8, "refuse"), (3, "evict"), (8, "evict"), (1, "evict")]),
    timeouts,
)
def test_the_table_equals_a_dictionary(packets, limits, named) -> None:
    """Every slice of every pane, every field, and every refusal: the vectorised meter says what the plain one says."""
    max_flows, when_full = limits
    plain = DictionaryMeter(max_flows=max_flows, active=60 * SECOND, idle=15 * SECOND, when_full=when_full, **named)
    plain.meter(packets)
    plain.flush()
    meter = meter_of(max_flows=max_flows, when_full=when_full, idle_timeouts_ns=named)
    batches = meter.meter(packets) + meter.flush()
    assert unlike(batches, plain) == []
    account = meter.accounting
    assert plain.count == {
        "metered": account.metered,
        "refused": account.refused,
        "undecodable": dict(account.undecodable),
        "coalesced": account.coalesced,
    }
    assert account.received == packets.received == sum(batch.loss.received for batch in batches)


@FULL
@given(
    blocks(),
    st.lists(st.integers(0, 60), max_size=8),
    st.sampled_from([(4096, "refuse"), (5, "evict"), (4, "refuse"), (8, "refuse")]),
)
def test_results_do_not_depend_on_how_packets_are_cut_into_blocks(packets, cuts, limits) -> None:
    """Any split of the packets, and any seed of the hash, gives identical bytes."""
    max_flows, when_full = limits
    whole = meter_of(max_flows=max_flows, when_full=when_full, hash_seed=1)
    expected = everything(whole.meter(packets) + whole.flush())
    meter = meter_of(max_flows=max_flows, when_full=when_full, hash_seed=2)
    batches, rest, position = [], packets, 0
    for cut in sorted(min(cut, len(packets)) for cut in cuts):
        part, rest = rest.split(cut - position)
        position = cut
        batches += meter.meter(part)
        account = meter.accounting
        assert account.received == account.metered + account.refused + sum(account.undecodable.values())
    batches += meter.meter(rest) + meter.flush()
    assert everything(batches) == expected


@FULL
@given(blocks())
def test_flows_that_share_a_hash_are_told_apart(packets) -> None:
    """With a hash that makes everything collide the exact path gives the same bytes."""
    good, bad = meter_of(hash_seed=1), meter_of(hash_seed=1)
    bad._hash._odd = (np.uint64(0),) * 7
    expected = everything(good.meter(packets) + good.flush())
    assert everything(bad.meter(packets) + bad.flush()) == expected


class NarrowHash(flow_key.FlowHash):
    """A hash of four values: some flows of a block share all its bits, others none."""

    def of(self, *key) -> np.ndarray:
        return super().of(*key) & np.uint64(0x8000_0001_0000_0000)


@FULL
@given(
    blocks(),
    st.lists(st.integers(0, 60), max_size=3),
    st.sampled_from([(4096, "refuse"), (5, "evict"), (4, "refuse"), (8, "refuse")]),
)
def test_collisions_of_some_flows_change_nothing(packets, cuts, limits) -> None:
    """Two flows of equal hash are told apart by their keys in the grouping, in the table, when rows are given back, in any cut."""
    max_flows, when_full = limits
    good, bad = (meter_of(max_flows=max_flows, when_full=when_full) for _ in range(2))
    bad._hash = bad._table._hash = NarrowHash(1)
    expected = everything(good.meter(packets) + good.flush())
    batches, rest, position = [], packets, 0
    for cut in sorted(min(cut, len(packets)) for cut in cuts):
        part, rest = rest.split(cut - position)
        position = cut
        batches += bad.meter(part)
    assert everything(batches + bad.meter(rest) + bad.flush()) == expected


@FULL
@given(blocks())
def test_slices_add_up_to_flows(packets) -> None:
    """Panes of five seconds or one over all time: every field of every assembled record is the same."""
    forever, within = 10**6 * SECOND, (packets.timestamp_ns - BASE) // 4
    packets = replace(
        packets.between(0, len(packets)), timestamp_ns=BASE + within, tcp_control_bits=packets.tcp_control_bits & np.uint8(0xF8)
    )
    records = []
    for pane in (5 * SECOND, forever):
        meter = FlowMeter(
            source="s",
            interface="i",
            max_flows=4096,
            active_timeout_ns=2 * forever,
            idle_timeout_ns=2 * forever,
            when_full="refuse",
            pane_ns=pane,
        )
        assembly = FlowAssembly()
        ended = [assembly.add(batch.slices) for batch in meter.meter(packets) + meter.flush()]
        assert len(assembly) == 0
        records.append(np.concatenate([*ended, np.zeros(0, FLOW_DTYPE)]))
    cut, whole = (np.sort(each, order="flow_id") for each in records)
    assert [name for name in FLOW_DTYPE.names or () if cut[name].tobytes() != whole[name].tobytes()] == []


def test_the_exact_path_is_really_taken() -> None:
    """Two flows with one hash are a collision that is counted."""
    from frames_in_memory import decode_frames
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether

    frames = [bytes(Ether(dst="02::1") / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=port, dport=80)) for port in (1, 2, 1)]
    meter = meter_of()
    meter._hash._odd = (np.uint64(0),) * 7
    meter.meter(decode_frames(frames))
    assert meter.collisions == 1
    assert meter.flows_begun == 2


@pytest.mark.parametrize("count", [1, 2, 65_536])
def test_grouping_keeps_capture_order_inside_a_half(count: int) -> None:
    """The order of a grouping is a permutation whose halves ascend."""
    random = np.random.default_rng(count)
    low = random.integers(0, 50, count).astype("u8")
    hashed = flow_key.FlowHash(3)
    flow_class = np.full(count, 0x406, "u8")
    keys = flow_key.Keys(
        hashed.mix(low, low, flow_class),
        low,
        low,
        flow_class,
        random.random(count) < 0.5,
        np.zeros(0, "i8"),
        np.zeros((0, 5), "u8"),
    )
    grouping, collided = flow_key.group(keys)
    assert not collided
    assert sorted(grouping.order.tolist()) == list(range(count))
    for first, last in zip(grouping.half_start.tolist(), grouping.half_end.tolist(), strict=True):
        own = grouping.order[first : last + 1]
        assert (np.diff(own) > 0).all()
        assert len({(int(low[i]), bool(keys.is_reversed[i])) for i in own}) == 1

"""When windows close, what is late, what is skipped, and what their quality says."""

import pytest
from window_records import (
    ORIGIN,
    SECOND,
    Slice,
    device_record,
    flow_array,
    host_record,
    interface_batch,
    pane_batch,
    panes,
    vector,
)

from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.records.flow import PANE_NS, CaptureLoss, FlowBatch
from netmote.windows.config import WindowsConfig
from netmote.windows.sliding import Windows
from netmote.windows.vector import Quality

HOST, SERVER = "10.0.0.1", "203.0.113.5"


@pytest.fixture
def windows():
    return Windows(WindowsConfig(), sensor="s1")


def ends(batches, schema="traffic"):
    """Seconds after the origin at which windows of a schema end."""
    return [(batch.end_ns - ORIGIN) / SECOND for batch in batches if batch.schema.name == schema]


def traffic(batches):
    return [batch for batch in batches if batch.schema.name == "traffic"]


def flags(batches, entity, schema="traffic"):
    return [
        Quality(int(batch.quality[[str(one) for one in batch.entities].index(entity)]))
        for batch in batches
        if batch.schema.name == schema
    ]


def feed(windows, batches):
    found = []
    for batch in batches:
        windows.add(batch)
        found += windows.advance()
    return found


def clock_step(time, seconds):
    sensor = Entity(EntityKind.SENSOR, "s1")
    fact = Fact(sensor, "clock_step", ORIGIN + round(time * SECOND), seconds)
    return FactBatch("host", fact.time_ns, fact.time_ns, (fact,))


def test_a_window_closes_with_the_watermark(windows):
    """Every 10 s a window closes, as soon as the only source has come to its end and not before."""
    assert ends(feed(windows, panes([], 1))) == []
    assert ends(feed(windows, [pane_batch(1, [])])) == [10]
    assert ends(feed(windows, [pane_batch(at, []) for at in range(2, 6)])) == [20, 30]


def test_ordered_by_end_then_schema(windows):
    """Several schemas and windows at once come in one order."""
    for batch in [
        *panes([], 6),
        interface_batch(0, 10, {"eth0": {}}),
        interface_batch(10, 30, {"eth0": {}}),
        device_record(30.0),
    ]:
        windows.add(batch)
    found = windows.advance()
    order = [((batch.end_ns - ORIGIN) // SECOND, batch.schema.name) for batch in found]
    assert order == sorted(order)
    assert {name for _, name in order} == {"traffic", "interface", "device", "sensor"}


def test_the_slowest_source_is_waited_for(windows):
    """With two capture interfaces a window closes when both have come to its end."""
    windows.add(pane_batch(0, []))
    windows.add(pane_batch(0, [], interface="eth1"))
    assert ends(feed(windows, [pane_batch(1, []), pane_batch(2, [])])) == []
    assert ends(feed(windows, [pane_batch(1, [], interface="eth1")])) == [10]


def test_an_idle_source_holds_nobody_back(windows):
    """A source more than three hops behind is no longer waited for; when it comes back its records are late, not lost."""
    windows.add(pane_batch(0, [], interface="eth1"))
    assert ends(feed(windows, [pane_batch(at, []) for at in range(7)])) == []
    assert ends(feed(windows, [pane_batch(7, [])])) == [10, 20, 30, 40]
    found = feed(
        windows, [pane_batch(3, [Slice(15, HOST, SERVER)], interface="eth1"), *(pane_batch(at, []) for at in range(8, 16))]
    )
    assert windows.late_records == {"capture:eth1": 1}
    assert not windows.dropped_records
    assert vector(traffic(found)[0], f"host:{HOST}")["flows_out_ps"] == pytest.approx(1 / 60)


def test_a_slow_poller_is_not_idle(windows):
    """A device polled every 60 s is waited for through its own interval, though others come every 10 s."""
    for batch in (interface_batch(0, 60, {"eth0": {}}, device="slow"), interface_batch(60, 120, {"eth0": {}}, device="slow")):
        windows.add(batch)
    found = feed(windows, [interface_batch(at, at + 10, {"eth0": {}}, device="fast") for at in range(0, 180, 10)])
    assert ends(found, "interface") == list(range(10, 130, 10))
    found = feed(windows, [interface_batch(120, 180, {"eth0": {}}, device="slow")])
    assert ends(found, "interface") == list(range(130, 190, 10))


def test_event_time_passes_idle_sources(windows):
    """When everything is idle the caller's event time closes windows; what was not observed is a coverage, not a zero."""
    windows.add(pane_batch(0, [Slice(1, HOST, SERVER)]))
    assert ends(windows.advance()) == []
    assert ends(windows.advance(ORIGIN + 9 * SECOND)) == []
    found = windows.advance(ORIGIN + 30 * SECOND)
    assert ends(found) == [10, 20, 30]
    assert [batch.coverage.tolist() for batch in traffic(found)] == [[5 / 60, 5 / 60]] * 3
    assert flags(found, f"host:{HOST}") == [Quality.PARTIAL] * 3


def test_empty_panes_are_observations(windows):
    """A silent wire has a full window of zeros; a host that says nothing has none."""
    found = feed(windows, panes([], 12))
    last = traffic(found)[-1]
    assert [str(entity) for entity in last.entities] == ["interface:s1/eth0"]
    assert last.coverage.tolist() == [1.0]
    assert flags(found, "interface:s1/eth0")[-1] is Quality.GOOD
    assert vector(last, "interface:s1/eth0")["out_bytes_ps"] == 0.0


def test_advance_without_records(windows):
    """Nothing seen, nothing emitted, however far time goes; finishing is safe, twice."""
    assert windows.advance() == []
    assert windows.advance(ORIGIN) == []
    assert windows.finish() == []
    assert windows.finish() == []


def test_late_records_mark_open_windows(windows):
    """A record after the close of a window it belongs to counts in the windows still open, which are marked LATE, until it is out."""
    feed(windows, panes([], 8))
    windows.add(pane_batch(7, [Slice(36, HOST, SERVER)]))
    assert windows.late_records == {"capture:eth0": 1}
    found = feed(windows, [pane_batch(at, []) for at in range(8, 24)])
    marked = [end for end, flag in zip(ends(found), flags(found, "interface:s1/eth0"), strict=True) if Quality.LATE in flag]
    assert marked == [50, 60, 70, 80, 90]  # [30, 90) is the last that holds it
    assert vector(traffic(found)[0], f"host:{HOST}")["uniq_dst"] == 1


def test_records_of_closed_windows_are_dropped_and_counted(windows):
    """A record whose windows have all closed is dropped; the count says how many and whose."""
    feed(windows, panes([], 24))
    windows.add(pane_batch(2, [Slice(10, HOST, SERVER), Slice(11, HOST, SERVER)]))
    assert windows.dropped_records == {"capture:eth0": 2}
    found = feed(windows, [pane_batch(24, []), pane_batch(25, [])])
    assert flags(found, "interface:s1/eth0") == [Quality.GOOD]


def test_a_jump_of_hours_costs_no_windows(windows):
    """Windows that overlap no record are skipped: joining two captures a day apart emits only the windows around each."""
    later = 86_400 + 3
    feed(windows, panes([Slice(1, HOST, SERVER)], 2))
    start = ORIGIN + later // 5 * 5 * SECOND
    jumped = FlowBatch("capture:eth0", start, start + PANE_NS, "eth0", flow_array([Slice(later, HOST, SERVER)]))
    windows.add(jumped)
    found = windows.advance() + windows.finish()
    assert ends(found) == [20, 30, 40, 50, 60, 86_410]
    assert windows.advance(ORIGIN + 10**9 * SECOND) == []


def test_finish_closes_the_window_of_the_last_record(windows):
    """At the end of a replay the window that holds the last pane is emitted, and no emptier one after it."""
    found = feed(windows, panes([Slice(1, HOST, SERVER)], 3))
    assert ends(found) == [10]
    assert ends(windows.finish()) == [20]


def test_more_may_follow_a_finish(windows):
    """After `finish` a later capture goes on with what is remembered; an earlier one begins anew and is not late."""
    first = panes([Slice(1, HOST, SERVER)], 12)
    feed(windows, first)
    windows.finish()
    again = feed(windows, [pane_batch(at + 12, [Slice(60 + at * 5, HOST, SERVER)]) for at in range(12)]) + windows.finish()
    assert ends(again) == [70, 80, 90, 100, 110, 120]
    assert vector(again[1], f"host:{HOST}")["new_peer_ratio"] == 0.0
    earlier = feed(windows, first) + windows.finish()
    assert ends(earlier) == [10, 20, 30, 40, 50, 60]
    assert not windows.late_records


def test_loss_marks_the_interface_and_its_hosts(windows):
    """Dropped and refused packets above the limit mark the entities seen there, with the ratio; others are untouched."""
    lossy = CaptureLoss(received=90, metered=85, refused=5, dropped=10)
    slices = [Slice(at * 5, HOST, SERVER) for at in range(12)]
    for at in range(12):
        windows.add(pane_batch(at, [one for one in slices if one.pane == at], loss=lossy))
        windows.add(pane_batch(at, [Slice(at * 5, "10.0.0.2", SERVER)], interface="eth1"))
    found = windows.advance()
    assert flags(found, f"host:{HOST}")[-1] == Quality.LOSS
    assert flags(found, "host:10.0.0.2")[-1] == Quality.GOOD
    last = traffic(found)[-1]
    ratios = dict(zip(map(str, last.entities), last.loss_ratio.tolist(), strict=True))
    assert ratios == {f"host:{HOST}": 0.15, "host:10.0.0.2": 0.0, "interface:s1/eth0": 0.15, "interface:s1/eth1": 0.0}


def test_a_host_on_two_interfaces_has_the_best_coverage_and_the_worst_loss(windows):
    """A host seen on a lossy and on a half-observed interface is as covered as the better and as lossy as the worse."""
    for at in range(12):
        windows.add(pane_batch(at, [Slice(at * 5, HOST, SERVER)], loss=CaptureLoss(received=50, metered=50, dropped=50)))
    windows.add(pane_batch(11, [Slice(55, HOST, SERVER)], interface="eth1"))
    last = traffic(windows.advance())[-1]
    assert (last.coverage[0], last.loss_ratio[0]) == (1.0, 0.5)


def test_a_forward_clock_step_marks_windows(windows):
    """Windows that hold the instant before or after the step are marked in every schema; the gap is not filled."""
    for batch in panes([], 12):
        windows.add(batch)
    windows.add(clock_step(3_660, 3_600))
    for at in range(12):
        start = ORIGIN + 3_660 * SECOND + at * PANE_NS
        windows.add(FlowBatch("capture:eth0", start, start + PANE_NS, "eth0", flow_array([])))
    found = windows.advance() + windows.finish()
    stepped = [
        end for end, flag in zip(ends(found), flags(found, "interface:s1/eth0"), strict=True) if Quality.CLOCK_STEP in flag
    ]
    assert stepped == [70, 80, 90, 100, 110, *range(3_670, 3_730, 10)]
    assert ends(found)[0] == 10


def test_a_backward_clock_step_does_not_blind(windows):
    """After a step back the windows so far are handed out, and records of the new time are neither late nor dropped."""
    found = feed(windows, panes([Slice(at * 5, HOST, SERVER) for at in range(13)], 13))
    windows.add(clock_step(-3_600, -3_663))
    start = ORIGIN - 3_600 * SECOND
    for at in range(14):
        one = Slice(-3_600 + at * 5, HOST, SERVER)
        windows.add(FlowBatch("capture:eth0", start + at * PANE_NS, start + (at + 1) * PANE_NS, "eth0", flow_array([one])))
    after = windows.advance()
    assert ends(found) == [10, 20, 30, 40, 50, 60]
    assert ends(after) == [*(-3_590 + 10 * at for at in range(7)), 70]
    rest = [batch for batch in after if batch.end_ns < ORIGIN]
    assert Quality.CLOCK_STEP in flags(rest, f"host:{HOST}")[0]
    assert Quality.CLOCK_STEP not in flags(rest, f"host:{HOST}")[-1]
    assert vector(traffic(rest)[-1], f"host:{HOST}")["new_peer_ratio"] == 0.0
    assert not windows.late_records


def test_other_facts_change_nothing(windows):
    """Only clock steps matter here; an empty batch of facts is only a watermark."""
    windows.add(FactBatch("snmp:sw1", ORIGIN, ORIGIN + SECOND, ()))
    windows.add(FactBatch("host", ORIGIN, ORIGIN, (Fact(Entity(EntityKind.HOST, HOST), "new_listener", ORIGIN, 8080.0),)))
    found = feed(windows, panes([], 12))
    assert all((batch.quality == Quality.PARTIAL).all() or (batch.quality == Quality.GOOD).all() for batch in found)


def test_a_full_host_table_forgets_and_counts():
    """With room for two hosts the one idle longest goes, is counted, and has no more windows."""
    windows = Windows(WindowsConfig(max_hosts=2), sensor="s1")
    spoken = [
        Slice(1, "10.0.0.1", SERVER),
        Slice(6, "10.0.0.2", SERVER),
        Slice(11, "10.0.0.3", SERVER),
        Slice(16, "10.0.0.2", SERVER),
    ]
    found = feed(windows, panes(spoken, 4))
    assert windows.forgotten_hosts == 1
    assert windows.sizes()["hosts"] == 2
    last = traffic(found)[-1]
    assert [entity.name for entity in last.entities] == ["10.0.0.2", "10.0.0.3", "s1/eth0"]


def test_a_flood_of_hosts_keeps_memory_bounded():
    """Ten thousand addresses of ours in every pane: the tables stay within their bounds, real hosts stay, every refusal is counted."""
    windows = Windows(WindowsConfig(max_hosts=100), sensor="s1")
    sizes, found = [], []
    for pane in range(18):
        flood = [
            Slice(pane * 5, SERVER, f"10.{pane}.{at // 250}.{at % 250 + 1}", port=at % 1_000, in_packets=0, in_octets=0)
            for at in range(10_000)
        ]
        windows.add(pane_batch(pane, [*flood, Slice(pane * 5, "10.200.0.1", "198.51.100.1")]))
        found += windows.advance()
        sizes.append(windows.sizes())
    assert all(size["hosts"] <= 100 for size in sizes)
    assert all(size["peers"] <= 116 * 64 for size in sizes)
    assert all(size["contact_keys"] <= 116 * 64 for size in sizes)
    assert max(size["addresses"] for size in sizes) <= 1.5 * (13 * 10_000 + 2 * 116 * 128) + 20_000
    assert sizes[-1]["bytes"] <= 1.2 * max(size["bytes"] for size in sizes[12:15])
    assert windows.refusals()["hosts_refused"] > 150_000
    assert all("host:10.200.0.1" in map(str, batch.entities) for batch in found if batch.schema.name == "traffic")
    segment = vector(traffic(found)[-1], "interface:s1/eth0")
    assert segment["max_dsts_per_port"] > 100
    assert segment["uniq_dst"] == 120_001


def test_beyond_a_panes_bound_sums_stay_exact():
    """More slices than a pane may keep: octets, packets and slices are all counted; only distinct counts are of the first ones."""
    windows = Windows(WindowsConfig(), sensor="s1")
    windows._traffic._max_pane_slices = 100
    many = [Slice(1, HOST, f"203.0.{at // 200}.{at % 200}", out_octets=10, flow_id=at) for at in range(1_000)]
    found = feed(windows, [pane_batch(0, many), pane_batch(1, [])])
    row = vector(found[-1], f"host:{HOST}")
    assert row["out_bytes_ps"] == pytest.approx(10_000 / 60)
    assert row["flows_out_ps"] == pytest.approx(1_000 / 60)
    assert row["uniq_dst"] == 100
    assert windows.refusals()["slices_in_sums_alone"] == 900


def test_the_end_of_a_flow_is_no_slice(windows):
    """A slice without packets only tells that a flow ended: it is no activity of its hosts."""
    found = feed(windows, panes([Slice(1, HOST, SERVER, out_packets=0, in_packets=0)], 2))
    assert [str(entity) for entity in found[-1].entities] == ["interface:s1/eth0"]


def test_sensor_gauges_and_packets(windows):
    """Gauges are means weighted by time, a gauge that is NaN throughout is not present, and loss is of all interfaces."""
    loss = CaptureLoss(received=80, metered=70, undecodable=(("arp", 10),), dropped=20)
    for at in range(12):
        windows.add(pane_batch(at, [], loss=loss))
        windows.add(pane_batch(at, [], interface="eth1", loss=CaptureLoss(received=20, metered=20)))
    windows.add(host_record(0, 40, {"load_1m": 1.0}))
    windows.add(host_record(40, 60, {"load_1m": 4.0, "processes": 200.0}))
    last = [batch for batch in windows.advance() if batch.schema.name == "sensor"][-1]
    row = vector(last, "sensor:s1")
    assert row["load_1m"] == 2.0
    assert row["processes"] == 200.0
    assert row["swap_used_ratio"] is None
    assert row["packets_per_second"] == pytest.approx(100 / 5)
    assert row["packet_loss_ratio"] == pytest.approx(20 / 120)
    assert row["undecodable_ratio"] == pytest.approx(10 / 100)
    assert (last.coverage[0], last.quality[0]) == (1.0, Quality.GOOD)


def test_hosts_sort_before_interfaces_and_by_text(windows):
    """Entities of a batch are in canonical order, whatever the order in which they were seen."""
    slices = [
        Slice(1, "10.0.0.2", SERVER),
        Slice(2, "10.0.0.10", SERVER),
        Slice(3, "fd00::1", "2001:db8::1"),
        Slice(4, "10.0.0.1", SERVER),
    ]
    windows.add(pane_batch(0, [], interface="zz"))
    windows.add(pane_batch(1, [], interface="zz"))
    found = feed(windows, panes(slices, 2))
    entities = found[-1].entities
    assert list(entities) == sorted(entities)
    assert len(entities) == 6


def test_evidence_of_a_scan(windows):
    """For a scan the flows by octets and by slices, the peers and the ports are named; for an unknown entity nothing."""
    scan = [Slice(at / 100, HOST, SERVER, port=at, out_octets=40, in_octets=0, in_packets=0) for at in range(400)]
    large = [Slice(float(at), HOST, "198.51.100.7", source_port=1_000, port=443, out_octets=10**6) for at in range(5)]
    small = [Slice(at / 2, HOST, "198.51.100.8", source_port=2_000, port=22, out_octets=1, in_octets=0) for at in range(10)]
    feed(windows, panes([*scan, *large, *small], 2))
    evidence = windows.evidence(Entity(EntityKind.HOST, HOST))
    first = evidence.top_flows[0]
    assert (first.destination_address, first.destination_transport_port, first.octets, first.slices) == (
        "198.51.100.7",
        443,
        5 * (10**6 + 200),
        5,
    )
    assert ("198.51.100.8", 10) in [(flow.destination_address, flow.slices) for flow in evidence.top_flows]
    assert 5 < len(evidence.top_flows) <= 10
    assert evidence.top_peers[0] == (SERVER, 400)
    assert evidence.top_ports[0] == (22, 11)
    assert evidence == windows.evidence(Entity(EntityKind.INTERFACE, "s1/eth0"))
    assert windows.evidence(Entity(EntityKind.HOST, "10.9.9.9")).top_flows == ()
    assert windows.evidence(Entity(EntityKind.DEVICE, "sw1")).top_flows == ()


def test_evidence_of_every_window_handed_out(windows):
    """When several windows close at once, each can be asked for by its end until the next advance."""
    for batch in panes([Slice(1, HOST, SERVER), Slice(65, HOST, "198.51.100.9")], 28):
        windows.add(batch)
    found = windows.advance()
    assert ends(found)[-1] == 140
    entity = Entity(EntityKind.HOST, HOST)
    peers = {end: windows.evidence(entity, ORIGIN + end * SECOND).top_peers for end in (10, 60, 70, 120, 130, 140)}
    other = (("198.51.100.9", 1),)
    assert peers == {10: ((SERVER, 1),), 60: ((SERVER, 1),), 70: other, 120: other, 130: (), 140: ()}

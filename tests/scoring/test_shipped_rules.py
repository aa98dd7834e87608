"""Every shipped rule, on vectors and facts: what makes it fire and the nearest ordinary thing that must not."""

from collections.abc import Mapping

import numpy as np
import pytest

from netmote.alerts.inhibition import INHIBITIONS
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import CONDITIONS, OCCURRENCES, Fact, FactBatch
from netmote.scoring.finding import Finding, Severity
from netmote.scoring.rules.binding import SCHEMAS
from netmote.scoring.rules.rule_set import RULE_SURPRISE, RuleSet
from netmote.scoring.usual import Usual
from netmote.windows.schemas import TRAFFIC, WINDOW_NS
from netmote.windows.vector import Quality, VectorBatch, WindowEvidence

END = 1_700_000_060_000_000_000
ENTITIES = {
    "traffic": Entity(EntityKind.HOST, "10.1.0.2"),
    "interface": Entity(EntityKind.INTERFACE, "sw1/Gi0/1"),
    "device": Entity(EntityKind.DEVICE, "sw1"),
    "sensor": Entity(EntityKind.SENSOR, "probe"),
}
# A minute of an ordinary entity; what a case does not name stays so.
ORDINARY: Mapping[str, Mapping[str, float]] = {
    "traffic": {
        "out_bytes_ps": 4e3, "in_bytes_ps": 4e4, "out_pkts_ps": 30, "in_pkts_ps": 40, "out_byte_share": 0.1, "out_pkt_size": 130,
        "in_pkt_size": 1000, "flows_out_ps": 1.0, "flows_in_ps": 0.2, "uniq_dst": 20, "uniq_src": 2, "uniq_dport": 4, "dst_entropy": 4,
        "dport_entropy": 1, "max_ports_per_dst": 2, "max_dsts_per_port": 15, "new_peer_ratio": 0.2, "peers_per_flow": 0.4, "syn_ps": 0.5,
        "noanswer_ratio": 0.05, "reset_ratio": 0.05, "established_ratio": 0.9, "fin_ps": 0.8, "unreach_ps": 0, "tcp_share": 0.8,
        "udp_share": 0.19, "icmp_share": 0.01, "other_share": 0, "lowport_share": 0.9, "dns_qps": 0.4, "dns_fail_ratio": 0.1,
        "dns_qname_len": 28, "dns_qname_entropy": 3.4, "iat_mean": 1, "iat_cv": 2, "beacon_score": 0.4, "flow_dur_med": 0.2,
    },
    "interface": {
        "in_octets_per_second": 1e6, "out_octets_per_second": 1e6, "in_packets_per_second": 2000, "out_packets_per_second": 2000,
        "non_unicast_packets_per_second": 2, "in_discards_per_second": 0, "out_discards_per_second": 0, "errors_per_second": 0,
        "carrier_transitions_per_second": 0, "in_packet_size": 500, "out_packet_size": 500, "utilization_ratio": 0.1,
    },
    "device": {
        "reachable_ratio": 1, "round_trip_seconds": 0.02, "timeout_ratio": 0, "sys_up_time_seconds": 1e6, "ports_up": 10, "ports_down": 0,
        "in_octets_per_second": 1e6, "out_octets_per_second": 1e6, "errors_per_second": 0, "discards_per_second": 0,
        "utilization_ratio": 0.1, "invalid_ratio": 0,
    },
    "sensor": {
        "cpu_utilization_ratio": 0.2, "cpu_iowait_ratio": 0, "cpu_steal_ratio": 0, "load_1m": 0.3, "memory_used_ratio": 0.4,
        "swap_used_ratio": 0, "disk_used_ratio": 0.5, "disk_read_bytes_per_second": 1e4, "disk_written_bytes_per_second": 1e5,
        "processes": 100, "tcp_connections": 10, "process_resident_bytes": 9e7, "process_cpu_ratio": 0.05, "packet_loss_ratio": 0,
        "undecodable_ratio": 0.001, "packets_per_second": 500,
    },
}  # fmt: skip
SCAN = {"uniq_dport": 1000, "max_ports_per_dst": 1000, "syn_ps": 17, "established_ratio": 0.05, "reset_ratio": 0.95}
SCANNED = {**SCAN, "uniq_dport": 4, "flows_in_ps": 17}
FLOODED = {"syn_ps": 300, "flows_in_ps": 300, "in_pkts_ps": 310, "fin_ps": 1, "max_ports_per_dst": 2}
FLOODING = {"syn_ps": 300, "flows_out_ps": 300, "out_pkts_ps": 310, "fin_ps": 1, "max_ports_per_dst": 2}
GUESSING = {"syn_ps": 1.5, "flows_out_ps": 2, "ports": {22: 90}}
UPLOAD = {"out_bytes_ps": 5e6, "out_byte_share": 0.98, "flows_in_ps": 0.1}
BEACON = {"beacon_score": 0.98, "uniq_dst": 2, "flows_out_ps": 0.1, "syn_ps": 0.1}
# rule: (windows that make it fire, ordinary ones that come near and must not)
WINDOWS: Mapping[str, tuple[list[dict], list[dict]]] = {
    "vertical_scan": (
        [
            SCAN,
            {**SCAN, "uniq_dport": 25, "max_ports_per_dst": 25, "syn_ps": 0.5},
            {**SCAN, "syn_ps": 0, "max_ports_per_dst": 200},
        ],
        [
            # Peer-to-peer: many ports, few of one peer. Passive FTP: many of one peer, all answered. Traceroute: silent, no SYN.
            {"uniq_dport": 400, "max_ports_per_dst": 3, "established_ratio": 0.4, "syn_ps": 5},
            {"uniq_dport": 80, "max_ports_per_dst": 78, "established_ratio": 0.95, "syn_ps": 1.3},
            {"uniq_dport": 90, "max_ports_per_dst": 90, "established_ratio": 0.1, "syn_ps": 0},
            SCANNED,
        ],
    ),
    "scanned": ([SCANNED], [SCAN, {**SCANNED, "max_ports_per_dst": 60, "established_ratio": 0.9}]),
    "horizontal_scan": (
        [
            {"max_dsts_per_port": 200, "syn_ps": 3, "established_ratio": 0.1, "uniq_dst": 200},
            {"max_dsts_per_port": 200, "syn_ps": 0, "noanswer_ratio": 0.95, "established_ratio": 0.05},
        ],
        [
            # A heavy page; a distributed hash table, two thirds silent; a vertical scan beside browsing.
            {"max_dsts_per_port": 60, "syn_ps": 2, "established_ratio": 0.9},
            {"max_dsts_per_port": 300, "syn_ps": 0.1, "noanswer_ratio": 0.66, "established_ratio": 0.34},
            {**SCAN, "max_dsts_per_port": 40},
        ],
    ),
    "ping_sweep": (
        [{"uniq_dst": 200, "icmp_share": 0.9, "noanswer_ratio": 0.9}],
        [{"uniq_dst": 500, "icmp_share": 0.9, "noanswer_ratio": 0.05}],
    ),
    "segment_vertical_scan": (
        [{**SCAN, "entity": "interface"}],
        [{"entity": "interface", "max_ports_per_dst": 90, "established_ratio": 0.3}, SCAN],
    ),
    "segment_horizontal_scan": (
        [{"entity": "interface", "max_dsts_per_port": 400, "noanswer_ratio": 0.9}],
        [{"entity": "interface", "max_dsts_per_port": 900, "noanswer_ratio": 0.1}],
    ),
    "syn_flood": (
        [FLOODED, {**FLOODED, "out_pkts_ps": 300, "established_ratio": 0.95}],
        [
            # A busy web server: each connection has its packets and ends. A scan at the same rate.
            {"syn_ps": 300, "flows_in_ps": 320, "in_pkts_ps": 2400, "fin_ps": 500},
            {**FLOODED, "max_ports_per_dst": 5000},
            FLOODING,
        ],
    ),
    "syn_flood_source": (
        [FLOODING],
        [
            {"syn_ps": 300, "flows_out_ps": 320, "out_pkts_ps": 2400, "fin_ps": 500},
            {**FLOODING, "max_dsts_per_port": 3000},
            FLOODED,
        ],
    ),
    "segment_syn_flood": (
        [{**FLOODING, "entity": "interface"}],
        [{"entity": "interface", "syn_ps": 300, "out_pkts_ps": 3000, "fin_ps": 500}, FLOODING],
    ),
    "udp_flood": (
        [
            {"udp_share": 0.99, "in_pkts_ps": 5000, "flows_in_ps": 900, "established_ratio": 0.02},
            {"udp_share": 0.99, "in_pkts_ps": 9000, "in_pkt_size": 60, "out_pkts_ps": 5},
        ],
        [
            # A name server answers; video comes in large packets.
            {
                "udp_share": 0.99,
                "in_pkts_ps": 5000,
                "out_pkts_ps": 5000,
                "flows_in_ps": 900,
                "established_ratio": 0.99,
                "in_pkt_size": 70,
            },
            {"udp_share": 0.99, "in_pkts_ps": 9000, "in_pkt_size": 1300, "out_pkts_ps": 5},
        ],
    ),
    "icmp_flood": (
        [{"icmp_share": 0.9, "in_pkts_ps": 3000, "flows_in_ps": 2, "flows_out_ps": 0.1}],
        # Monitoring that pings a thousand hosts a minute; who floods and receives the answers.
        [{"icmp_share": 0.9, "in_pkts_ps": 17, "flows_in_ps": 0}, {"icmp_share": 0.9, "in_pkts_ps": 3000, "flows_in_ps": 0.1}],
    ),
    "segment_icmp_flood": (
        [{"entity": "interface", "icmp_share": 0.9, "out_pkts_ps": 3000}],
        [
            {"entity": "interface", "icmp_share": 0.1, "out_pkts_ps": 3000},
            {"entity": "interface", "icmp_share": 0.9, "out_pkts_ps": 50},
        ],
    ),
    "brute_force": (
        [GUESSING, {**GUESSING, "ports": {443: 200, 3389: 60}}, {**GUESSING, "ports": {22: 90}, "lasting": {22: 12}}],
        [
            # Six terminal sessions beside browsing; a web client; a scan that touches login ports.
            {**GUESSING, "ports": {22: 60, 443: 90}, "lasting": {22: 60}},
            {**GUESSING, "ports": {443: 200}},
            {**GUESSING, **SCAN},
        ],
    ),
    "failed_connections": (
        [{"flows_out_ps": 2, "syn_ps": 2, "established_ratio": 0.1}],
        [
            {"flows_out_ps": 0.1, "syn_ps": 0.1, "established_ratio": 0.0},
            {"flows_out_ps": 2, "syn_ps": 0, "tcp_share": 0.1, "established_ratio": 0.0},
        ],
    ),
    "dns_tunnel": (
        [{"dns_qname_len": 120, "dns_qname_entropy": 4.6, "dns_qps": 2}],
        # Reverse look-ups of IPv6; cloud names; a long name now and then; the resolver that is asked.
        [
            {"dns_qname_len": 72, "dns_qname_entropy": 2.6, "dns_qps": 3},
            {"dns_qname_len": 47, "dns_qname_entropy": 4.0, "dns_qps": 2},
            {"dns_qname_len": 90, "dns_qname_entropy": 4.4, "dns_qps": 0.1},
            {"dns_qname_len": 120, "dns_qname_entropy": 4.6, "dns_qps": 2, "flows_in_ps": 3},
        ],
    ),
    "dns_failures": (
        [{"dns_fail_ratio": 0.95, "dns_qps": 5}],
        [{"dns_fail_ratio": 0.5, "dns_qps": 5}, {"dns_fail_ratio": 1.0, "dns_qps": 0.3}],
    ),
    "exfiltration": (
        [UPLOAD],
        # A file server; a meeting; a download.
        [
            {**UPLOAD, "flows_in_ps": 5},
            {**UPLOAD, "out_byte_share": 0.5},
            {"out_bytes_ps": 1e5, "in_bytes_ps": 5e6, "out_byte_share": 0.02},
        ],
    ),
    "icmp_tunnel": (
        [{"icmp_share": 0.9, "out_pkt_size": 900, "out_pkts_ps": 20}],
        [{"icmp_share": 0.9, "out_pkt_size": 84, "out_pkts_ps": 20}, {"icmp_share": 0.9, "out_pkt_size": 1400, "out_pkts_ps": 1}],
    ),
    "beaconing": (
        [BEACON],
        # A keep-alive within one connection; a workstation with much else.
        [{**BEACON, "syn_ps": 0}, {**BEACON, "uniq_dst": 40, "flows_out_ps": 2}],
    ),
    "beaconing_unanswered": (
        [{**BEACON, "noanswer_ratio": 0.9, "established_ratio": 0.1}],
        [BEACON, {"beacon_score": 0.95, "noanswer_ratio": 0.9, "syn_ps": 0}],
    ),
    "interface_flapping": ([{"carrier_transitions_per_second": 6 / 60}], [{"carrier_transitions_per_second": 2 / 60}]),
    "interface_errors": (
        [{"errors_per_second": 20}, {"errors_per_second": 1, "in_packets_per_second": 0, "out_packets_per_second": 0}],
        [{"errors_per_second": 0.5}, {"errors_per_second": 0.05, "in_packets_per_second": 1, "out_packets_per_second": 1}],
    ),
    "interface_discards": (
        [{"out_discards_per_second": 60}, {"in_discards_per_second": 60}],
        [
            {"out_discards_per_second": 3},
            {"in_discards_per_second": 0.2, "in_packets_per_second": 2, "out_packets_per_second": 2},
        ],
    ),
    "interface_silent": (
        [{"in_packets_per_second": 0, "out_packets_per_second": 0}],
        [{"in_packets_per_second": 0}, {"in_packets_per_second": 200, "out_packets_per_second": 200}],
    ),
    "interface_saturated": ([{"utilization_ratio": 0.97}], [{"utilization_ratio": 0.85}]),
    "device_timeouts": ([{"timeout_ratio": 0.6}], [{"timeout_ratio": 0.1}]),
    "device_slow": ([{"round_trip_seconds": 4}], [{"round_trip_seconds": 0.4}]),
    "capture_loss": ([{"packet_loss_ratio": 0.05}], [{"packet_loss_ratio": 0.003}]),
    "undecodable_packets": (
        [{"undecodable_ratio": 0.5}],
        [{"undecodable_ratio": 0.5, "packets_per_second": 1}, {"undecodable_ratio": 0.01}],
    ),
    "sensor_disk_full": ([{"disk_used_ratio": 0.95}], [{"disk_used_ratio": 0.87}]),
    "sensor_memory_pressure": ([{"memory_used_ratio": 0.97}], [{"memory_used_ratio": 0.85}]),
    "sensor_cpu_saturated": ([{"cpu_utilization_ratio": 0.99}], [{"cpu_utilization_ratio": 0.9}]),
}
# rule: (entity, value that fires, value that must not or None when any fires)
FACTS: Mapping[str, tuple[Entity, float, float | None]] = {
    "interface_down": (ENTITIES["interface"], 1.0, None),
    "duplex_mismatch": (ENTITIES["interface"], 1.0, None),
    "lldp_neighbour_changed": (ENTITIES["interface"], 1.0, None),
    "interface_vanished": (ENTITIES["interface"], 1.0, None),
    "counter_discontinuity": (ENTITIES["interface"], 1.0, None),
    "device_unreachable": (ENTITIES["device"], 1.0, None),
    "snmp_broken": (ENTITIES["device"], 1.0, None),
    "bgp_peer_down": (ENTITIES["device"], 1.0, None),
    "bgp_session_reset": (ENTITIES["device"], 2.0, None),
    "device_replaced": (ENTITIES["device"], 1.0, None),
    "interface_ambiguous": (ENTITIES["interface"], 1.0, None),
    "counters_stuck": (ENTITIES["device"], 1.0, None),
    "device_restarted": (ENTITIES["device"], 30.0, None),
    "agent_restarted": (ENTITIES["device"], 1.0, None),
    "new_listener": (ENTITIES["sensor"], 8080.0, None),
    "snmp_authentication_failure": (ENTITIES["device"], 1.0, None),
    "foreign_authentication_failure": (ENTITIES["device"], 1.0, None),
    "device_notification": (ENTITIES["device"], 1.0, None),
    "address_conflict": (ENTITIES["traffic"], 1.0, None),
    "arp_spoofing": (ENTITIES["traffic"], 1.0, None),
    "rogue_dhcp": (ENTITIES["traffic"], 2.0, None),
    "clock_step": (ENTITIES["sensor"], -3600.0, 0.5),
    "time_unsynchronised": (ENTITIES["sensor"], 1.0, None),
    "capture_interface_gone": (Entity(EntityKind.INTERFACE, "probe/eth0"), 1.0, None),
    "capture_link_down": (Entity(EntityKind.INTERFACE, "probe/eth0"), 1.0, None),
    "capture_worker_restarted": (Entity(EntityKind.INTERFACE, "probe/eth0"), 1.0, None),
    "capture_unavailable": (Entity(EntityKind.INTERFACE, "probe/eth0"), 1.0, None),
    "degraded_to_rules": (ENTITIES["sensor"], 1.0, None),
    "degraded_to_collect": (ENTITIES["sensor"], 1.0, None),
    "degraded_to_ledger": (ENTITIES["sensor"], 1.0, None),
}


@pytest.fixture(scope="module")
def shipped() -> RuleSet:
    return RuleSet.load(["builtin"])


def evaluate(
    over: str, case: Mapping, *, quality: Quality = Quality.GOOD, loss: float = 0.0, coverage: float = 1.0
) -> dict[str, Finding]:
    """The findings of a fresh set of all shipped rules over one window, by rule."""
    schema = SCHEMAS[over]
    entity = Entity(EntityKind.INTERFACE, "probe/eth0") if case.get("entity") == "interface" else ENTITIES[over]
    readings = {**ORDINARY[over], **{name: value for name, value in case.items() if name in schema.index}}
    assert set(case) - set(schema.index) <= {"entity", "ports", "lasting"}
    vectors = VectorBatch(
        schema=schema,
        start_ns=END - WINDOW_NS,
        end_ns=END,
        entities=(entity,),
        values=np.array([[readings[name] for name in schema.names]], float),
        present=np.ones((1, len(schema)), bool),
        coverage=np.array([coverage]),
        quality=np.array([quality], np.uint8),
        loss_ratio=np.array([loss]),
    )
    evidence = _evidence(case.get("ports", {443: 60}), case.get("lasting", {}))
    findings = RuleSet.load(["builtin"]).evaluate(vectors, usual=lambda _: _usual(over, vectors), evidence=lambda _: evidence)
    return {finding.group: finding for finding in findings}


def _usual(over: str, vectors: VectorBatch) -> Usual:
    """An ordinary minute is what is usual; from one to the next it varies by a third."""
    centre = np.array([[ORDINARY[over][name] for name in vectors.schema.names]], float)
    return Usual(centre, (np.log1p(vectors.values) - np.log1p(centre)) / 0.3, vectors.present)


def _evidence(ports: Mapping[int, int], lasting: Mapping[int, int]) -> WindowEvidence:
    from netmote.windows.vector import FlowEvidence

    flows = tuple(
        FlowEvidence("10.1.0.2", 40_000 + number, "10.1.0.9", port, 6, 5_000, 60, 12)
        for port, slices in lasting.items()
        for number in range(slices // 12)
    )
    return WindowEvidence(top_flows=flows, top_ports=tuple(sorted(ports.items(), key=lambda pair: -pair[1])))


def cases(position: int) -> list:
    over = {rule.id: rule.over for rule in RuleSet.load(["builtin"]).rules}
    return [
        pytest.param(rule, over[rule], case, id=f"{rule}-{number}")
        for rule, both in WINDOWS.items()
        for number, case in enumerate(both[position])
    ]


@pytest.mark.parametrize(("rule", "over", "case"), cases(0))
def test_the_rule_fires(rule, over, case, shipped):
    """The window the rule is made for gives a complete finding: certain, explained by its limits, with something to check."""
    finding = evaluate(over, case)[rule]
    document = next(each for each in shipped.rules if each.id == rule)
    assert (finding.surprise, finding.detector, finding.severity) == (RULE_SURPRISE, "rule", Severity.of(document.severity))
    assert (finding.end_ns, finding.hop_ns, finding.for_ns) == (END, TRAFFIC.hop_ns, round(document.for_ * 1e9))
    assert finding.contributors
    assert all(contributor.threshold is not None for contributor in finding.contributors)
    assert finding.check
    assert "{" not in finding.title
    assert "?" not in finding.title


@pytest.mark.parametrize(("rule", "over", "case"), cases(1))
def test_ordinary_things_that_come_near_do_not_fire_it(rule, over, case):
    """The nearest ordinary window leaves the rule silent."""
    assert rule not in evaluate(over, case)


@pytest.mark.parametrize("over", ORDINARY)
def test_an_ordinary_window_fires_nothing(over):
    """No shipped rule sees anything in the ordinary minute of any kind of entity."""
    assert evaluate(over, {}) == {}


@pytest.mark.parametrize("over", ORDINARY)
def test_what_was_not_observed_fires_nothing(over, shipped):
    """A window in which nothing was observed holds zeros that mean nothing: no rule may read them."""
    schema = SCHEMAS[over]
    nothing = VectorBatch(
        schema=schema,
        start_ns=END - WINDOW_NS,
        end_ns=END,
        entities=(ENTITIES[over],),
        values=np.zeros((1, len(schema))),
        present=np.zeros((1, len(schema)), bool),
        coverage=np.zeros(1),
        quality=np.array([Quality.PARTIAL], np.uint8),
        loss_ratio=np.zeros(1),
    )
    assert shipped.evaluate(nothing) == ()


@pytest.mark.parametrize("rule", FACTS)
def test_the_rule_fires_on_its_fact(rule, shipped):
    """The fact gives a finding of the rule; a condition lasts until cleared, and its end is told."""
    entity, value, silent = FACTS[rule]
    document = next(each for each in shipped.rules if each.id == rule)
    assert document.fact is not None

    def judge(value):
        return shipped.evaluate_facts(FactBatch("x", END, END, (Fact(entity, document.fact, END, value, {"why": "because"}),)))

    findings, cleared = judge(value)
    assert [finding.group.partition("/")[0] for finding in findings] == [rule]
    assert findings[0].is_until_cleared is (document.fact in CONDITIONS)
    assert findings[0].contributors[0].feature == document.fact
    assert "{" not in findings[0].title
    assert cleared == ()
    if document.fact in CONDITIONS:
        findings, cleared = judge(0.0)
        assert findings == ()
        assert [(end.group, end.entity, end.time_ns) for end in cleared] == [(rule, entity, END)]
    if silent is not None:
        assert judge(silent) == ((), ())


def test_every_shipped_rule_is_shown(shipped):
    """No rule ships without a case that fires it, and no case names a rule that does not ship."""
    assert {rule.id for rule in shipped.rules} == set(WINDOWS) | set(FACTS)
    assert len(shipped.rules) >= 40


def test_every_condition_that_can_be_known_has_a_rule(shipped):
    """A condition without a rule would never reach anyone. Renumbering and new ports are handled by the poller, not by people."""
    handled_elsewhere = {"interface_renumbered", "interface_appeared"}
    assert {rule.fact for rule in shipped.rules if rule.fact} == set(CONDITIONS + OCCURRENCES) - handled_elsewhere


def test_inhibitions_name_rules_that_ship(shipped):
    """A renamed rule must not leave a dead inhibition behind."""
    named = {inhibition.source for inhibition in INHIBITIONS}
    named |= {target for inhibition in INHIBITIONS for target in inhibition.targets or ()}
    assert named <= {rule.id for rule in shipped.rules}


@pytest.mark.parametrize(
    "rule", ["vertical_scan", "scanned", "horizontal_scan", "ping_sweep", "brute_force", "failed_connections"]
)
def test_rules_that_read_silence_say_nothing_under_loss(rule):
    """Half the packets lost: what looks like a scan or like failure may be the loss itself."""
    case = WINDOWS[rule][0][0]
    assert rule in evaluate("traffic", case)
    assert rule not in evaluate("traffic", case, quality=Quality.LOSS, loss=0.5)


@pytest.mark.parametrize("rule", ["syn_flood", "udp_flood", "icmp_flood", "dns_tunnel"])
def test_rules_that_count_speak_under_loss_one_severity_milder(rule):
    """Counts are lower bounds under loss: the finding stays, milder, and carries the quality of its window."""
    case = WINDOWS[rule][0][0]
    good, lossy = evaluate("traffic", case)[rule], evaluate("traffic", case, quality=Quality.LOSS, loss=0.5)[rule]
    assert lossy.severity == good.severity + 1
    assert (lossy.quality, lossy.loss_ratio, good.quality) == (Quality.LOSS, 0.5, Quality.GOOD)

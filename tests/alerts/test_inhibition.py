"""Which alert explains which."""

import pytest

from netmote.alerts.episode import Episode
from netmote.alerts.inhibition import INHIBITIONS, Explanations, Inhibition, Relation
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Finding, Severity
from netmote.windows.vector import FlowEvidence, WindowEvidence

SCANNER, SCANNED = Entity(EntityKind.HOST, "10.0.0.1"), Entity(EntityKind.HOST, "10.0.0.2")
SWITCH, PORT, OTHER_PORT = (
    Entity(EntityKind.DEVICE, "sw1"),
    Entity(EntityKind.INTERFACE, "sw1/1"),
    Entity(EntityKind.INTERFACE, "sw10/1"),
)
SEGMENT = Entity(EntityKind.INTERFACE, "probe/eth0")
NOTHING_SEEN = WindowEvidence()
SEEN_PEER = WindowEvidence(top_peers=(("10.0.0.1", 900),))
SEEN_FLOW = WindowEvidence(top_flows=(FlowEvidence("10.0.0.1", 4, "10.0.0.2", 22, 6, 1, 1, 1),))


def finding(group, entity, *, start=0, end=60, evidence=NOTHING_SEEN, **more):
    return Finding(group, "rule", entity, start, end, 6.0, Severity.ERROR, "t", (), evidence=evidence, hop_ns=10, **more)


def firing(group, entity, **more):
    explanations = Explanations()
    episode = Episode.begun_by(finding(group, entity, **more), f"{group}/{entity}")
    explanations.begin(episode)
    return explanations, episode


@pytest.mark.parametrize(
    ("source", "target", "evidence", "explained"),
    [
        (("vertical_scan", SCANNER), ("failed_connections", SCANNER), NOTHING_SEEN, True),
        (("vertical_scan", SCANNER), ("failed_connections", SCANNED), NOTHING_SEEN, False),
        (("vertical_scan", SCANNER), ("scanned", SCANNED), SEEN_PEER, True),
        (("vertical_scan", SCANNER), ("scanned", SCANNED), SEEN_FLOW, True),
        (("vertical_scan", SCANNER), ("scanned", SCANNED), NOTHING_SEEN, False),
        (("vertical_scan", SCANNER), ("segment_vertical_scan", SEGMENT), NOTHING_SEEN, True),
        (("vertical_scan", SCANNER), ("dns_tunnel", SCANNER), NOTHING_SEEN, False),
        (("vertical_scan", SCANNER), ("vertical_scan", SCANNER), NOTHING_SEEN, False),
        (("brute_force", SCANNER), ("brute_force", SCANNED), SEEN_PEER, True),
        (("device_unreachable", SWITCH), ("interface_errors", PORT), NOTHING_SEEN, True),
        (("device_unreachable", SWITCH), ("device_slow", SWITCH), NOTHING_SEEN, True),
        (("device_unreachable", SWITCH), ("volume", PORT), NOTHING_SEEN, True),
        (("device_unreachable", SWITCH), ("interface_errors", OTHER_PORT), NOTHING_SEEN, False),
        (("device_unreachable", SWITCH), ("device_unreachable", SWITCH), NOTHING_SEEN, False),
        (("snmp_broken", SWITCH), ("interface_errors", PORT), NOTHING_SEEN, True),
        (("snmp_broken", SWITCH), ("interface_down", PORT), NOTHING_SEEN, False),
        (("interface_down", PORT), ("interface_errors", PORT), NOTHING_SEEN, True),
        (("interface_down", PORT), ("interface_flapping", PORT), NOTHING_SEEN, False),
        (("syn_flood", SCANNED), ("scanned", SCANNED), NOTHING_SEEN, True),
    ],
)
def test_the_table(source, target, evidence, explained):
    """Each kind of relation explains what it should, and the nearest other thing not."""
    explanations, _ = firing(*source)
    assert explanations.explain(finding(*target, evidence=evidence)) is explained


def test_an_explanation_reaches_as_far_as_its_evidence():
    """What was last seen before the window began explains nothing in it; a condition explains while it holds."""
    explanations, _ = firing("vertical_scan", SCANNER)
    assert explanations.explain(finding("failed_connections", SCANNER, start=60, end=120))
    assert not explanations.explain(finding("failed_connections", SCANNER, start=61, end=121))
    explanations, episode = firing("interface_down", PORT, is_until_cleared=True)
    late = finding("interface_errors", PORT, start=10_000, end=10_060)
    assert explanations.explain(late)
    episode.cleared_at_ns = 9_000
    assert not explanations.explain(late)


def test_an_alert_that_ended_explains_nothing():
    """Ends are taken note of."""
    explanations, episode = firing("vertical_scan", SCANNER)
    explanations.end(episode)
    assert not explanations.explain(finding("failed_connections", SCANNER))


def test_causes_are_judged_before_what_they_explain():
    """For every pair of the table whose groups differ and which is not mutual, the source has the smaller depth."""
    explanations = Explanations()
    for inhibition in INHIBITIONS:
        for target in (inhibition.targets or frozenset()) - {inhibition.source}:
            assert explanations.depth(inhibition.source) < explanations.depth(target), (inhibition.source, target)
    assert explanations.depth("device_unreachable") == 0
    assert explanations.depth("of a model") == 1


def test_a_circle_of_explanations_has_a_depth():
    """A table with a circle is a mistake, not an endless loop."""
    circle = (Inhibition("a", Relation.SAME, frozenset({"b"})), Inhibition("b", Relation.SAME, frozenset({"a"})))
    assert Explanations(circle).depth("a") == 2

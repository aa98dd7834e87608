"""Findings of one entity and window become one."""

from dataclasses import replace

from netmote.alerts.merge import fold, merge_findings, overlaps
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Contributor, Finding, Severity
from netmote.windows.vector import Quality, WindowEvidence

HOST, OTHER = Entity(EntityKind.HOST, "10.0.0.1"), Entity(EntityKind.HOST, "10.0.0.2")
SCAN = Finding(
    "vertical_scan", "rule", HOST, 0, 60, 6.0, Severity.ERROR, "a scan", (Contributor("uniq_dport", "{port}", 1000.0, threshold=20.0),),
    technique="T1046", check="look",
)  # fmt: skip
MODEL = Finding(
    "volume", "traffic-ae", HOST, 0, 60, 9.0, Severity.CRITICAL, "unusual",
    (Contributor("uniq_dport", "{port}", 1000.0, baseline=3.0, sigma=40.0), Contributor("out_pkts_ps", "{packet}/s", 17.0, 1.0, 8.0)),
    quality=Quality.LATE, evidence=WindowEvidence(top_peers=(("10.0.0.9", 3),)),
)  # fmt: skip


def test_a_model_beside_a_rule_makes_one_finding_with_the_name_of_the_rule():
    """The rule names it; the graver severity, the greater surprise and what is usual come from the model."""
    (one,) = merge_findings([MODEL, SCAN])
    assert (one.group, one.title, one.technique, one.check) == ("vertical_scan", "a scan", "T1046", "look")
    assert (one.detector, one.severity, one.surprise, one.quality) == ("rule+traffic-ae", Severity.CRITICAL, 9.0, Quality.LATE)
    assert one.contributors == (Contributor("uniq_dport", "{port}", 1000.0, 3.0, 40.0, 20.0), MODEL.contributors[1])
    assert one.evidence == MODEL.evidence


def test_the_first_rule_in_order_takes_the_model():
    """The caller puts explaining rules first; the others stay as they are."""
    failed = replace(SCAN, group="failed_connections")
    assert merge_findings([SCAN, failed, MODEL]) == (fold(SCAN, MODEL), failed)
    assert merge_findings([failed, SCAN, MODEL]) == (fold(failed, MODEL), SCAN)


def test_a_rule_that_will_not_be_heard_swallows_no_model():
    """While the rule's alert cools down, the model speaks for itself."""
    assert merge_findings([SCAN, MODEL], can_host=lambda _: False) == (SCAN, MODEL)


def test_other_entities_and_other_times_stay_apart():
    """Merging is about one thing at one time."""
    elsewhere, later = replace(MODEL, entity=OTHER), replace(MODEL, start_ns=60, end_ns=120)
    assert merge_findings([SCAN, elsewhere, later]) == (SCAN, elsewhere, later)


def test_models_with_different_groups_stay_apart():
    """A contributor group is a cause, and causes are told each."""
    names = replace(MODEL, group="names")
    assert merge_findings([MODEL, names]) == (MODEL, names)


def test_two_models_with_the_same_group_are_one():
    """The same cause seen twice is one alert that names both."""
    (one,) = merge_findings([MODEL, replace(MODEL, detector="traffic-mahalanobis", surprise=12.0)])
    assert (one.detector, one.surprise) == ("traffic-ae+traffic-mahalanobis", 12.0)


def test_evidence_overlaps_by_more_than_a_border_and_instants_lie_in_windows_that_touch_them():
    """Two windows that only touch are two times; a fact at the end of a window belongs to it."""
    assert overlaps(SCAN, replace(SCAN, start_ns=59, end_ns=119))
    assert not overlaps(SCAN, replace(SCAN, start_ns=60, end_ns=120))
    assert overlaps(SCAN, replace(SCAN, start_ns=60, end_ns=60))
    assert not overlaps(replace(SCAN, start_ns=61, end_ns=61), SCAN)


def test_folding_twice_changes_nothing_more():
    """A detector and a feature are named once."""
    once = fold(SCAN, MODEL)
    assert fold(once, MODEL) == once

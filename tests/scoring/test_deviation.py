"""What an alert says: the features that stand out most, against this entity's own usual values, in words."""

import numpy as np
import pytest
from feature_vectors import SMALL, hosts, vectors

from netmote.scoring.baseline import Baseline
from netmote.scoring.deviation import contributors, enriched, quantity, sentence
from netmote.scoring.finding import Contributor, Finding, Severity

USUAL = np.array([1000.0, 3.0, 0.1])


@pytest.fixture
def baseline() -> Baseline:
    """An hour of a steady host."""
    learnt, random = Baseline(SMALL), np.random.default_rng(0)
    for step in range(360):
        learnt.learn(vectors(USUAL * (1.0 + 0.05 * random.standard_normal(3)), step=step), np.array([True]))
    return learnt


def test_ordered_by_distance_from_the_baseline(baseline: Baseline) -> None:
    """Many peers stand out before twice the bytes, whatever the model's contributions say."""
    told = contributors(vectors([2000.0, 200.0, 0.1]), 0, np.array([9.0, 1.0, 5.0]), baseline)
    assert [one.feature for one in told] == ["uniq_dst", "out_bytes_ps", "reset_ratio"]
    assert told[0].value == 200.0
    assert told[0].baseline == pytest.approx(3.0, rel=0.05)
    assert told[0].sigma is not None
    assert told[0].sigma > 20
    assert told[0].unit == "{address}"


def test_contributions_order_where_nothing_is_usual_yet() -> None:
    """Without a baseline the model's order holds and no baseline is invented."""
    told = contributors(vectors([2000.0, 200.0, 0.1]), 0, np.array([1.0, 2.0, 3.0]), Baseline(SMALL))
    assert [one.feature for one in told] == ["reset_ratio", "uniq_dst", "out_bytes_ps"]
    assert all(one.baseline is None and one.sigma is None for one in told)


def test_absent_features_are_never_told(baseline: Baseline) -> None:
    """A zero that stands for "not observed" is no deviation."""
    window = vectors([0.0, 200.0, 0.1], present=[[False, True, True]])
    assert "out_bytes_ps" not in [one.feature for one in contributors(window, 0, np.ones(3), baseline)]


def test_distance_is_capped(baseline: Baseline) -> None:
    """A rate from nothing to everything is told as 999 spreads, not as infinity."""
    told = contributors(vectors([1e300, 3.0, 0.1]), 0, np.ones(3), baseline)
    assert told[0].sigma == 999.0


def _finding(*given: Contributor) -> Finding:
    return Finding("port-scan", "rule", hosts(1)[0], 0, 1, 4.0, Severity.WARNING, "a scan", given)


def test_rule_findings_gain_the_usual_value(baseline: Baseline) -> None:
    """A rule's feature keeps value and threshold and gains baseline and spread; other features that stand out follow."""
    given = Contributor("uniq_dst", "{address}", 200.0, threshold=30.0)
    told = enriched(_finding(given), vectors([9000.0, 200.0, 0.1]), 0, baseline)
    assert [one.feature for one in told] == ["uniq_dst", "out_bytes_ps"]
    assert (told[0].value, told[0].threshold) == (200.0, 30.0)
    assert told[0].baseline == pytest.approx(3.0, rel=0.05)


def test_foreign_and_complete_contributors_stay(baseline: Baseline) -> None:
    """A fact's contributor, and one whose baseline the rule gave itself, are left as they are."""
    fact, own = Contributor("interface_down", "", 1.0), Contributor("uniq_dst", "{address}", 3.0, baseline=5.0)
    assert enriched(_finding(fact, own), vectors(USUAL), 0, baseline) == (fact, own)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "1", "0"),
        (0.25, "1", "0.25"),
        (1234.5, "By/s", "1,234 B/s"),
        (12.0, "{slice}/s", "12 slice/s"),
        (180.0, "{address}", "180"),
        (0.00012, "s", "1.2e-04 s"),
        (-3.14159, "bit", "-3.14 bit"),
    ],
)
def test_quantities_read_well(value: float, unit: str, text: str) -> None:
    """Units as people write them; counts and ratios without."""
    assert quantity(value, unit) == text


def test_the_sentence_holds_values_and_baselines(baseline: Baseline) -> None:
    """One sentence: who, what, how much, how much usually."""
    told = contributors(vectors([2000.0, 200.0, 0.1]), 0, np.ones(3), baseline)[:2]
    text = sentence(hosts(1)[0], told)
    assert text.startswith("host 10.0.0.1 is unlike itself: uniq dst 200 (usually 3")
    assert "out bytes ps 2,000 B/s (usually 1" in text or "out bytes ps 2,000 B/s (usually 9" in text

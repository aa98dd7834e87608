"""The line that every format shares, and how loudly it is said."""

from hostile_alerts import any_alerts, largest_alert
from hypothesis import given, settings
from sink_alerts import START, committed_alert

from netmote.alerts.alert import AlertState, Committed
from netmote.scoring.finding import Severity
from netmote.sinks.announcement import happened_at_ns, headline, priority


def test_headline() -> None:
    """State, what, of whom."""
    assert headline(committed_alert()) == "firing: 192.0.2.7 tried 412 ports of 192.0.2.1 within 60 s [host:192.0.2.7]"


@settings(max_examples=60, deadline=None)
@given(any_alerts)
def test_it_is_one_bounded_printable_line(committed: Committed) -> None:
    """Nothing that a terminal or a parser of lines would act on, whatever a device calls its ports."""
    for each in (headline(committed), headline(largest_alert())):
        assert each.isprintable()
        assert len(each) <= 500
        assert each.endswith("]")


def test_a_long_title_leaves_room_for_the_entity() -> None:
    """What is cut is marked."""
    line = headline(committed_alert(title="x" * 900))
    assert line.endswith("x… [host:192.0.2.7]")
    assert len(line) == 500


def test_good_news_is_at_most_a_notice() -> None:
    """An alert below notice keeps its severity, and so does one that fires."""
    resolved = {"state": AlertState.RESOLVED, "resolved_at_ns": START}
    assert priority(committed_alert(**resolved)) is Severity.NOTICE
    assert priority(committed_alert(severity=Severity.DEBUG, **resolved)) is Severity.DEBUG
    assert priority(committed_alert()) is Severity.CRITICAL
    assert happened_at_ns(committed_alert(**resolved)) == START

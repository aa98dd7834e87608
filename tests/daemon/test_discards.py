"""What went no further is counted in records, by place and reason."""

from daemon_legs import Legs
from observed_records import pane, reading, unreachable

from netmote.daemon.discards import records_in


def test_records_are_counted_by_stage_and_reason(legs: Legs) -> None:
    """A pane counts by its slices, everything else as one; the metric and the totals agree."""
    legs.discards.count((pane(0, ports=4), reading(0)), stage="ingest", reason="queue_full")
    legs.discards.count((reading(1),), stage="store", reason="StoreFull", is_intentional=True)
    legs.discards.count((), stage="analysis", reason="failed")
    assert legs.discards.totals == {"ingest/queue_full": 6, "store/StoreFull": 1}
    text = legs.metrics.render().decode()
    assert 'discarded_records_total{intentional="false",reason="queue_full",stage="ingest"} 6.0' in text
    assert 'discarded_records_total{intentional="true",reason="StoreFull",stage="store"} 1.0' in text


def test_an_empty_batch_is_a_record_too() -> None:
    """Its watermark is lost with it."""
    assert records_in(unreachable(1)) == 1

"""Intervals on event time and their overlap with a window."""

from hypothesis import given
from hypothesis import strategies as st

from netmote.windows.timeline import Timeline, covered_ns

intervals = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 30)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=20
)


@given(intervals, st.integers(0, 60), st.integers(1, 40))
def test_within_finds_exactly_what_overlaps(given_intervals, start, length):
    """Whatever the order of arrival and the lengths, `within` is every overlapping span, ordered by end and start."""
    timeline = Timeline()
    for at, (begin, finish) in enumerate(given_intervals):
        timeline.add(begin, finish, "s", at)
    expected = sorted((finish, begin) for begin, finish in given_intervals if begin < start + length and finish > start)
    assert [(span.end_ns, span.start_ns) for span in timeline.within(start, start + length)] == expected


@given(intervals, st.integers(0, 60))
def test_earliest_after(given_intervals, instant):
    """`earliest_after` is the least start of those that end later."""
    timeline = Timeline()
    for begin, finish in given_intervals:
        timeline.add(begin, finish, "s", None)
    assert timeline.earliest_after(instant) == min((begin for begin, finish in given_intervals if finish > instant), default=None)


@given(intervals, st.integers(0, 60))
def test_forget(given_intervals, before):
    """`forget` drops what ended at or before the instant and nothing else."""
    timeline = Timeline()
    for begin, finish in given_intervals:
        timeline.add(begin, finish, "s", None)
    timeline.forget(before)
    assert len(timeline) == sum(finish > before for _, finish in given_intervals)


@given(intervals, st.integers(0, 60), st.integers(1, 40))
def test_covered_counts_every_instant_once(given_intervals, start, length):
    """Overlapping intervals count once."""
    instants = {instant for begin, finish in given_intervals for instant in range(begin, finish)}
    assert covered_ns(given_intervals, start, start + length) == len(instants & set(range(start, start + length)))

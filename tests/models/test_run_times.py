"""Run times: a bounded window, read while it is written."""

import threading

import pytest

from netmote.models.run_times import RunTimes


def test_percentiles_are_of_the_last_runs() -> None:
    """None before the first run; then median and 99th percentile of those kept, and no older ones."""
    times = RunTimes(kept=100)
    assert times.percentiles() is None
    for _ in range(100):
        times.note(9.0)
    for milliseconds in range(1, 101):
        times.note(milliseconds / 1e3)
    median, high = times.percentiles() or (0.0, 0.0)
    assert median == pytest.approx(0.0505)
    assert high == pytest.approx(0.09901)
    assert times.total == 200


def test_one_run_is_its_own_percentiles() -> None:
    """With a single run both are its duration."""
    times = RunTimes()
    times.note(0.25)
    assert times.percentiles() == (0.25, 0.25)


def test_a_reader_gets_each_run_once_and_in_order() -> None:
    """Who remembers the total gets what came after it; who came too late gets the runs still kept."""
    times = RunTimes(kept=4)
    for seconds in (1.0, 2.0, 3.0):
        times.note(seconds)
    durations, total = times.after(1)
    assert (durations.tolist(), total) == ([2.0, 3.0], 3)
    assert times.after(total)[0].tolist() == []
    for seconds in (4.0, 5.0, 6.0):
        times.note(seconds)
    durations, total = times.after(total)
    assert (durations.tolist(), total) == ([4.0, 5.0, 6.0], 6)
    assert times.after(0)[0].tolist() == [3.0, 4.0, 5.0, 6.0]


def test_reading_beside_a_writer_loses_and_repeats_nothing() -> None:
    """Two threads: every run is read exactly once, in order."""
    times, runs = RunTimes(kept=50_000), 20_000
    writer = threading.Thread(target=lambda: [times.note(float(number)) for number in range(runs)])
    read: list[float] = []
    seen = 0
    writer.start()
    while seen < runs:
        durations, seen = times.after(seen)
        read.extend(durations.tolist())
    writer.join()
    assert read == [float(number) for number in range(runs)]


def test_nothing_kept_is_refused() -> None:
    """A window of no runs has no percentiles."""
    with pytest.raises(ValueError, match="at least 1"):
        RunTimes(kept=0)

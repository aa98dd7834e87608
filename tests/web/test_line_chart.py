"""Charts over time: points where their time and value are, gaps that stay gaps, ticks at round numbers."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.web.axis import nice_step, nice_top, time_ticks, value_ticks
from netmote.web.chart import WIDTH
from netmote.web.line_chart import HEIGHT, dot_chart, line_chart

MINUTE = 60 * 10**9
DAY = 86_400 * 10**9


def points_of(path: str) -> list[tuple[str, float, float]]:
    return [(kind, float(x), float(y)) for kind, x, y in re.findall(r"([ML])([\d.-]+) ([\d.-]+)", path)]


def test_a_line() -> None:
    """Zero lies at the bottom, the round top above the largest; a value stands in the middle of its interval."""
    chart = line_chart(
        "Traffic",
        {"eth0": {0: 0.0, MINUTE: 50.0, 2 * MINUTE: 97.0}},
        begin_ns=0,
        end_ns=10 * MINUTE,
        step_ns=MINUTE,
        unit="bit/s",
    )
    (line,) = chart.lines
    assert points_of(line.path) == [
        ("M", 50.0, HEIGHT),
        ("L", 150.0, HEIGHT / 2),
        ("L", 250.0, pytest.approx(HEIGHT * 0.03, abs=0.1)),
    ]
    assert (chart.up[-1].label, chart.up[-1].at) == ("100 bit/s", 0.0)
    assert line.largest == "97 bit/s"
    assert "eth0 at most 97 bit/s" in chart.described


def test_a_gap_is_not_bridged() -> None:
    """Where an interval has no value, or no number, the line begins anew; a single value is still drawn."""
    series = {"x": {0: 1.0, MINUTE: 1.0, 3 * MINUTE: 1.0, 4 * MINUTE: math.nan, 5 * MINUTE: 1.0}}
    chart = line_chart("x", series, begin_ns=0, end_ns=10 * MINUTE, step_ns=MINUTE, unit="1")
    assert [kind for kind, _, _ in points_of(chart.lines[0].path)] == ["M", "L", "M", "M"]
    assert chart.lines[0].path.count("h0") == 3


def test_a_limit_is_within_the_chart() -> None:
    """Also when every value lies far below it."""
    chart = line_chart("x", {"x": {0: 0.1}}, begin_ns=0, end_ns=DAY, step_ns=DAY, unit="1", limit=4.0)
    assert chart.limit == 0.0


def test_nothing_to_draw() -> None:
    """No series is no line, and said so."""
    chart = line_chart("x", {}, begin_ns=0, end_ns=DAY, step_ns=MINUTE, unit="1")
    assert chart.lines == ()
    assert "nothing was recorded" in chart.described


def test_dots_on_decades() -> None:
    """Each decade is as high as the next; what lies outside the span, or has no logarithm, is left out."""
    events = [(0, 1.0, "error", "a"), (DAY, 100.0, "warning", "b"), (DAY // 2, 0.0, "notice", "c"), (2 * DAY, 5.0, "notice", "d")]
    chart = dot_chart("x", events, begin_ns=0, end_ns=DAY, unit="1", limit=10.0)
    assert [(dot.x, dot.y, dot.kind, dot.text) for dot in chart.dots] == [
        (0.0, HEIGHT, "error", "a"),
        (WIDTH, 0.0, "warning", "b"),
    ]
    assert chart.limit == pytest.approx(HEIGHT / 2)
    assert [tick.label for tick in chart.up] == ["1", "10", "100"]
    assert dot_chart("x", [], begin_ns=0, end_ns=DAY, unit="1").dots == ()


@given(st.integers(0, 2**61), st.integers(MINUTE, 2000 * DAY))
def test_time_ticks_are_few_and_within(begin_ns: int, span: int) -> None:
    """Whatever the span: at most nine, in order, inside the chart."""
    ticks = time_ticks(begin_ns, begin_ns + span, WIDTH)
    assert len(ticks) <= 9
    assert all(0 <= tick.at <= WIDTH for tick in ticks)
    assert [tick.at for tick in ticks] == sorted(tick.at for tick in ticks)


def test_time_ticks_read_as_people_read_times() -> None:
    """Hours within a day, days beyond."""
    noon = 1_699_963_200 * 10**9  # 2023-11-14T12:00:00Z
    assert [tick.label for tick in time_ticks(noon, noon + 3 * 3_600 * 10**9, WIDTH)][:2] == ["12:00", "12:30"]
    assert [tick.label for tick in time_ticks(noon, noon + 7 * DAY, WIDTH)][:2] == ["11-15", "11-16"]


@given(st.floats(1e-9, 1e18))
def test_round_tops(value: float) -> None:
    """At or above the value, less than twice as high, with two to eight ticks of which the last is at the top."""
    top = nice_top([value, math.nan])
    assert value <= top * (1 + 1e-9)
    assert top < 2.01 * value
    ticks = value_ticks(top, "1", HEIGHT)
    assert 2 <= len(ticks) <= 9
    assert ticks[0].at == HEIGHT
    assert ticks[-1].at == pytest.approx(0.0, abs=1e-6)
    assert nice_step(value) >= value * (1 - 1e-9)

"""The geometry of charts over time, drawn as SVG on the server: lines of rates, dots of single events. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netmote.web.axis import Tick, nice_top, time_ticks, value_ticks
from netmote.web.chart import WIDTH
from netmote.web.quantity import quantity

HEIGHT = 220.0


@dataclass(frozen=True, slots=True)
class Line:
    """One series: an SVG path, and what the legend says."""

    name: str
    path: str
    number: int  # from 0: which colour
    largest: str


@dataclass(frozen=True, slots=True)
class LineChart:
    """Lines over one axis of time."""

    title: str
    lines: tuple[Line, ...]
    across: tuple[Tick, ...]  # times
    up: tuple[Tick, ...]  # values
    limit: float | None  # user units from the top, of a horizontal line
    described: str  # for who cannot see it


@dataclass(frozen=True, slots=True)
class Dot:
    """One event."""

    x: float
    y: float
    kind: str  # a class of the style sheet
    text: str


@dataclass(frozen=True, slots=True)
class DotChart:
    """Events over one axis of time; the vertical one is logarithmic."""

    title: str
    dots: tuple[Dot, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    limit: float | None
    described: str


def line_chart(
    title: str,
    series: Mapping[str, Mapping[int, float]],
    *,
    begin_ns: int,
    end_ns: int,
    step_ns: int,
    unit: str,
    limit: float | None = None,
) -> LineChart:
    """A line for each series of values by the begin of their interval; it breaks where an interval has no value."""
    values = [value for points in series.values() for value in points.values() if math.isfinite(value)]
    top = nice_top([*values, *([limit] if limit is not None else [])])
    lines = tuple(
        Line(name, _path(points, begin_ns, end_ns, step_ns, top), number, quantity(max(points.values(), default=None), unit))
        for number, (name, points) in enumerate(series.items())
    )
    return LineChart(
        title,
        lines,
        time_ticks(begin_ns, end_ns, WIDTH),
        value_ticks(top, unit, HEIGHT),
        None if limit is None else HEIGHT - HEIGHT * limit / top,
        f"{title}: " + ("; ".join(f"{line.name} at most {line.largest}" for line in lines) or "nothing was recorded"),
    )


def _path(points: Mapping[int, float], begin_ns: int, end_ns: int, step_ns: int, top: float) -> str:
    """`M x y L x y ...`, begun anew after each gap; a value alone is a dot that round ends make visible."""
    parts: list[str] = []
    before: int | None = None
    span = max(1, end_ns - begin_ns)
    for at, value in sorted(points.items()):
        if not math.isfinite(value):
            continue
        middle = min(max(at + step_ns // 2, begin_ns), end_ns)
        where = f"{WIDTH * (middle - begin_ns) / span:.1f} {HEIGHT - HEIGHT * value / top:.1f}"
        is_next = before is not None and at - before <= step_ns
        parts.append(f"L{where}" if is_next else f"M{where}h0")
        before = at
    return "".join(parts)


def dot_chart(
    title: str,
    events: Sequence[tuple[int, float, str, str]],
    *,
    begin_ns: int,
    end_ns: int,
    unit: str,
    limit: float | None = None,
) -> DotChart:
    """A dot for each event (time, value above 0, kind, text), on whole decades that hold them and the limit."""
    span = max(1, end_ns - begin_ns)
    known = [event for event in events if begin_ns <= event[0] <= end_ns and event[1] > 0 and math.isfinite(event[1])]
    values = [value for _, value, _, _ in known] + ([limit] if limit is not None else [])
    low = math.floor(math.log10(min(values))) if values else 0
    high = math.ceil(math.log10(max(values))) if values else 1
    high = max(high, low + 1)

    def y(value: float) -> float:
        return HEIGHT - HEIGHT * (math.log10(value) - low) / (high - low)

    stride = max(1, (high - low) // 5)
    return DotChart(
        title,
        tuple(Dot(round(WIDTH * (at - begin_ns) / span, 1), round(y(value), 1), kind, text) for at, value, kind, text in known),
        time_ticks(begin_ns, end_ns, WIDTH),
        tuple(Tick(y(10.0**power), quantity(10.0**power, unit)) for power in range(low, high + 1, stride)),
        None if limit is None else y(limit),
        f"{title}: {len(known)} alerts",
    )

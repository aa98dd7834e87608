"""Where the ticks of an axis stand and what is written at them. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from netmote.web.quantity import quantity

_SECOND, _MINUTE, _HOUR, _DAY = 10**9, 60 * 10**9, 3_600 * 10**9, 86_400 * 10**9
_TIME_STEPS = (
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * _DAY for days in (1, 2, 7, 14, 28, 91, 182, 364)),
)


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across the chart and its label."""

    at: float  # user units from the left, or from the top
    label: str


def time_ticks(begin_ns: int, end_ns: int, length: float, *, most: int = 8) -> tuple[Tick, ...]:
    """Round times of UTC between two instants, at most `most`."""
    span = max(1, end_ns - begin_ns)
    step = next((step for step in _TIME_STEPS if span / step <= most), _TIME_STEPS[-1])
    first = -(-begin_ns // step) * step
    form = "%m-%d" if step >= _DAY else "%H:%M" if span <= _DAY else "%m-%d %H:%M"
    return tuple(
        Tick(length * (at - begin_ns) / span, datetime.fromtimestamp(at // _SECOND, UTC).strftime(form))
        for at in range(first, end_ns + 1, step)
    )


def value_ticks(top: float, unit: str, height: float) -> tuple[Tick, ...]:
    """From 0 at the bottom to `top`, in steps of 1, 2 or 5 times a power of ten."""
    step = nice_step(top / 4)
    count = math.floor(top / step + 1e-9)
    return tuple(Tick(height - height * (number * step / top), quantity(number * step, unit)) for number in range(count + 1))


def nice_top(values: Sequence[float]) -> float:
    """A round number at or above the largest; 1 when there is nothing above zero."""
    largest = max((value for value in values if math.isfinite(value)), default=0.0)
    if largest <= 0:
        return 1.0
    step = nice_step(largest / 4)
    return math.ceil(largest / step - 1e-9) * step


def nice_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least` (> 0)."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= least * (1 - 1e-9))

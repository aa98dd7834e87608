"""A model in shadow beside the one in use: both judge the same windows, only one of them may alert, and this keeps the count.

Counts windows of entities where both make a claim (armed, good window); what one knows and the other not yet proves nothing.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TrialStatus:
    """What a trial has shown so far."""

    name: str
    active_version: str
    shadow_version: str
    windows: int  # entity windows that both judged
    expected: float  # alerts by chance in so many: the sum of the limit p
    active_alerts: int
    shadow_alerts: int
    both_alerts: int
    began_ns: int  # event time of the first window both judged; 0 before
    ended_ns: int  # of the last one
    failure: str | None  # why the shadow is out of use; None in use

    @property
    def agreement(self) -> float | None:
        """Share of windows about which both say the same; None before the first."""
        if not self.windows:
            return None
        return 1.0 - (self.active_alerts + self.shadow_alerts - 2 * self.both_alerts) / self.windows

    @property
    def seconds(self) -> float:
        """Event time from the first to the last window."""
        return (self.ended_ns - self.began_ns) / 1e9

    @property
    def keeps_budget(self) -> bool:
        """Whether the shadow's alerts can be chance at the limit: at most the 97.5 % point of Poisson(expected)."""
        return self.shadow_alerts <= poisson_point(self.expected)


def poisson_point(mean: float, share: float = 0.975) -> int:
    """The smallest count that Poisson(`mean`) does not exceed with probability `share`; from 700 on by the normal approximation."""
    if mean > 700.0:  # exp(-mean) would be no number any more
        return math.ceil(mean + 1.959964 * math.sqrt(mean))
    probability = total = math.exp(-mean)
    count = 0
    while total < share:
        count += 1
        probability *= mean / count
        total += probability
    return count


class ShadowTrial:
    """One pair of models of one name. Pure counting; `state`/`restore` carry it over a restart."""

    def __init__(self, name: str, *, active_version: str, shadow_version: str) -> None:
        self.name, self.active_version, self.shadow_version = name, active_version, shadow_version
        self.failure: str | None = None
        self._windows = self._active = self._shadow = self._both = 0
        self._expected = 0.0
        self._began_ns = self._ended_ns = 0

    def note(self, end_ns: int, active: NDArray[np.float64], shadow: NDArray[np.float64], *, alpha: float) -> None:
        """Take in one window: the surprise of each entity by both, (entities,), NaN without a claim; `alpha`: the limit p."""
        judged = ~np.isnan(active) & ~np.isnan(shadow)
        count = int(judged.sum())
        if not count:
            return
        limit = -math.log10(alpha)
        by_active, by_shadow = active[judged] >= limit, shadow[judged] >= limit
        self._windows += count
        self._expected += count * alpha
        self._active += int(by_active.sum())
        self._shadow += int(by_shadow.sum())
        self._both += int((by_active & by_shadow).sum())
        self._began_ns = self._began_ns or end_ns
        self._ended_ns = max(self._ended_ns, end_ns)

    def status(self) -> TrialStatus:
        return TrialStatus(
            name=self.name,
            active_version=self.active_version,
            shadow_version=self.shadow_version,
            windows=self._windows,
            expected=self._expected,
            active_alerts=self._active,
            shadow_alerts=self._shadow,
            both_alerts=self._both,
            began_ns=self._began_ns,
            ended_ns=self._ended_ns,
            failure=self.failure,
        )

    def state(self) -> dict[str, Any]:
        """The counts, as JSON values."""
        return {
            "active_version": self.active_version,
            "shadow_version": self.shadow_version,
            "counts": [self._windows, self._active, self._shadow, self._both],
            "expected": self._expected,
            "between_ns": [self._began_ns, self._ended_ns],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a `state` of the same pair; one of another pair is not ours and changes nothing. Raises ValueError on damage."""
        try:
            if (state["active_version"], state["shadow_version"]) != (self.active_version, self.shadow_version):
                return
            windows, active, shadow, both = map(int, state["counts"])
            began_ns, ended_ns = map(int, state["between_ns"])
            expected = float(state["expected"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the state of a trial: {error}") from error
        self._windows, self._active, self._shadow, self._both = windows, active, shadow, both
        self._began_ns, self._ended_ns, self._expected = began_ns, ended_ns, expected

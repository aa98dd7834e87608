"""How often an agent reads its interface counters anew, learnt from when they change. Pure, on the agent's own clock.

Agents do not read their hardware for every request: net-snmp does so every 3 s, others every 5 to 30 s. Polled more often than that, a
steady 1.0 MB/s reads as 0, 0, 3.0. The refreshes of such an agent lie on a grid; each change of a counter says that one refresh lies
between the poll before and this one, and the grids that fit all of these bounds give the period.

    period not known     each poll is compared with the one before (LIVE)
    no refresh since     nothing new can be said (HELD)
    refresh              what was counted over so many whole periods (FRESH)
    off the grid, or after a gap: no claim, and the next refresh is compared with this poll (REBASED)

An agent that is asked less often than it refreshes changes at every poll: its period cannot be seen, and is not needed.
Refuses ports: a device is taken to refresh all of its rows at once. Where its cards do so one by one something changes at every poll, and
nothing is learnt.
"""

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

LONGEST_PERIOD_SECONDS = 60.0
MOST_CHANGES = 64  # remembered
LEAST_CHANGES, LEAST_STILLS = 16, 3  # polls with and without a change, before a period is believed
PRECISION = 0.02  # a period is believed when it is known this well
# A change of fewer packets than this proves nothing: on a quiet line they come one by one, as rarely as a slow agent refreshes.
LEAST_PACKETS = 20
# How far a refresh may stray from the grid: timers of agents wait for their work, sysUpTime counts hundredths.
SLOP_SECONDS = 0.05
OFF_GRID_RATIO = 0.25  # of the period; further away is another rhythm
IDLE_PERIODS = 1.5  # without a change: the refresh has passed and found nothing new
_FAULTS = 3  # in so many of the last changes the grid is given up
_FAULTS_OF = 10


class Freshness(Enum):
    """What a poll shows."""

    LIVE = auto()
    HELD = auto()
    FRESH = auto()
    REBASED = auto()


@dataclass(frozen=True, slots=True)
class Refresh:
    """How a poll is to be read. `seconds` is what FRESH counters were counted over; 0 for the others."""

    freshness: Freshness
    seconds: float = 0.0


_LIVE, _HELD, _REBASED = Refresh(Freshness.LIVE), Refresh(Freshness.HELD), Refresh(Freshness.REBASED)


class RefreshPeriod:
    """One agent's period. Time is the agent's own, in seconds; it begins anew with `interrupted`."""

    def __init__(self, seconds: float | None = None) -> None:
        """`seconds` is a period that was learnt before; it is given up like any other when it does not fit."""
        self.seconds = seconds  # the period; None while it is not known
        self._now = 0.0
        self._changes: deque[tuple[int, float, float]] = deque(maxlen=MOST_CHANGES)  # number of refresh, after, until
        self._stills: deque[bool] = deque(maxlen=MOST_CHANGES)  # before each change, whether a poll showed none
        self._is_still = False  # since the last change
        self._last_refresh: float | None = None  # when it was, as the grid has it
        self._base = 0.0  # when the poll was that the next FRESH one is compared with
        self._faults: deque[bool] = deque(maxlen=_FAULTS_OF)
        self._is_doubted = False  # the grid was found not to fit, and may have drifted only

    def interrupted(self) -> Refresh:
        """A poll that cannot be compared: the first, after a restart, or of other rows. The period stays, the grid does not."""
        self._changes.clear()
        self._stills.clear()
        self._faults.clear()
        self._is_doubted = False
        self._is_still, self._last_refresh, self._base = False, None, self._now
        return _LIVE if self.seconds is None else _REBASED

    def observe(self, elapsed: float, *, has_moved: bool, packets: int) -> Refresh:
        """A poll, `elapsed` seconds after the one before; `packets` is the most that any port counted since."""
        after = self._now
        self._now += elapsed
        if self.seconds is None:
            self._learn(after, has_moved=has_moved, packets=packets)
            return _LIVE
        if not has_moved:
            return self._still(self.seconds)
        return self._moved(after, self.seconds)

    def _learn(self, after: float, *, has_moved: bool, packets: int) -> None:
        if not has_moved:
            self._is_still = True
            return
        if packets < LEAST_PACKETS:
            self.interrupted()
            return
        number = self._changes[-1][0] + 1 if self._changes else 0
        self._remember(number, after)
        if len(self._changes) < LEAST_CHANGES or sum(self._stills) < LEAST_STILLS:
            return
        grid = self._fit()
        if grid is None:
            self.interrupted()
            return
        period, precision, phase = grid
        if precision <= PRECISION and period <= LONGEST_PERIOD_SECONDS:
            self.seconds, self._last_refresh, self._base = period, phase + number * period, self._now

    def _remember(self, number: int, after: float) -> None:
        self._changes.append((number, after, self._now))
        self._stills.append(self._is_still)
        self._is_still = False

    def _still(self, period: float) -> Refresh:
        self._is_still = True
        if self._last_refresh is None or self._now - self._last_refresh < IDLE_PERIODS * period:
            return _HELD
        # It has refreshed and nothing had happened. What the grid passed is told; the next change is counted from here.
        self._last_refresh += math.floor((self._now - self._last_refresh) / period) * period
        seconds, self._base = self._now - self._base, self._now
        return Refresh(Freshness.FRESH, seconds)

    def _moved(self, after: float, period: float) -> Refresh:
        last, self._base = self._last_refresh, self._now
        if last is None or self._now - after >= period:  # which of several refreshes it was cannot be told
            self._last_refresh = (after + self._now) / 2 if last is None else self._latest(last, period)
            self._changes.clear()
            self._stills.clear()
            self._remember(0, after)
            return _REBASED
        number, stray = self._number(after - last, self._now - last, period)
        is_off = number < 1 or stray > OFF_GRID_RATIO * period
        self._faults.append(is_off)
        if is_off:
            if sum(self._faults) >= _FAULTS:
                self.seconds = None
                self.interrupted()
            return _REBASED
        self._last_refresh = min(max(last + number * period, after), self._now)
        self._remember((self._changes[-1][0] if self._changes else 0) + number, after)
        self._refine()
        return Refresh(Freshness.FRESH, number * period)

    @staticmethod
    def _number(after: float, until: float, period: float) -> tuple[int, float]:
        """Which refresh since the last one lies between these bounds, in seconds since that, and how far outside of them.

        The next one, unless another fits better by far: where the poll interval comes near the period the bounds hold two at times.
        """
        strays = {
            number: max(after - number * period, number * period - until, 0.0)
            for number in {0, 1, math.floor(until / period), math.ceil(after / period)}
        }
        number = min(strays, key=lambda each: (strays[each] + (each != 1) * OFF_GRID_RATIO * period, each))
        return number, strays[number]

    def _latest(self, last: float, period: float) -> float:
        return last + math.floor((self._now - last) / period) * period

    def _refine(self) -> None:
        if len(self._changes) < LEAST_CHANGES:
            return
        grid = self._fit()
        if grid is None:  # it drifted, and what is old no longer fits; or it never was one
            if self._is_doubted:
                self.seconds = None
                self.interrupted()
                return
            self._is_doubted = True
            for _ in range(len(self._changes) // 2):
                self._changes.popleft()
            return
        self._is_doubted = False
        period, precision, phase = grid
        if precision <= PRECISION:
            self.seconds, self._last_refresh = period, phase + self._changes[-1][0] * period

    def _fit(self) -> tuple[float, float, float] | None:
        """Period, how well it is known (relative), and the time of refresh 0, of the grids on which every change lies."""
        numbers, after, until = np.array(self._changes, float).T
        steps = numbers[None, :] - numbers[:, None]
        is_later = steps > 0
        steps = np.where(is_later, steps, 1.0)
        least = float(np.where(is_later, (after[None, :] - until[:, None] - SLOP_SECONDS) / steps, 0.0).max())
        most = float(np.where(is_later, (until[None, :] - after[:, None] + SLOP_SECONDS) / steps, np.inf).min())
        if least > most:
            return None
        period = (least + most) / 2
        phase = float((after - numbers * period).max() + (until - numbers * period).min()) / 2
        return period, (most - least) / 2 / period, phase

"""The degradation ladder as values: how much of netmote works, and why not all of it. Decides nothing, does no I/O.

Components report; the worst report is the level. An input that fails alone reports `Level.FULL` with a reason: the ladder
stays where it is (analysis and models work), but the agent is degraded and says so.
"""

import threading
from dataclasses import dataclass
from enum import StrEnum

from netmote.clock import Clock


class Level(StrEnum):
    """What still works, from everything to the least."""

    FULL = "full"  # rules and models
    RULES = "rules"  # no usable model
    COLLECT = "collect"  # analysis cannot run; records are stored
    LEDGER = "ledger"  # disk nearly full; only alerts are stored

    @property
    def depth(self) -> int:
        """Rungs below `full`: 0 to 3."""
        return tuple(Level).index(self)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a component does not do all it could."""

    component: str
    text: str  # one sentence: what is wrong and, where known, what helps
    since_ns: int  # wall time, UTC
    level: Level = Level.FULL  # the rung this reason alone would put the agent on


class Health:
    """The reasons in force, one a component. Callable from any thread: each call holds a lock for a dictionary access."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reasons: dict[str, Reason] = {}

    def degrade(self, component: str, level: Level, text: str) -> bool:
        """Record that a component is degraded. Returns whether that is news; a known reason keeps its time."""
        with self._lock:
            known = self._reasons.get(component)
            if known is not None and (known.level, known.text) == (level, text):
                return False
            since_ns = known.since_ns if known is not None and known.level is level else self._clock.now_ns()
            self._reasons[component] = Reason(component, text, since_ns, level)
            return True

    def recover(self, component: str) -> bool:
        """Forget a component's reason. Returns whether there was one."""
        with self._lock:
            return self._reasons.pop(component, None) is not None

    @property
    def level(self) -> Level:
        """The deepest rung any reason names."""
        return max((reason.level for reason in self.reasons), key=lambda level: level.depth, default=Level.FULL)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Deepest rung first, then by component."""
        with self._lock:
            reasons = tuple(self._reasons.values())
        return tuple(sorted(reasons, key=lambda reason: (-reason.level.depth, reason.component)))

    @property
    def is_degraded(self) -> bool:
        """Whether anything at all does not work."""
        return bool(self._reasons)

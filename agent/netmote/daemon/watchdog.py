"""The service manager's watchdog, fed by progress and not by a timer: only when each leg has turned, or rightly rests."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from netmote.daemon.service_notify import ServiceNotify


@dataclass(frozen=True, slots=True)
class Turn:
    """How far a leg has come."""

    count: int  # rises with its work
    may_rest: bool  # whether it may stand still now: nothing waits for it, or it is being restarted with back-off


class Watchdog:
    """Looks at legs. A leg that hangs with work before it starves the watchdog, and the service manager restarts the agent."""

    def __init__(self, notify: ServiceNotify, legs: Mapping[str, Callable[[], Turn]]) -> None:
        self._notify, self._legs = notify, dict(legs)
        self._seen: dict[str, int] = {}

    def look(self) -> tuple[str, ...]:
        """Feed when all legs turn. Returns those that do not."""
        turns = {name: turn() for name, turn in self._legs.items()}
        stuck = tuple(name for name, turn in turns.items() if not turn.may_rest and self._seen.get(name) == turn.count)
        self._seen = {name: turn.count for name, turn in turns.items()}
        if not stuck:
            self._notify.watchdog()
        return stuck

    async def run(self, interval: float) -> None:
        """Look every `interval` seconds until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(interval)

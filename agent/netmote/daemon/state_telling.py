"""When a sink whose receiver forgets has to be told again what is active, and what that is: the ledger's word, asked each time.

For every other sink it does nothing. Nothing is kept here but the time of the last telling, so that a restart begins by telling all.
"""

import math

from netmote.clock import Clock
from netmote.sinks.sink import Sink, StateSink
from netmote.store.store import Store


class StateTelling:
    """The telling of one sink; used by the task that delivers to it, so that the sink does one thing at a time."""

    def __init__(self, sink: Sink, store: Store, *, clock: Clock) -> None:
        self._sink = sink if isinstance(sink, StateSink) else None
        self._store, self._clock = store, clock
        self._due = 0.0  # on the monotonic clock

    def begin(self) -> None:
        """Delivery starts: the sink is told all, as soon as it is open."""
        self._due = self._clock.monotonic()

    @property
    def seconds_until_due(self) -> float:
        """Infinite for a sink that needs no telling."""
        return math.inf if self._sink is None else self._due - self._clock.monotonic()

    @property
    def is_due(self) -> bool:
        return self.seconds_until_due <= 0

    async def learn(self) -> None:
        """Before rows are delivered: what they have become."""
        if self._sink is not None:
            now_ns = self._clock.now_ns()
            rows = await self._store.active_revisions()
            # A revision carries what was silenced when it was made; a silence made since holds at once.
            silences = [each for each in await self._store.silences() if each.ends_at_ns > now_ns]
            await self._sink.learn(
                [row for row in rows if not (row.alert.is_silenced or any(each.matches(row.alert, now_ns) for each in silences))]
            )

    async def tell_if_due(self) -> None:
        """Tell everything that is active, when it is time. Raises Retryable, and is then due at once."""
        if self._sink is not None and self.is_due:
            await self.learn()
            await self._sink.resend()
            self._due = self._clock.monotonic() + self._sink.resend_interval

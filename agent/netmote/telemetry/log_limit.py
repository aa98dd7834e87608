"""The same log line over and over is held back, counted, and the count is said. Bounded: a table of recent messages."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from netmote.clock import Clock
from netmote.telemetry.log_format import component


@dataclass(slots=True)
class _Seen:
    began: float  # monotonic seconds
    count: int = 0  # in the interval that then began
    held_back: int = 0  # not yet said


class RepeatLimit(logging.Filter):
    """Lets `burst` lines alike through per `interval` seconds. Alike: same logger, level, template and component.

    The first line of the next interval carries `held_back=N`. `drain` tells what no later line told.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        burst: int = 10,
        interval: float = 60.0,
        max_messages: int = 500,
        on_held_back: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._burst, self._interval, self._max_messages = burst, interval, max_messages
        self._on_held_back = on_held_back
        self._seen: OrderedDict[tuple[str, int, str, str], _Seen] = OrderedDict()
        self._untold = 0  # held back under messages that have left the table
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, record.levelno, str(record.msg), component(record))
        now = self._clock.monotonic()
        with self._lock:
            seen = self._seen.pop(key, None) or _Seen(now)
            if now - seen.began >= self._interval:
                seen.began, seen.count = now, 0
            self._seen[key] = seen  # the latest stands last
            if len(self._seen) > self._max_messages:
                self._untold += self._seen.popitem(last=False)[1].held_back
            seen.count += 1
            if seen.count > self._burst:
                seen.held_back += 1
                passes = False
            else:
                passes = True
                if seen.held_back:
                    record.held_back = seen.held_back
                    seen.held_back = 0
        if not passes:
            self._on_held_back()
        return passes

    def drain(self) -> int:
        """How many lines were held back and not told by a later line; they count as told from now on."""
        with self._lock:
            untold = self._untold + sum(seen.held_back for seen in self._seen.values())
            self._untold = 0
            for seen in self._seen.values():
                seen.held_back = 0
            return untold

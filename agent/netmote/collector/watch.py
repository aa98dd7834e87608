"""Who is alive: three missed heartbeats, and two machines that speak under one name. Pure; time comes in as monotonic seconds.

A *process* is one start of a sensor: its ledger epoch and the instant it gives as its start. The one heard of first most lately is
the current one. Two live at once when an older one beats after a newer one had begun to: a cloned card, a restored snapshot, a
machine that was replaced but not switched off. A sensor that was reflashed falls silent under its old epoch, which is no alarm.
"""

from dataclasses import dataclass

MISSED = 3
"""So many heartbeats may be missing before a sensor counts as silent."""

_GRACE = 0.5  # of an interval, at most the seconds below: the last of them may be on its way
_GRACE_SECONDS = 5.0
_REMEMBERED = 10  # intervals for which an older process is remembered
_MOST_PROCESSES = 8  # of one sensor


@dataclass(slots=True)
class _Process:
    epoch: str
    started_at: str
    interval: float  # seconds
    first: float  # monotonic
    last: float
    is_heard: bool = True  # False: known from before the collector's own start

    def missed(self, now: float) -> int:
        """Heartbeats that should have come since the last."""
        late = now - self.last - min(_GRACE * self.interval, _GRACE_SECONDS)
        return max(0, int(late / self.interval))


@dataclass(frozen=True, slots=True)
class Liveness:
    """How a sensor is at one moment."""

    state: str  # live, late (one or two missed), silent, waiting (not heard since the collector began)
    missed: int
    silent_seconds: float  # since the last heartbeat, or since the collector began
    interval_seconds: float
    epoch: str  # of the current process
    others: tuple[str, ...] = ()  # epochs (or the same one again) under which another machine lives at this moment


class Watch:
    """Heartbeats as they came, bounded by the sensors the ledger takes."""

    def __init__(self) -> None:
        self._processes: dict[str, list[_Process]] = {}

    def know(self, sensor: str, epoch: str, *, started_at: str, interval: float, now: float) -> None:
        """A sensor of before the collector's start: it has from now on as long as any other to be heard."""
        if sensor not in self._processes:
            self._processes[sensor] = [_Process(epoch, started_at, interval, now, now, is_heard=False)]

    def beat(self, sensor: str, epoch: str, *, started_at: str, interval: float, now: float) -> None:
        """A heartbeat came."""
        processes = self._processes.setdefault(sensor, [])
        for process in processes:
            if (process.epoch, process.started_at) == (epoch, started_at):
                process.interval, process.last, process.is_heard = interval, now, True
                return
        kept = [each for each in processes if now - each.last <= _REMEMBERED * each.interval]
        self._processes[sensor] = [*kept[-(_MOST_PROCESSES - 1) :], _Process(epoch, started_at, interval, now, now)]

    def all(self, now: float) -> list[tuple[str, Liveness]]:
        """Every sensor that ever sent a heartbeat."""
        return [(sensor, known) for sensor in self._processes if (known := self.liveness(sensor, now)) is not None]

    def liveness(self, sensor: str, now: float) -> Liveness | None:
        """None: it never sent a heartbeat."""
        processes = self._processes.get(sensor)
        if not processes:
            return None
        current = processes[-1]
        missed = current.missed(now)
        state = "silent" if missed >= MISSED else "waiting" if not current.is_heard else "late" if missed else "live"
        others = tuple(each.epoch for each in processes[:-1] if each.last > current.first and each.missed(now) < MISSED)
        return Liveness(state, missed, now - current.last, current.interval, current.epoch, others)

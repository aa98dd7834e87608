"""How each sensor stands: alive or silent, what is missing of it, and what to ask it for. Pure: the books and the watch in, values out.

A number is *missing* when a heartbeat's books reach over it (judged) and it neither came nor was withheld: ask the sensor to send it
again. It is *open* when no books reach that far back: perhaps it never was for us.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from netmote.collector.ledger import Life
from netmote.collector.runs import Runs, common, count, joined, without
from netmote.collector.watch import Liveness, Watch

_MOST_SHOWN = 100  # gaps of one life; `missing_total` counts them all


@dataclass(frozen=True, slots=True)
class LifeStanding:
    """One (sensor, epoch)."""

    epoch: str
    is_current: bool
    first_heard_ns: int
    last_heard_ns: int
    events: int
    duplicates: int
    conflicts: int
    given_up: int
    last_seq: int  # the highest number known, come or announced
    received_total: int
    withheld_total: int
    missing_total: int
    missing: Runs  # the oldest ones, bounded
    open_total: int


@dataclass(frozen=True, slots=True)
class SensorStanding:
    """One sensor, by name."""

    sensor: str
    state: str  # live, late, silent, waiting, unknown (it sends no heartbeats)
    missed_heartbeats: int
    silent_seconds: float | None
    interval_seconds: float | None
    also_live: tuple[str, ...]  # epochs under which another machine lives now
    level: str  # of the degradation ladder, as last said
    reasons: tuple[str, ...]
    version: str
    config_hash: str
    rules_hash: str
    models: tuple[str, ...]
    is_clock_synchronised: bool | None
    clock_offset_seconds: float | None
    queued: int | None
    drops: dict[str, int]
    lives: tuple[LifeStanding, ...]  # the latest heard first

    @property
    def missing_total(self) -> int:
        return sum(life.missing_total for life in self.lives)

    @property
    def is_well(self) -> bool:
        """Whether nobody has to do anything."""
        is_sound = not self.also_live and not self.missing_total and not any(life.conflicts for life in self.lives)
        return is_sound and self.state in ("live", "waiting", "unknown") and self.level in ("", "full") and not self.reasons

    def to_document(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "missing_total": self.missing_total, "is_well": self.is_well}


def standings(lives: Sequence[Life], watch: Watch, now: float) -> list[SensorStanding]:
    """Every sensor, by name. `lives` as the ledger gives them: by sensor, the latest heard first. `now` is monotonic."""
    by_sensor: dict[str, list[Life]] = {}
    for life in lives:
        by_sensor.setdefault(life.sensor, []).append(life)
    return [_standing(sensor, of_sensor, watch.liveness(sensor, now)) for sensor, of_sensor in sorted(by_sensor.items())]


def _standing(sensor: str, lives: Sequence[Life], liveness: Liveness | None) -> SensorStanding:
    current = lives[0] if liveness is None else next((life for life in lives if life.epoch == liveness.epoch), lives[0])
    said = _document(current.beat)
    clock = _part(said, "clock")
    return SensorStanding(
        sensor=sensor,
        state="unknown" if liveness is None else liveness.state,
        missed_heartbeats=0 if liveness is None else liveness.missed,
        silent_seconds=None if liveness is None else liveness.silent_seconds,
        interval_seconds=None if liveness is None else liveness.interval_seconds,
        also_live=() if liveness is None else liveness.others,
        level=_word(said.get("level")),
        reasons=tuple(f"{_word(each.get('component'))}: {_word(each.get('text'))}" for each in _parts(said, "reasons")),
        version=_word(said.get("version")),
        config_hash=_word(said.get("config_hash")),
        rules_hash=_word(said.get("rules_hash")),
        models=tuple(f"{_word(each.get('name'))} {_word(each.get('version'))}" for each in _parts(said, "models")),
        is_clock_synchronised=clock.get("is_synchronised") if isinstance(clock.get("is_synchronised"), bool) else None,
        clock_offset_seconds=_number(clock.get("offset_seconds")),
        queued=said["queued"] if isinstance(said.get("queued"), int) else None,
        drops={place: total for place, total in sorted(_part(said, "drops").items()) if isinstance(total, int)},
        lives=tuple(_life(life, is_current=life is current) for life in lives),
    )


def _life(life: Life, *, is_current: bool) -> LifeStanding:
    settled = joined((*life.received, *life.withheld))
    missing = without(life.judged, settled)
    last_judged = life.judged[-1][1] if life.judged else 0
    until_judged: Runs = ((1, last_judged),) if last_judged else ()
    return LifeStanding(
        epoch=life.epoch,
        is_current=is_current,
        first_heard_ns=life.first_heard_ns,
        last_heard_ns=life.last_heard_ns,
        events=life.events,
        duplicates=life.duplicates,
        conflicts=life.conflicts,
        given_up=life.given_up,
        last_seq=max((runs[-1][1] for runs in (life.received, life.judged) if runs), default=0),
        received_total=count(life.received),
        withheld_total=count(without(common(life.withheld, until_judged), life.received)),
        missing_total=count(missing),
        missing=missing[:_MOST_SHOWN],
        open_total=count(without(until_judged, joined((*settled, *life.judged)))),
    )


def _document(beat: bytes | None) -> dict[str, Any]:
    return {} if beat is None else dict(json.loads(beat))  # an object: the intake let no other in


def _part(document: dict[str, Any], key: str) -> dict[str, Any]:
    part = document.get(key)
    return part if isinstance(part, dict) else {}


def _parts(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    parts = document.get(key)
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

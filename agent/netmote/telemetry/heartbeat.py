"""A sign of life for upstream: what a sensor says of itself each minute, so that its silence is an alarm.

Frozen values, nothing that gathers them (the daemon does) or encodes them (the sinks do). A heartbeat is not stored and not
repeated: the next one says more. What is not known is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from netmote.telemetry.health import Level, Reason


@dataclass(frozen=True, slots=True)
class Withheld:
    """Numbers that this sink's receiver will never get, from `first` to `last`, both included."""

    first: int
    last: int
    reason: str  # silenced, quarantined, expired, before_registration


@dataclass(frozen=True, slots=True)
class SinkBooks:
    """How far one sink got. Up to `settled_seq` every number was delivered to it or stands in `withheld`: the rest is a gap."""

    settled_seq: int
    queued: int
    withheld: tuple[Withheld, ...] = ()  # the latest ones, bounded
    withheld_from: int = 0  # below this number `withheld` is no longer whole
    last_seq: int = 0  # the last number the ledger gave, at the same instant


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One model bundle in use."""

    name: str
    version: str
    content_hash: str  # sha256, hexadecimal


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One beat to one sink."""

    sensor: str
    ledger_epoch: str
    number: int  # 1 is the first since the start
    interval_seconds: float  # when to expect the next one
    at_ns: int  # wall time, UTC
    started_at_ns: int  # wall time, UTC
    version: str  # of netmote
    level: Level
    reasons: tuple[Reason, ...]
    config_hash: str  # sha256, hexadecimal
    rules_hash: str  # sha256, hexadecimal
    models: tuple[LoadedModel, ...]
    last_seq: int  # the last number this ledger gave
    books: SinkBooks
    clock_offset_seconds: float | None = None  # local minus reference, as the kernel's discipline estimates it (adjtimex)
    is_clock_synchronised: bool | None = None  # adjtimex: not STA_UNSYNC
    drops: Mapping[str, int] = field(default_factory=dict)  # since the start, by "place:reason"

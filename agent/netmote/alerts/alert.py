"""The alert: one frozen value per revision of one episode, with its canonical encoding and its place in the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from netmote.records.entity import Entity
from netmote.scoring.finding import Contributor, Severity
from netmote.windows.vector import Quality, WindowEvidence


class AlertState(StrEnum):
    """States of Prometheus' alert life. Inactive and pending are never stored as revisions."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """One revision. `fingerprint` is stable for ever, `alert_id` per episode, (`alert_id`, `revision`) per announcement."""

    alert_id: str  # UUID, derived from fingerprint and start: the same evidence gives the same id after a crash or in replay
    revision: int  # from 1; a CloudEvents id is `<alert_id>/<revision>`
    fingerprint: str  # 32 hexadecimal digits over sensor, group and entity
    state: AlertState  # FIRING or RESOLVED
    group: str
    detector: str
    entity: Entity
    severity: Severity
    title: str
    score: float  # 1 - p, 0..1
    surprise: float  # -log10 p
    started_at_ns: int  # event time: the first window in which it held
    fired_at_ns: int  # event time: when `for` was satisfied
    last_seen_ns: int  # event time: the last window in which it held
    resolved_at_ns: int | None
    count: int  # windows or facts in which it held during this episode
    window_start_ns: int
    window_end_ns: int
    contributors: tuple[Contributor, ...]
    technique: str | None = None
    check: str = ""
    quality: Quality = Quality.GOOD
    coverage: float = 1.0
    loss_ratio: float = 0.0
    evidence: WindowEvidence = WindowEvidence()
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    is_silenced: bool = False  # stored and shown, not forwarded

    @property
    def event_id(self) -> str:
        """The CloudEvents id: the same for every resend of this revision."""
        return f"{self.alert_id}/{self.revision}"


@dataclass(frozen=True, slots=True)
class Committed:
    """An alert revision that is durable in the ledger. (`sensor`, `ledger_epoch`, `seq`) is unique in the world."""

    sensor: str
    ledger_epoch: str
    seq: int  # strictly increasing per revision within the epoch
    committed_at_ns: int  # wall time
    alert: Alert
    is_clock_synchronised: bool | None = None  # whether wall time could be believed when it was committed; None: not known


@dataclass(frozen=True, slots=True)
class Silence:
    """Matching alerts are stored and shown but not forwarded, until it ends."""

    silence_id: str
    created_at_ns: int
    ends_at_ns: int
    reason: str
    group: str | None = None  # None matches every group
    entity: Entity | None = None  # None matches every entity

    def matches(self, alert: Alert, now_ns: int) -> bool:
        """Whether the silence covers this alert at that event time."""
        return self.covers(alert.group, alert.entity, now_ns)

    def covers(self, group: str, entity: Entity, now_ns: int) -> bool:
        """Whether the silence covers alerts of this group and entity at that event time."""
        return self.created_at_ns <= now_ns < self.ends_at_ns and self.group in (None, group) and self.entity in (None, entity)

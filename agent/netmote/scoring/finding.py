"""Scores and findings: what scoring hands to alerts."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from netmote.records.entity import Entity
from netmote.windows.vector import Quality, WindowEvidence


class Severity(IntEnum):
    """Severity of RFC 5424 section 6.2.1: low is grave."""

    EMERGENCY = 0
    ALERT = 1
    CRITICAL = 2
    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFORMATIONAL = 6
    DEBUG = 7

    @property
    def word(self) -> str:
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Severity":
        """The severity of that name. Raises ValueError naming the allowed words."""
        try:
            return cls[word.upper()]
        except KeyError:
            allowed = ", ".join(member.word for member in cls)
            raise ValueError(f"{word!r} is not a severity; allowed: {allowed}") from None


@dataclass(frozen=True, slots=True)
class Contributor:
    """One feature (or fact) that drove a score, with what was usual for this entity."""

    feature: str
    unit: str
    value: float
    baseline: float | None = None  # the usual value of this entity, same unit; None while unknown
    sigma: float | None = None  # how many robust standard deviations off; None while unknown
    threshold: float | None = None  # a rule's limit, when it was a rule


@dataclass(frozen=True, slots=True, eq=False)
class ScoreBatch:
    """The scores of one detector over one window's entities."""

    detector: str
    schema_name: str
    start_ns: int
    end_ns: int
    entities: tuple[Entity, ...]
    surprise: NDArray[np.float64]  # (entities,): -log10 p; NaN = no claim (learning, or a window that is not good)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth an alert in one window (or at one instant), before deduplication."""

    group: str  # rule id, or the contributor group of a model: with the entity it identifies the alert
    detector: str  # "rule" or the model's name
    entity: Entity
    start_ns: int
    end_ns: int  # event time of the evidence
    surprise: float  # -log10 p
    severity: Severity
    title: str  # one sentence with the values in it
    contributors: tuple[Contributor, ...]
    technique: str | None = None  # MITRE ATT&CK technique id
    check: str = ""  # what the operator should look at
    for_ns: int = 0  # how long it must hold before it fires
    keep_firing_for_ns: int = 0  # how long it stays firing after it last held
    is_until_cleared: bool = False  # a condition: firing until a `Cleared` of the same group and entity comes, not by time
    quality: Quality = Quality.GOOD
    coverage: float = 1.0
    loss_ratio: float = 0.0
    evidence: WindowEvidence = WindowEvidence()
    hop_ns: int = 0  # the next window in which it could hold ends this much later; 0 = unknown, or found at an instant

    @property
    def score(self) -> float:
        """1 - p, 0..1, high is anomalous."""
        return float(1.0 - 10.0 ** -min(max(self.surprise, 0.0), 300.0))


@dataclass(frozen=True, slots=True)
class Cleared:
    """A condition ended: resolves the alert of that group and entity."""

    group: str
    entity: Entity
    time_ns: int  # event time

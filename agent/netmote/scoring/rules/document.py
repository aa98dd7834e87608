"""What a rule file may say: the shape of the YAML, checked by pydantic. Names of features and units are checked by the loader."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from netmote.config.section import Duration, Section
from netmote.records.entity import EntityKind
from netmote.records.fact import CONDITIONS, OCCURRENCES
from netmote.scoring.finding import Severity

Over = Literal["traffic", "interface", "device", "sensor", "fact"]
Threshold = float | str
_SUBJECTS = ("all", "any", "not", "feature", "ratio", "brief_slices_on_ports")
_BASELINE_LIMITS = ("above_baseline_sigma", "below_baseline_sigma")
_LIMITS = ("above", "below", *_BASELINE_LIMITS)


class Condition(Section):
    """One node of `when`: exactly one of all, any, not, feature, ratio, brief_slices_on_ports.

    Something that was not observed is neither true nor false: it can make no rule fire, not even through `not`.
    """

    all: tuple["Condition", ...] | None = None
    """Every one of these holds."""

    any: tuple["Condition", ...] | None = None
    """At least one of these holds."""

    not_: "Condition | None" = Field(default=None, alias="not")
    """This does not hold."""

    feature: str | None = None
    """A feature of the schema named by `over`, `loss_ratio` or `coverage` of the window, or `value` of a fact."""

    ratio: tuple[str | tuple[str, ...], str | tuple[str, ...]] | None = None
    """Two features, or lists of features to add up: the first divided by the second."""

    brief_slices_on_ports: tuple[int, ...] | None = None
    """Flow slices on these responder ports without those of long flows, as far as both are among the busiest of the window."""

    above: Threshold | None = None
    """Holds when the value is greater than this."""

    below: Threshold | None = None
    """Holds when the value is less than this."""

    clear_below: Threshold | None = None
    """Hysteresis of `above`: once raised, holds until the value is less than this."""

    clear_above: Threshold | None = None
    """Hysteresis of `below`: once raised, holds until the value is greater than this."""

    above_baseline_sigma: float | None = Field(default=None, gt=0.0)
    """Holds when the value is this many robust standard deviations above the entity's own; not known without a baseline."""

    below_baseline_sigma: float | None = Field(default=None, gt=0.0)
    """Holds when the value is this many robust standard deviations below the entity's own; not known without a baseline."""

    @model_validator(mode="after")
    def _has_one_subject(self) -> "Condition":
        subjects = [name for name in _SUBJECTS if getattr(self, "not_" if name == "not" else name) is not None]
        limits = [name for name in _LIMITS if getattr(self, name) is not None]
        if len(subjects) != 1:
            given = f" (given: {', '.join(subjects)})" if subjects else ""
            raise ValueError(f"a condition holds exactly one of {', '.join(_SUBJECTS)}{given}")
        if () in (self.all, self.any, self.brief_slices_on_ports):
            raise ValueError(f"{subjects[0]!r} is empty; it needs at least one entry")
        is_comparison = subjects[0] not in ("all", "any", "not")
        if is_comparison and not limits:
            raise ValueError(f"{subjects[0]!r} needs a limit: one of {', '.join(_LIMITS)}")
        if not is_comparison and (limits or self.clear_above is not None or self.clear_below is not None):
            raise ValueError(f"{subjects[0]!r} joins conditions and has no limit of its own; write the limit beside a feature")
        if self.clear_below is not None and self.above is None:
            raise ValueError("'clear_below' needs 'above'")
        if self.clear_above is not None and self.below is None:
            raise ValueError("'clear_above' needs 'below'")
        for limit in _BASELINE_LIMITS:
            if getattr(self, limit) is not None and self.feature is None:
                raise ValueError(f"{limit!r} compares a single feature; there is no baseline of a ratio or of ports")
        if self.above_baseline_sigma is not None and self.below_baseline_sigma is not None:
            raise ValueError(
                "a value is not above and below what is usual at once; write one of them, or two conditions under 'any'"
            )
        return self


class Rule(Section):
    """One rule: what must hold, of what, for how long, and what an operator is told."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{2,63}$")
    """Stable for ever: with the entity it identifies the alert, silences name it."""

    title: str = Field(min_length=1, max_length=200)
    """One sentence; {feature}, {name}, {entity}, {window}, for facts {value} and {annotations} stand for values.

    A ratio is written as percent with `:%`, as in {utilization_ratio:%}.
    """

    severity: str
    """emergency, alert, critical, error, warning, notice, informational or debug (RFC 5424)."""

    over: Over
    """The kind of window the rule looks at, or `fact`."""

    technique: str | None = Field(default=None, pattern=r"^T[0-9]{4}(\.[0-9]{3})?$")
    """MITRE ATT&CK technique id, such as T1046."""

    entity: tuple[EntityKind, ...] | None = None
    """Only entities of these kinds; absent: all that have such windows."""

    fact: str | None = None
    """Of `over: fact`: the name of the fact. A condition fires until it is cleared, an occurrence once."""

    when: Condition | None = None
    """What must hold. Facts may be without."""

    for_: Duration = Field(default=0.0, ge=0.0, le=86400.0, alias="for")
    """How long it must hold without a gap before the alert fires."""

    keep_firing_for: Duration = Field(default=120.0, ge=0.0, le=86400.0)
    """How long the alert goes on firing after it last held; for a condition, after it was cleared (default there: at once)."""

    coverage: Threshold = 0.0
    """Observed share of the window that is needed; what is missing can look like silence."""

    max_loss: Threshold = 1.0
    """Share of lost packets above which the rule stays silent. Below it, a window with loss makes the severity one milder."""

    exempt: tuple[str | int, ...] = ()
    """Addresses, networks or entities (`interface:sw1/Gi0/1`) the rule does not look at; for facts with a port also ports."""

    per_value: bool = False
    """Of occurrences: each value is an alert of its own, with the value in its group (`new_listener/8080`)."""

    check: str = ""
    """What an operator should look at first."""

    @field_validator("severity")
    @classmethod
    def _is_severity(cls, word: str) -> str:
        return Severity.of(word).word

    @field_validator("entity", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("fact")
    @classmethod
    def _is_fact(cls, name: str | None) -> str | None:
        if name is not None and name not in CONDITIONS + OCCURRENCES:
            raise ValueError(f"{name!r} is not a fact; allowed: {', '.join(CONDITIONS + OCCURRENCES)}")
        return name

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Rule":
        if self.over == "fact":
            if self.fact is None:
                raise ValueError("a rule over facts names one: 'fact' is missing")
            if self.for_ and not self.is_until_cleared:
                raise ValueError(
                    f"{self.fact!r} happens once, so 'for' cannot be satisfied; only conditions last: {', '.join(CONDITIONS)}"
                )
            if self.per_value and self.is_until_cleared:
                raise ValueError(
                    f"{self.fact!r} is a condition: its value only says whether it holds, so 'per_value' has no meaning"
                )
        elif self.fact is not None or self.per_value:
            raise ValueError(f"'fact' and 'per_value' need 'over: fact', not 'over: {self.over}'")
        elif self.when is None:
            raise ValueError("'when' is missing: a rule over windows needs a condition")
        return self

    @property
    def is_until_cleared(self) -> bool:
        """Whether its alert fires until the condition ends, not by time."""
        return self.fact in CONDITIONS

    @property
    def keep_firing_for_seconds(self) -> float:
        """As written; a condition that says nothing ends at once."""
        if self.is_until_cleared and "keep_firing_for" not in self.model_fields_set:
            return 0.0
        return self.keep_firing_for


class RuleFile(Section):
    """A file of rules."""

    rules: tuple[Rule, ...] = ()
    """The rules, in any order."""

"""All rules that are in force, evaluated over windows and facts. Pure apart from hysteresis, which `state`/`restore` carry.

What loss does to a finding, so that a bad mirror port raises no false scan or flood: a window whose loss is above the rule's
`max_loss` raises nothing (ratios of answers and the direction of flows mean little in it); a window marked LOSS or CLOCK_STEP
below that makes the severity one milder. Counts and rates are lower bounds under loss, so those rules keep `max_loss` at 1.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from netmote.records.entity import Entity
from netmote.records.fact import CONDITIONS, Fact, FactBatch
from netmote.scoring.config import ScoringConfig
from netmote.scoring.deviation import MOST_SIGMA
from netmote.scoring.finding import Cleared, Contributor, Finding, Severity
from netmote.scoring.known_assets import KnownAsset
from netmote.scoring.rules.binding import BoundRule, fact_schema
from netmote.scoring.rules.condition import Comparison, FeatureValue, Frame, Mask, comparisons
from netmote.scoring.rules.document import Rule
from netmote.scoring.rules.loader import load_rules
from netmote.scoring.usual import Usual
from netmote.windows.vector import Quality, VectorBatch, WindowEvidence

# Surprise of every finding of a rule, -log10 p: certain enough to stand above any threshold of a model (one false window in
# a million), finite so that fusion can weigh it.
RULE_SURPRISE = 6.0
_STATE_VERSION = 1
# A raised mark of an entity that has not been seen for this many windows is forgotten.
_FORGET_WINDOWS = 10
_MILDER = Quality.LOSS | Quality.CLOCK_STEP


class RuleSet:
    """The rules in force. One instance per analysis; not to be shared between threads."""

    def __init__(self, bound: Sequence[BoundRule]) -> None:
        self._bound = tuple(bound)
        self._over: dict[str, list[BoundRule]] = {}
        for each in self._bound:
            self._over.setdefault(each.rule.over, []).append(each)
        self._raised: dict[str, dict[Entity, int]] = {}

    @classmethod
    def load(cls, paths: Sequence[str], *, disabled: Collection[str] = (), known_assets: Sequence[KnownAsset] = ()) -> "RuleSet":
        """Rules of these files and directories (`builtin`: the shipped ones). Raises ConfigError with every problem at once."""
        return cls(load_rules(paths, disabled=disabled, known_assets=known_assets))

    @classmethod
    def configured(cls, config: ScoringConfig) -> "RuleSet":
        """The rules of a configuration. Raises ConfigError with every problem at once."""
        return cls.load(config.rules, disabled=config.disabled_rules, known_assets=config.known_assets)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The documents of the rules in force."""
        return tuple(bound.rule for bound in self._bound)

    @property
    def hash(self) -> str:
        """SHA-256 over everything the rules say, independent of files and their order."""
        documents = sorted((rule.model_dump(mode="json", by_alias=True) for rule in self.rules), key=lambda each: str(each["id"]))
        return hashlib.sha256(json.dumps(documents, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def evaluate(
        self,
        vectors: VectorBatch,
        *,
        usual: Callable[[VectorBatch], Usual] | None = None,
        evidence: Callable[[Entity], WindowEvidence] | None = None,
    ) -> tuple[Finding, ...]:
        """What the rules over this schema find in one window, in canonical order (entity, then rule as loaded).

        `usual` tells what baselines knew before this window, and is asked only where a rule compares with them; `evidence` gives
        the busiest ports of an entity's window. Conditions on what is not given are not known, and do not hold.
        """
        if not vectors.entities:
            return ()
        frame = Frame(vectors, usual, evidence)
        findings = [finding for bound in self._over.get(vectors.schema.name, []) for finding in self._evaluate_rule(bound, frame)]
        return tuple(sorted(findings, key=lambda finding: finding.entity))

    def evaluate_facts(self, batch: FactBatch) -> tuple[tuple[Finding, ...], tuple[Cleared, ...]]:
        """What the rules over facts make of a batch: findings, and the ends of conditions."""
        findings: list[Finding] = []
        cleared: list[Cleared] = []
        for fact in batch.facts:
            for bound in self._over.get("fact", []):
                rule = bound.rule
                if rule.fact != fact.name or not _is_of_kind(rule, fact.entity):
                    continue
                if fact.name in CONDITIONS and fact.value == 0:
                    cleared.append(Cleared(_fact_group(rule, fact), fact.entity, fact.time_ns))
                elif _is_wanted(bound, fact):
                    findings.append(_fact_finding(bound, fact))
        return tuple(findings), tuple(cleared)

    def state(self) -> bytes:
        """What hysteresis has raised, for the checkpoint."""
        raised = {rule_id: {str(entity): seen_ns for entity, seen_ns in marks.items()} for rule_id, marks in self._raised.items()}
        return json.dumps({"state_version": _STATE_VERSION, "raised": raised}, sort_keys=True, separators=(",", ":")).encode()

    def restore(self, state: bytes) -> None:
        """Inverse of `state`; marks of rules that are no longer in force are dropped. Raises ValueError when it is no such state."""
        try:
            document = json.loads(state)
            if document["state_version"] != _STATE_VERSION:
                raise ValueError(
                    f"rule state version {document['state_version']!r} is not understood; this version reads {_STATE_VERSION}"
                )
            in_force = {bound.rule.id for bound in self._bound}
            self._raised = {
                rule_id: {Entity.parse(entity): int(seen_ns) for entity, seen_ns in marks.items()}
                for rule_id, marks in document["raised"].items()
                if rule_id in in_force
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the state of a rule set: {type(error).__name__} {error}") from error

    def _evaluate_rule(self, bound: BoundRule, frame: Frame) -> Iterator[Finding]:
        vectors, condition = frame.vectors, bound.condition
        assert condition is not None, "a rule over windows has a condition"
        wanted = self._wanted(bound, vectors)
        if not wanted.any():
            return
        marks = self._raised.get(bound.rule.id, {})
        raised = np.array([entity in marks for entity in vectors.entities], bool) if marks else np.zeros(len(wanted), bool)
        truth = condition.evaluate(frame, raised, wanted)
        holds = truth.holds & wanted
        self._mark(bound, vectors, raised=(holds | (raised & ~truth.known)) & wanted)
        if not holds.any():
            return
        parts = [
            (part, *part.value.read(frame, holds), part.evaluate(frame, raised, holds).holds) for part in comparisons(condition)
        ]
        for row in np.flatnonzero(holds):
            contributors = [
                _contributor(part, float(values[row]), frame, int(row)) for part, values, _, is_true in parts if is_true[row]
            ]
            yield _finding(bound, vectors, int(row), _distinct(contributors))

    @staticmethod
    def _wanted(bound: BoundRule, vectors: VectorBatch) -> Mask:
        wanted = (vectors.coverage >= bound.coverage) & (vectors.loss_ratio <= bound.max_loss)
        if bound.rule.entity is not None or bound.exemptions.networks or bound.exemptions.entities:
            for row, entity in enumerate(vectors.entities):
                if wanted[row] and (not _is_of_kind(bound.rule, entity) or bound.exemptions.covers(entity)):
                    wanted[row] = False
        return wanted

    def _mark(self, bound: BoundRule, vectors: VectorBatch, *, raised: Mask) -> None:
        """Remember which entities hysteresis holds up. Only rules with a `clear_` limit have such marks."""
        condition = bound.condition
        if condition is None or not _has_hysteresis(bound):
            return
        marks = self._raised.setdefault(bound.rule.id, {})
        for row, entity in enumerate(vectors.entities):
            if raised[row]:
                marks[entity] = vectors.end_ns
            else:
                marks.pop(entity, None)
        oldest_ns = vectors.end_ns - _FORGET_WINDOWS * (vectors.end_ns - vectors.start_ns)
        for entity in [entity for entity, seen_ns in marks.items() if seen_ns < oldest_ns]:
            del marks[entity]


def _has_hysteresis(bound: BoundRule) -> bool:
    parts = () if bound.condition is None else tuple(comparisons(bound.condition))
    return any(part.clear_below is not None or part.clear_above is not None for part in parts)


def _is_of_kind(rule: Rule, entity: Entity) -> bool:
    return rule.entity is None or entity.kind in rule.entity


def _is_wanted(bound: BoundRule, fact: Fact) -> bool:
    if bound.exemptions.covers(fact.entity) or fact.value in bound.exemptions.ports:
        return False
    if bound.condition is None:
        return True
    one = np.ones(1, bool)
    vectors = VectorBatch(
        schema=fact_schema(fact.name),
        start_ns=fact.time_ns,
        end_ns=fact.time_ns,
        entities=(fact.entity,),
        values=np.array([[fact.value]]),
        present=one.reshape(1, 1),
        coverage=np.ones(1),
        quality=np.zeros(1, np.uint8),
        loss_ratio=np.zeros(1),
    )
    return bool(bound.condition.evaluate(Frame(vectors), ~one, one).holds[0])


def _fact_group(rule: Rule, fact: Fact) -> str:
    return f"{rule.id}/{fact.value:g}" if rule.per_value else rule.id


def _fact_finding(bound: BoundRule, fact: Fact) -> Finding:
    annotations = ", ".join(f"{key} {value}" for key, value in sorted(fact.annotations.items()))
    words = {"name": fact.entity.name, "entity": str(fact.entity), "window": "", "annotations": annotations}
    unit = fact_schema(fact.name).features[0].unit
    return Finding(
        group=_fact_group(bound.rule, fact),
        detector="rule",
        entity=fact.entity,
        start_ns=fact.time_ns,
        end_ns=fact.time_ns,
        surprise=RULE_SURPRISE,
        severity=bound.severity,
        title=bound.title.render(words, {"value": fact.value}),
        contributors=(Contributor(fact.name, unit, fact.value),),
        technique=bound.rule.technique,
        check=bound.rule.check,
        for_ns=bound.for_ns,
        keep_firing_for_ns=bound.keep_firing_for_ns,
        is_until_cleared=bound.rule.is_until_cleared,
    )


def _finding(bound: BoundRule, vectors: VectorBatch, row: int, contributors: tuple[Contributor, ...]) -> Finding:
    entity = vectors.entities[row]
    quality = Quality(int(vectors.quality[row]))
    seconds = (vectors.end_ns - vectors.start_ns) / 1e9
    observed = {
        name: float(vectors.values[row, column]) for name, column in vectors.schema.index.items() if vectors.present[row, column]
    }
    return Finding(
        group=bound.rule.id,
        detector="rule",
        entity=entity,
        start_ns=vectors.start_ns,
        end_ns=vectors.end_ns,
        surprise=RULE_SURPRISE,
        severity=Severity(min(bound.severity + 1, Severity.DEBUG)) if quality & _MILDER else bound.severity,
        title=bound.title.render({"name": entity.name, "entity": str(entity), "window": f"{seconds:g} s"}, observed),
        contributors=contributors,
        technique=bound.rule.technique,
        check=bound.rule.check,
        for_ns=bound.for_ns,
        keep_firing_for_ns=bound.keep_firing_for_ns,
        quality=quality,
        coverage=float(vectors.coverage[row]),
        loss_ratio=float(vectors.loss_ratio[row]),
        hop_ns=vectors.schema.hop_ns,
    )


def _contributor(part: Comparison, value: float, frame: Frame, row: int) -> Contributor:
    baseline = sigma = None
    # What was usual is told here only where the rule asked for it; scoring adds it to the others.
    if part.has_baseline and isinstance(part.value, FeatureValue) and frame.usual is not None:
        baseline = float(frame.usual.centre[row, part.value.column])
        sigma = float(np.clip(frame.usual.deviation[row, part.value.column], -MOST_SIGMA, MOST_SIGMA))
    threshold = part.above if part.above is not None else part.below
    return Contributor(part.value.name, part.value.unit, value, baseline, sigma, threshold)


def _distinct(contributors: Sequence[Contributor]) -> tuple[Contributor, ...]:
    """The first of each feature: a rule may name one several times, with limits that widen."""
    first: dict[str, Contributor] = {}
    for contributor in contributors:
        first.setdefault(contributor.feature, contributor)
    return tuple(first.values())

"""One window's vectors through every model: scores, calibrated surprise, fusion with what the rules found, findings.

    vectors -> detectors -> calibration per entity -> fusion with rule findings -> scores and findings

A detector in shadow sees the same windows and learns its own calibration, but finds nothing: its trial beside the one in use is
counted, and whoever is promoted is armed already.

Owns the detectors' failures: no exception of a detector leaves this room. A detector that fails twice in a row on one window
(an exception, or a score that is not a number) is taken out of use with its reason, and the rules go on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from netmote.clock import NANOSECONDS_PER_SECOND
from netmote.records.entity import Entity, EntityKind
from netmote.scoring import fusion
from netmote.scoring.baseline import Baseline
from netmote.scoring.calibration import Calibration, Readiness
from netmote.scoring.config import ScoringConfig
from netmote.scoring.contributor_family import family_of
from netmote.scoring.detector import Detector
from netmote.scoring.deviation import contributors, enriched, sentence
from netmote.scoring.finding import Finding, ScoreBatch, Severity
from netmote.scoring.score_watch import STUCK_AFTER, ScoreWatch
from netmote.scoring.shadow_trial import ShadowTrial, TrialStatus
from netmote.scoring.state_bytes import pack, unpack
from netmote.scoring.stateful_detector import StatefulDetector
from netmote.scoring.usual import Usual
from netmote.windows.schema import FeatureSchema
from netmote.windows.schemas import ALL
from netmote.windows.vector import Quality, VectorBatch

KEEP_FIRING_NS = 60 * NANOSECONDS_PER_SECOND
# Critical needs this many of an entity's last five windows: one odd window is never critical by a model alone.
PERSISTENT = 3
LAST_FIVE = 0b11111
# Windows with p at or below this never train anything (calibration's own cut).
EXCLUSION = 2e-4


@dataclass(frozen=True, slots=True)
class DetectorStatus:
    """What `netmote status` says of one detector."""

    name: str
    schema_name: str
    cold: int  # entities without a p-value yet
    learning: int  # entities with p-values and no alerts yet
    armed: int
    alpha: float  # p at or below which a window alerts, at present
    last_p: float | None  # smallest p of the last window, None while nobody is armed
    evicted: int  # entities forgotten because others needed the room
    failure: str | None  # why it is out of use; None in use
    version: str = ""
    is_shifted: bool = False  # far more low p-values than by chance


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """What a detector said of the windows it could judge."""

    positions: NDArray[np.intp]  # (judged,): which entities, ascending
    raw: NDArray[np.float64]  # (judged,)
    contribution: NDArray[np.float64]  # (judged, features)


class ModelScoring:
    """Scores windows with every detector bound to their schema. Pure: the answer depends on the windows alone."""

    def __init__(
        self,
        detectors: Sequence[Detector],
        config: ScoringConfig,
        *,
        shadows: Sequence[Detector] = (),
        max_entities: int = 1_000,
    ) -> None:
        """`shadows`: at most one other version of each detector. `max_entities` bounds baselines and each calibration; the entity seen
        longest ago is forgotten.
        """
        for given in (detectors, shadows):
            names = [detector.name for detector in given]
            if len(set(names)) != len(names):
                raise ValueError(f"two detectors of one name: {', '.join(sorted(names))}")
        self._config, self._max_entities = config, max_entities
        self._detectors = {detector.name: detector for detector in detectors}
        # A shadow of what is not in use, or of other features, has nothing to be measured against.
        self._shadows = {
            shadow.name: shadow
            for shadow in shadows
            if shadow.name in self._detectors and shadow.schema.hash == self._detectors[shadow.name].schema.hash
        }
        self._trials = {
            name: ShadowTrial(name, active_version=self._detectors[name].version, shadow_version=shadow.version)
            for name, shadow in self._shadows.items()
        }
        self._calibrations = {name: self._new_calibration() for name in self._detectors}
        self._shadow_calibrations = {name: self._new_calibration() for name in self._shadows}
        self._baselines: dict[str, Baseline] = {}  # by schema hash
        self._stored_baselines: dict[str, bytes] = {}  # restored, and their schema not seen since
        self._recent: dict[str, dict[Entity, int]] = {name: {} for name in self._detectors}  # bit per window, newest lowest
        self._watches = {name: ScoreWatch() for name in self._detectors}
        self._failures: dict[str, str] = {}
        self._last_p: dict[str, float | None] = dict.fromkeys(self._detectors)

    @property
    def failures(self) -> Mapping[str, str]:
        """Detectors out of use, with the reason."""
        return dict(self._failures)

    @property
    def alpha(self) -> float:
        """The p-value at or below which a window alerts: the budget shared among all armed entities and their windows."""
        windows = 0.0
        for name, detector in self._detectors.items():
            per_day = fusion.SECONDS_PER_DAY * NANOSECONDS_PER_SECOND / detector.schema.hop_ns
            windows += self._calibrations[name].counts()[Readiness.ARMED] * per_day
        return fusion.alpha(self._config.alerts_per_day, max(windows, 1.0))

    def usual(self, vectors: VectorBatch) -> Usual:
        """What is usual for each entity of a window. Before `evaluate` of that window: as known from the windows before it."""
        return self._baseline_of(vectors.schema).usual(vectors)

    def evaluate(
        self, vectors: VectorBatch, rule_findings: Sequence[Finding] = ()
    ) -> tuple[tuple[ScoreBatch, ...], tuple[Finding, ...]]:
        """Score one window of one schema.

        Returns the scores of each detector (surprise NaN where it makes no claim) and the findings: every rule finding given, in
        order, with the fused surprise and its features against the entity's baseline, then those of the models. A model finds
        something only where no rule did, the entity is armed, the window is good and the fused p is at most alpha.
        Rule findings of other entities come back with the surprise of a fact alone.
        """
        position = {entity: index for index, entity in enumerate(vectors.entities)}
        ruled = np.zeros(len(vectors.entities), bool)
        deviating = ruled.copy()
        for finding in rule_findings:
            index = position.get(finding.entity)
            if index is not None:
                ruled[index] = True
                # Only a rule that compared with the baseline gives a distance by itself.
                deviating[index] |= any(told.sigma is not None for told in finding.contributors)
        good = vectors.quality == Quality.GOOD
        baseline = self._baseline_of(vectors.schema)
        limit = self.alpha
        scores: list[ScoreBatch] = []
        model_findings: list[Finding] = []
        models = np.full(len(vectors.entities), np.nan)
        for name, detector in self._detectors.items():
            if detector.schema.hash != vectors.schema.hash or name in self._failures:
                continue
            answer = self._ask(detector, vectors)
            if isinstance(answer, str):
                self._failures[name] = answer
                continue
            claim = self._calibrate(self._calibrations[name], vectors, answer, good, ~ruled)
            highest = float(np.fmax.reduce(claim)) if len(claim) else np.nan
            self._last_p[name] = None if np.isnan(highest) else float(10.0**-highest)
            watch = self._watches[name]
            watch.note(vectors.values[answer.positions], answer.raw, claim)
            if watch.is_stuck:
                self._failures[name] = f"gave one and the same score for {STUCK_AFTER} different windows"
                continue
            self._try_shadow(name, vectors, claim, good=good, unruled=~ruled, alpha=limit)
            scores.append(ScoreBatch(name, vectors.schema.name, vectors.start_ns, vectors.end_ns, vectors.entities, claim))
            models = np.fmax(models, claim)
            fused = fusion.fuse(self._config.fusion, np.where(ruled, np.nan, 0.0), claim)
            low = np.nan_to_num(fused) >= -np.log10(limit)
            self._remember(name, vectors.entities, low)
            suspects = np.flatnonzero(low & ~ruled)
            model_findings.extend(self._finding(vectors, int(i), float(fused[i]), name, answer) for i in suspects)
        found = tuple(self._fused(finding, position, models, vectors, limit) for finding in rule_findings)
        baseline.learn(vectors, good & ~ruled & ~(10.0**-models <= EXCLUSION))
        baseline.renew(vectors, deviating)
        return tuple(scores), found + tuple(model_findings)

    def accept(self, entity: Entity) -> None:
        """The operator accepts what this entity does now as normal: learn it anew."""
        self._take_up_baselines()
        for _, calibration in self._calibrated():
            calibration.forget(entity)
        for baseline in self._baselines.values():
            baseline.forget(entity)

    def forget(self, entity: Entity) -> bool:
        """Drop everything about it for good. Returns whether anything was known."""
        self._take_up_baselines()
        known = any(entity in calibration.entities for _, calibration in self._calibrated())
        known |= any(entity in baseline.entities for baseline in self._baselines.values())
        for held in self._recent.values():
            known |= held.pop(entity, None) is not None
        for key, stored in tuple(self._stored_baselines.items()):
            # Of a schema of another version, kept in case it comes back: it cannot be taken apart here.
            if str(entity) in unpack(stored)[0].get("entities", ()):
                del self._stored_baselines[key]
                known = True
        self.accept(entity)
        return known

    def accept_device(self, device: Entity) -> None:
        """Learn a device and all of its ports anew: another one stands in its place."""
        prefix = f"{device.name}/"
        known: set[Entity] = set()
        for _, calibration in self._calibrated():
            known.update(calibration.entities)
        for baseline in self._baselines.values():
            known.update(baseline.entities)
        for entity in known:
            if entity == device or (entity.kind is EntityKind.INTERFACE and entity.name.startswith(prefix)):
                self.accept(entity)

    def status(self) -> tuple[DetectorStatus, ...]:
        alpha = self.alpha
        lines = []
        for name, detector in self._detectors.items():
            calibration = self._calibrations[name]
            counts = calibration.counts()
            lines.append(
                DetectorStatus(
                    name=name,
                    schema_name=detector.schema.name,
                    cold=counts[Readiness.COLD],
                    learning=counts[Readiness.LEARNING],
                    armed=counts[Readiness.ARMED],
                    alpha=alpha,
                    last_p=self._last_p[name],
                    evicted=calibration.evicted,
                    failure=self._failures.get(name),
                    version=detector.version,
                    is_shifted=self._watches[name].is_shifted,
                )
            )
        return tuple(lines)

    def trials(self) -> tuple[TrialStatus, ...]:
        """What the models in shadow have shown."""
        return tuple(trial.status() for trial in self._trials.values())

    def state(self) -> bytes:
        """Calibrations, baselines, persistence bits and what stateful detectors remember. Failures are not state: a restart tries again."""
        parts = {f"baseline/{name}": blob for name, blob in self._stored_baselines.items()}
        for detector, calibration in self._calibrated():
            parts[f"calibration/{_key(detector)}"] = calibration.state()
            if isinstance(detector, StatefulDetector):
                parts[f"detector/{_key(detector)}"] = detector.state()
        parts |= {f"baseline/{key}": baseline.state() for key, baseline in self._baselines.items()}
        recent = {name: {str(entity): bits for entity, bits in held.items()} for name, held in self._recent.items()}
        trials = {name: trial.state() for name, trial in self._trials.items()}
        return pack(
            {"version": 2, "recent": recent, "trials": trials},
            {name: np.frombuffer(part, np.uint8) for name, part in parts.items()},
        )

    def restore(self, blob: bytes) -> None:
        """Inverse of `state`, for the detectors and schemas that still exist; the others are dropped, new ones begin cold.

        Raises ValueError on damaged bytes; the object is then to be thrown away.
        """
        head, arrays = unpack(blob)
        if head.get("version") != 2:
            raise ValueError(f"state version {head.get('version')!r} is not known")
        for detector, calibration in self._calibrated():
            stored = arrays.get(f"calibration/{_key(detector)}")
            if stored is None:
                continue
            calibration.restore(stored.tobytes())
            memory = arrays.get(f"detector/{_key(detector)}")
            if memory is not None and isinstance(detector, StatefulDetector):
                detector.restore(memory.tobytes())
        for name in self._detectors:
            self._recent[name] = {Entity.parse(text): int(bits) for text, bits in head["recent"].get(name, {}).items()}
        for name, trial in self._trials.items():
            if name in head["trials"]:
                trial.restore(head["trials"][name])
        self._stored_baselines = {
            key.removeprefix("baseline/"): array.tobytes() for key, array in arrays.items() if key.startswith("baseline/")
        }
        self._baselines = {}

    def _take_up_baselines(self) -> None:
        """Those that wait for the first window of their schema, as far as there are such windows."""
        for schema in ALL:
            if schema.hash in self._stored_baselines:
                self._baseline_of(schema)

    def _baseline_of(self, schema: FeatureSchema) -> Baseline:
        key = schema.hash
        baseline = self._baselines.get(key)
        if baseline is None:
            baseline = self._baselines[key] = Baseline(schema, max_entities=self._max_entities)
            stored = self._stored_baselines.pop(key, None)
            if stored is not None:
                baseline.restore(stored)
        return baseline

    def _new_calibration(self) -> Calibration:
        return Calibration(max_entities=self._max_entities, exclusion=EXCLUSION)

    def _calibrated(self) -> Iterator[tuple[Detector, Calibration]]:
        for name, detector in self._detectors.items():
            yield detector, self._calibrations[name]
        for name, shadow in self._shadows.items():
            yield shadow, self._shadow_calibrations[name]

    def _try_shadow(
        self,
        name: str,
        vectors: VectorBatch,
        active: NDArray[np.float64],
        *,
        good: NDArray[np.bool_],
        unruled: NDArray[np.bool_],
        alpha: float,
    ) -> None:
        """Let the shadow of a detector judge the window that the detector judged. Nothing it does or fails to do is felt outside."""
        trial = self._trials.get(name)
        if trial is None or trial.failure is not None:
            return
        answer = self._ask(self._shadows[name], vectors)
        if isinstance(answer, str):
            trial.failure = answer
            return
        claim = self._calibrate(self._shadow_calibrations[name], vectors, answer, good, unruled)
        trial.note(vectors.end_ns, np.where(unruled, active, np.nan), claim, alpha=alpha)

    def _ask(self, detector: Detector, vectors: VectorBatch) -> _Answer | str:
        """Ask a detector, once more after a failure; the reason after the second."""
        whole = vectors.present.all(axis=1) | bool(getattr(detector, "handles_missing", False))
        positions = np.flatnonzero(whole)
        batch = _rows_of(vectors, positions)
        reason = ""
        for _ in range(2):
            try:
                raw, contribution = detector.score(batch)
            except Exception as error:  # noqa: BLE001 - a detector may be anybody's model; the reason is kept and shown
                reason = f"{type(error).__name__}: {error}"
                continue
            if raw.shape != (len(positions),) or contribution.shape != (len(positions), len(vectors.schema)):
                reason = f"answered shapes {raw.shape} and {contribution.shape}"
            elif np.isfinite(raw).all() and np.isfinite(contribution).all():
                return _Answer(positions, raw, contribution)
            else:
                reason = "gave a score that is not a finite number"
        return reason

    def _calibrate(
        self,
        calibration: Calibration,
        vectors: VectorBatch,
        answer: _Answer,
        good: NDArray[np.bool_],
        unruled: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """The surprise of every entity, NaN where the detector makes no claim; then learn."""
        at = answer.positions
        entities = [vectors.entities[index] for index in at]
        armed = calibration.armed(entities)
        surprise = calibration.observe(entities, answer.raw, (good & unruled)[at])
        claim = np.full(len(vectors.entities), np.nan)
        claim[at] = np.where(armed & good[at], surprise, np.nan)
        return claim

    def _remember(self, name: str, entities: Sequence[Entity], low: NDArray[np.bool_]) -> None:
        recent = self._recent[name]
        for entity, is_low in zip(entities, low.tolist(), strict=True):
            bits = recent.pop(entity, 0)
            if bits or is_low:
                bits = (bits << 1 | is_low) & LAST_FIVE
                if bits:
                    recent[entity] = bits
        while len(recent) > self._max_entities:
            del recent[next(iter(recent))]

    def _finding(self, vectors: VectorBatch, index: int, surprise: float, name: str, answer: _Answer) -> Finding:
        entity = vectors.entities[index]
        row = int(np.searchsorted(answer.positions, index))
        told = contributors(vectors, index, answer.contribution[row], self._baseline_of(vectors.schema))
        persistent = self._recent[name].get(entity, 0).bit_count() >= PERSISTENT
        return Finding(
            group=f"model:{name}:{family_of(told[0].feature) if told else 'unknown'}",
            detector=name,
            entity=entity,
            start_ns=vectors.start_ns,
            end_ns=vectors.end_ns,
            surprise=surprise,
            severity=Severity.CRITICAL if persistent else Severity.WARNING,
            title=sentence(entity, told),
            contributors=told,
            check="Compare the flows behind this window with what this entity normally does; accept it if it is the new normal.",
            keep_firing_for_ns=KEEP_FIRING_NS,
            quality=Quality(int(vectors.quality[index])),
            coverage=float(vectors.coverage[index]),
            loss_ratio=float(vectors.loss_ratio[index]),
            hop_ns=vectors.schema.hop_ns,
        )

    def _fused(
        self,
        finding: Finding,
        position: Mapping[Entity, int],
        models: NDArray[np.float64],
        vectors: VectorBatch,
        limit: float,
    ) -> Finding:
        index = position.get(finding.entity)
        rule = np.array(max(finding.surprise, fusion.rule_surprise(limit)))
        model = np.array(np.nan) if index is None else models[index]
        surprise = float(fusion.fuse(self._config.fusion, rule, model))
        if index is None:
            return replace(finding, surprise=surprise)
        told = enriched(finding, vectors, index, self._baseline_of(vectors.schema))
        return replace(finding, surprise=surprise, contributors=told)


def _key(detector: Detector) -> str:
    return f"{detector.name}/{detector.version}/{detector.schema.hash}"


def _rows_of(vectors: VectorBatch, positions: NDArray[np.intp]) -> VectorBatch:
    if len(positions) == len(vectors.entities):
        return vectors
    return replace(
        vectors,
        entities=tuple(vectors.entities[index] for index in positions),
        values=vectors.values[positions],
        present=vectors.present[positions],
        coverage=vectors.coverage[positions],
        quality=vectors.quality[positions],
        loss_ratio=vectors.loss_ratio[positions],
    )

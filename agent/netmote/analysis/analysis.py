"""Batches and event time in; vectors, scores and alerts out. Daemon, replay and training run this very code.

    batch ─► windows ─► vectors ─► rules ─┐
                           └─────► models ─┴─► fusion ─► findings ─► alert book ─► revisions
    fact  ──────────────────────────► rules ─────────────────────────────┘

It owns the order of these steps and nothing else; every step is a pure room of its own.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from netmote.alerts.alert import Alert, Silence
from netmote.alerts.book import AlertBook
from netmote.analysis.config import AnalysisConfig
from netmote.analysis.outcome import Outcome
from netmote.records.batch import Batch
from netmote.records.fact import FactBatch
from netmote.scoring.detector import Detector
from netmote.scoring.finding import Cleared, Finding, ScoreBatch
from netmote.scoring.interface_residual import InterfaceResidual
from netmote.scoring.model_scoring import ModelScoring
from netmote.scoring.rules.rule_set import RuleSet
from netmote.windows.schemas import INTERFACE
from netmote.windows.sliding import Windows
from netmote.windows.vector import VectorBatch


class Analysis:
    """The middle leg. Single-threaded; the caller gives it batches in the order in which they became durable."""

    def __init__(
        self,
        config: AnalysisConfig,
        *,
        sensor: str,
        rules: RuleSet,
        detectors: Sequence[Detector],
        shadows: Sequence[Detector] = (),
    ) -> None:
        self._config, self._sensor = config, sensor
        self._detectors, self._shadows = tuple(detectors), tuple(shadows)
        self.windows = Windows(config.windows, sensor=sensor)
        self.rules = rules
        self.scoring = self._new_scoring()
        self.book = AlertBook(config.alerts, sensor=sensor)
        self.event_time_ns = 0
        # The end of the last window scored, by schema: lanes close at their own pace, so one instant cannot stand for all.
        self._scored_until_ns: dict[str, int] = {}
        self._advanced_ns = 0  # the latest event time that was given by the clock
        self._is_rebuilding = False

    @property
    def detectors(self) -> tuple[Detector, ...]:
        """The detectors it was given, in use or not."""
        return self._detectors

    def observe(self, batch: Batch) -> Outcome:
        """Take one batch. Returns the windows that could close because of it, and what came of them."""
        facts = self._take_facts(batch) if isinstance(batch, FactBatch) and batch.facts else Outcome()
        self.windows.add(batch)
        return Outcome.joined([facts, self._score(self.windows.advance())])

    def rebuild(self, batch: Batch) -> Outcome:
        """Take a batch that was observed before a restart: windows are filled again, its facts are not judged again.

        After `resume` and before `rebuilt`. Windows that were scored before the restart are not scored again; one that had not
        been is, so the outcome counts.
        """
        self.windows.add(batch)
        return self._score(self.windows.advance())

    def rebuilt(self) -> Outcome:
        """The last batch before the restart has been rebuilt: close what the clock had closed. From here on, `observe`."""
        outcome = self._score(self.windows.advance(self._advanced_ns)) if self._advanced_ns else Outcome()
        self._is_rebuilding = False
        return outcome

    def advance(self, event_time_ns: int) -> Outcome:
        """Event time reached this instant without records (the clock minus the lateness): close what can close."""
        self._advanced_ns = event_time_ns
        return self._score(self.windows.advance(event_time_ns), event_time_ns)

    def finish(self) -> Outcome:
        """The input has ended: close every window that holds anything."""
        return self._score(self.windows.finish())

    def resume(self, event_time_ns: int, active: Sequence[Alert]) -> None:
        """Go on after a restart, after `restore` if there was a state: event time had come to here, these alerts are firing."""
        self.event_time_ns = event_time_ns
        self._is_rebuilding = True
        self.book.restore(active)

    def state(self) -> bytes:
        """What must be in the checkpoint to go on exactly: pending alerts, cool-downs, hysteresis, what was scored. Small."""
        progress = {"advanced_ns": self._advanced_ns, "scored_until_ns": self._scored_until_ns}
        return packed_state({"rules": self.rules.state(), "book": self.book.state(), "progress": json.dumps(progress).encode()})

    def restore(self, state: bytes) -> None:
        """Take up a `state`. Raises ValueError when it is none; then nothing has changed."""
        before = self.rules.state()
        try:
            parts = unpacked_state(state)
            progress = json.loads(parts["progress"])
            scored = {str(name): int(end_ns) for name, end_ns in progress["scored_until_ns"].items()}
            advanced_ns = int(progress["advanced_ns"])
            self.rules.restore(parts["rules"])
            self.book.restore_state(parts["book"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self.rules.restore(before)
            raise ValueError(f"not a state of the analysis: {type(error).__name__} {error}") from error
        self._scored_until_ns, self._advanced_ns = scored, advanced_ns

    def begin_anew(self) -> None:
        """Be as after construction: nothing observed, learned or firing. Silences stay."""
        silences = self.book.silences
        self.empty_windows()
        self.rules.restore(RuleSet(()).state())
        self.scoring = self._new_scoring()
        self.book = AlertBook(self._config.alerts, sensor=self._sensor)
        self.book.silences = silences
        self.event_time_ns = self._advanced_ns = 0
        self._scored_until_ns = {}
        self._is_rebuilding = False

    def empty_windows(self) -> None:
        """Give up what the open windows hold, and everything they remember; what follows is observed in new ones."""
        self.windows = Windows(self._config.windows, sensor=self._sensor)

    def learned(self) -> bytes:
        """What the detectors learned. Large, and can be learned anew."""
        return self.scoring.state()

    def restore_learned(self, learned: bytes) -> None:
        """Take up what was `learned`. Raises ValueError when it is none of this version."""
        scoring = self._new_scoring()
        scoring.restore(learned)
        self.scoring = scoring

    def retry_detectors(self) -> None:
        """Put detectors that were taken out of use back into it, with what was learned."""
        self.restore_learned(self.learned())

    def silence(self, silences: Sequence[Silence]) -> None:
        """From now on these silences hold."""
        self.book.silences = tuple(silences)

    def _new_scoring(self) -> ModelScoring:
        # Models are stateless and stay; the residual of interface rates learns, so each scoring has its own.
        return ModelScoring((*self._detectors, InterfaceResidual(INTERFACE)), self._config.scoring, shadows=self._shadows)

    def _take_facts(self, batch: FactBatch) -> Outcome:
        for fact in batch.facts:
            if fact.name == "device_replaced":
                self.scoring.accept_device(fact.entity)
        findings, cleared = self.rules.evaluate_facts(batch)
        return Outcome(alerts=self._announce(batch.end_ns, findings, cleared))

    def _score(self, closed: Sequence[VectorBatch], event_time_ns: int | None = None) -> Outcome:
        vectors = tuple(window for window in closed if not self._was_scored(window))
        scores: list[ScoreBatch] = []
        alerts: list[Alert] = []
        for window in vectors:
            # Rules compare with the baselines of before: scoring, which comes after, learns this window.
            evidence = partial(self.windows.evidence, end_ns=window.end_ns)
            ruled = self.rules.evaluate(window, usual=self.scoring.usual, evidence=evidence)
            batch_scores, findings = self.scoring.evaluate(window, ruled)
            scores.extend(batch_scores)
            alerts.extend(self._announce(window.end_ns, findings))
            self._scored_until_ns[window.schema.name] = window.end_ns
        if event_time_ns is not None:
            self.event_time_ns = max(self.event_time_ns, event_time_ns)
            alerts.extend(self.book.advance(event_time_ns))
        return Outcome(vectors, tuple(scores), tuple(alerts))

    def _was_scored(self, window: VectorBatch) -> bool:
        # Only while rebuilding: the wall clock may step back, and then the same times are new again.
        return self._is_rebuilding and window.end_ns <= self._scored_until_ns.get(window.schema.name, 0)

    def _announce(self, event_time_ns: int, findings: Sequence[Finding], cleared: Sequence[Cleared] = ()) -> tuple[Alert, ...]:
        self.event_time_ns = max(self.event_time_ns, event_time_ns)
        with_evidence = [replace(finding, evidence=self.windows.evidence(finding.entity, finding.end_ns)) for finding in findings]
        return self.book.update(event_time_ns, with_evidence, cleared)


def packed_state(parts: dict[str, bytes]) -> bytes:
    """The parts of a state as one."""
    return json.dumps({name: base64.b85encode(part).decode() for name, part in parts.items()}).encode()


def unpacked_state(packed: bytes) -> dict[str, bytes]:
    """Inverse of `packed_state`. Raises ValueError, TypeError or AttributeError when it is none."""
    return {name: base64.b85decode(part) for name, part in json.loads(packed).items()}

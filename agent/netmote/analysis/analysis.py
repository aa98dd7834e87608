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
from netmote.scoring.model_scoring import ModelScoring
from netmote.scoring.rules.rule_set import RuleSet
from netmote.windows.sliding import Windows
from netmote.windows.vector import VectorBatch


class Analysis:
    """The middle leg. Single-threaded; the caller gives it batches in the order in which they became durable."""

    def __init__(self, config: AnalysisConfig, *, sensor: str, rules: RuleSet, detectors: Sequence[Detector]) -> None:
        self._config, self._detectors = config, tuple(detectors)
        self.windows = Windows(config.windows, sensor=sensor)
        self.rules = rules
        self.scoring = ModelScoring(detectors, config.scoring)
        self.book = AlertBook(config.alerts, sensor=sensor)
        self.event_time_ns = 0
        # Windows that ended up to here were scored before a restart: they are rebuilt, not scored again.
        self._scored_until_ns = 0

    def observe(self, batch: Batch) -> Outcome:
        """Take one batch. Returns the windows that could close because of it, and what came of them."""
        facts = self._take_facts(batch) if isinstance(batch, FactBatch) and batch.facts else Outcome()
        self.windows.add(batch)
        return Outcome.joined([facts, self._score(self.windows.advance())])

    def rebuild(self, batch: Batch) -> Outcome:
        """Take a batch that was observed before a restart: windows are filled again, its facts are not judged again."""
        self.windows.add(batch)
        return self._score(self.windows.advance())

    def advance(self, event_time_ns: int) -> Outcome:
        """Event time reached this instant without records (the clock minus the lateness): close what can close."""
        return self._score(self.windows.advance(event_time_ns), event_time_ns)

    def finish(self) -> Outcome:
        """The input has ended: close every window that holds anything."""
        return self._score(self.windows.finish())

    def resume(self, event_time_ns: int, active: Sequence[Alert]) -> None:
        """Go on after a restart: windows up to this event time were scored, these alerts are firing."""
        self._scored_until_ns = self.event_time_ns = event_time_ns
        self.book.restore(active)

    def state(self) -> bytes:
        """What must be in the checkpoint to go on exactly: pending alerts, cool-downs, hysteresis. Small."""
        return _pack({"rules": self.rules.state(), "book": self.book.state()})

    def restore(self, state: bytes) -> None:
        """Take up a `state`. Raises ValueError when it is none."""
        parts = _unpack(state)
        self.rules.restore(parts["rules"])
        self.book.restore_state(parts["book"])

    def learned(self) -> bytes:
        """What the detectors learned. Large, and can be learned anew."""
        return self.scoring.state()

    def restore_learned(self, learned: bytes) -> None:
        """Take up what was `learned`. Raises ValueError when it is none of this version."""
        scoring = ModelScoring(self._detectors, self._config.scoring)
        scoring.restore(learned)
        self.scoring = scoring

    def silence(self, silences: Sequence[Silence]) -> None:
        """From now on these silences hold."""
        self.book.silences = tuple(silences)

    def _take_facts(self, batch: FactBatch) -> Outcome:
        findings, cleared = self.rules.evaluate_facts(batch)
        return Outcome(alerts=self._announce(batch.end_ns, findings, cleared))

    def _score(self, closed: Sequence[VectorBatch], event_time_ns: int | None = None) -> Outcome:
        vectors = tuple(window for window in closed if window.end_ns > self._scored_until_ns)
        scores: list[ScoreBatch] = []
        alerts: list[Alert] = []
        for window in vectors:
            ruled = self.rules.evaluate(window, evidence=partial(self.windows.evidence, end_ns=window.end_ns))
            batch_scores, findings = self.scoring.evaluate(window, ruled)
            scores.extend(batch_scores)
            alerts.extend(self._announce(window.end_ns, findings))
        if event_time_ns is not None:
            self.event_time_ns = max(self.event_time_ns, event_time_ns)
            alerts.extend(self.book.advance(event_time_ns))
        return Outcome(vectors, tuple(scores), tuple(alerts))

    def _announce(self, event_time_ns: int, findings: Sequence[Finding], cleared: Sequence[Cleared] = ()) -> tuple[Alert, ...]:
        self.event_time_ns = max(self.event_time_ns, event_time_ns)
        with_evidence = [replace(finding, evidence=self.windows.evidence(finding.entity, finding.end_ns)) for finding in findings]
        return self.book.update(event_time_ns, with_evidence, cleared)


def _pack(parts: dict[str, bytes]) -> bytes:
    return json.dumps({name: base64.b85encode(part).decode() for name, part in parts.items()}).encode()


def _unpack(packed: bytes) -> dict[str, bytes]:
    try:
        return {name: base64.b85decode(part) for name, part in json.loads(packed).items()}
    except (AttributeError, TypeError) as error:
        raise ValueError(f"not a state of the analysis: {error}") from error

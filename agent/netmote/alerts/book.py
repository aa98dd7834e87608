"""The alert book: findings in, the revisions of alerts to be stored and announced out. Pure: event time is given to it.

    findings ─► merge ─► [for each, explained ones last] ─► inhibited? cooling? room? ─► life (one table) ─► revisions

Event time never goes backwards for the book. What it does depends on the findings and their times alone, so replay gives the
same revisions with the same ids, and so does a restart through `state` and `restore_state`.
"""

from collections.abc import Callable, Iterator, Sequence

from netmote.alerts.alert import Alert, AlertState, Silence
from netmote.alerts.config import AlertsConfig
from netmote.alerts.counters import BookCounters
from netmote.alerts.episode import Cooling, Episode
from netmote.alerts.fingerprint import fingerprint_of
from netmote.alerts.inhibition import INHIBITIONS, Explanations, Inhibition
from netmote.alerts.life import TRANSITIONS, Signal
from netmote.alerts.maintenance import MaintenanceWindow
from netmote.alerts.merge import fold, is_of_rule, merge_findings
from netmote.alerts.rate_limit import DIGEST, RateLimit
from netmote.alerts.snapshot import BookState, decode_state, encode_state
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Cleared, Finding, Severity

# Sources lag behind each other by up to a poll interval; a pending alert is not given up before its own source had its say.
PENDING_SLACK_NS = 120_000_000_000
# How long a resolved alert is remembered at least, so that a record delivered twice does not begin its episode again.
REPEAT_MEMORY_NS = 600_000_000_000
# Cool-downs remembered for each alert that may be active; beyond, the oldest is forgotten (counted).
COOLING_PER_ACTIVE = 4


class AlertBook:
    """All alerts of one sensor: pending, firing and cooling down.

    `silences` may be set at any time; matching revisions carry `is_silenced`. The end of an alert that upstream knows of is
    never silenced, and when a silence ends before the alert does, the alert is announced anew.

    `cool_down` is of fixed length, keyed by entity and group: findings within it do not prolong it, something graver ends it,
    and conditions (certain facts that last until cleared) are exempt: their `keep_firing_for` damps them instead.
    """

    def __init__(self, config: AlertsConfig, *, sensor: str, inhibitions: Sequence[Inhibition] = INHIBITIONS) -> None:
        self.silences: tuple[Silence, ...] = ()
        self.counters = BookCounters()
        self._sensor = sensor
        self._cool_down_ns = round(config.cool_down * 1e9)
        self._update_interval_ns = round(config.update_interval * 1e9)
        self._maintenance = config.maintenance
        self._rate = RateLimit(config.forwarded_per_hour)
        self._entity = Entity(EntityKind.SENSOR, sensor)
        self._max_active = config.max_active
        self._max_cooling = COOLING_PER_ACTIVE * config.max_active
        self._inhibitions = tuple(inhibitions)
        self._explanations = Explanations(self._inhibitions)
        self._episodes: dict[str, Episode] = {}
        self._cooling: dict[str, Cooling] = {}
        self._now_ns = 0

    @property
    def now_ns(self) -> int:
        """The latest event time it was told."""
        return self._now_ns

    @property
    def active(self) -> dict[AlertState, int]:
        """How many alerts are pending and firing."""
        states = [episode.state for episode in self._episodes.values()]
        return {state: states.count(state) for state in (AlertState.PENDING, AlertState.FIRING)}

    def update(self, event_time_ns: int, findings: Sequence[Finding], cleared: Sequence[Cleared] = ()) -> tuple[Alert, ...]:
        """Take what was found up to this event time.

        Returns the revisions to be stored and announced, in order: newly firing, graver or with a new cause, due for an
        update (at most every `update_interval`), resolved. An alert may have several.
        """
        self._move_to(event_time_ns)
        self.counters.findings += len(findings)
        merged = merge_findings(sorted(findings, key=self._order), can_host=lambda finding: not self._is_withheld(finding))
        self.counters.merged += len(findings) - len(merged)
        revisions: list[Alert] = []
        steps: list[Finding | Cleared] = [*merged, *cleared]
        for step in sorted(steps, key=self._order):
            if isinstance(step, Cleared):
                revisions.extend(self._clear(step))
            else:
                revisions.extend(self._take(step))
        revisions.extend(self._settle())
        return tuple(revisions)

    def advance(self, event_time_ns: int) -> tuple[Alert, ...]:
        """Event time reached this instant: fires what has lasted long enough, resolves what no longer holds."""
        self._move_to(event_time_ns)
        return tuple(self._settle())

    def restore(self, active: Sequence[Alert]) -> None:
        """Go on with the firing alerts of the ledger; those that `restore_state` brought back at the same revision stay as they are."""
        for alert in active:
            known = self._episodes.get(alert.fingerprint)
            if alert.state is AlertState.FIRING and (known is None or known.revision < alert.revision):
                self._episodes[alert.fingerprint] = Episode.restored_from(alert)
                self._cooling.pop(alert.fingerprint, None)
                self._explanations.begin(self._episodes[alert.fingerprint])

    def state(self) -> bytes:
        """Everything the book knows beside silences and counters, to be kept with the checkpoint."""
        state = BookState(self._now_ns, self._episodes, self._cooling, self._rate.state())
        return encode_state(state, sensor=self._sensor)

    def restore_state(self, state: bytes) -> None:
        """Inverse of `state`. Raises ValueError when it is no state of a version we understand."""
        restored = decode_state(state)
        try:
            self._rate.restore(restored.rate)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the state of an alert book: {error}") from error
        self._now_ns, self._episodes, self._cooling = restored.now_ns, restored.episodes, restored.cooling
        self._explanations = Explanations(self._inhibitions)
        for episode in self._episodes.values():
            if episode.state is AlertState.FIRING:
                self._explanations.begin(episode)

    def _move_to(self, event_time_ns: int) -> None:
        if event_time_ns < self._now_ns:
            self.counters.clamped += 1
        self._now_ns = max(self._now_ns, event_time_ns)

    def _order(self, step: Finding | Cleared) -> tuple[int, int, int, int, str, str]:
        """By event time; at the same instant ends before beginnings, causes before what they explain, grave before mild."""
        if isinstance(step, Cleared):
            return (step.time_ns, 0, 0, 0, str(step.entity), step.group)
        return (step.end_ns, 1, self._explanations.depth(step.group), step.severity, str(step.entity), step.group)

    def _clear(self, cleared: Cleared) -> Iterator[Alert]:
        episode = self._episodes.get(fingerprint_of(self._sensor, cleared.group, cleared.entity))
        if episode is None or episode.cleared_at_ns is not None or cleared.time_ns < episode.last_seen_ns:
            self.counters.unmatched_clears += 1
            return
        if self._can_fire(episode, cleared.time_ns):
            # It had lasted long enough before it ended, though nobody asked in between.
            yield self._fire(episode, episode.satisfied_at_ns)
        episode.cleared_at_ns = cleared.time_ns

    def _take(self, finding: Finding) -> Iterator[Alert]:
        fingerprint = fingerprint_of(self._sensor, finding.group, finding.entity)
        episode = self._episodes.get(fingerprint)
        if episode is not None and episode.is_over_at(finding.end_ns):
            yield from self._stop(episode)
            episode = None
        if episode is None:
            named = None if is_of_rule(finding) else self._named_by_rule(finding)
            if named is None:
                yield from self._begin(finding, fingerprint)
                return
            named.attach(fold(named.finding, finding))
            yield from self._say_news(named, finding.end_ns)
            return
        if episode.is_repetition(finding):
            episode.attach(fold(episode.finding, finding))
        else:
            episode.hold(finding)
            if episode.state is AlertState.PENDING:
                if self._can_fire(episode, episode.last_seen_ns):
                    self.counters.continued += 1
                    yield self._fire(episode, episode.last_seen_ns)
                else:
                    self._signal(episode, Signal.HOLDS)
                    self.counters.deduplicated += 1
                return
            self._signal(episode, Signal.PERSISTS)
            is_due = episode.last_seen_ns - episode.announced_at_ns >= self._update_interval_ns
            if is_due and not self._explanations.explain(finding):
                self.counters.continued += 1
                yield self._announce(episode, episode.last_seen_ns)
                return
        yield from self._say_news(episode, finding.end_ns)

    def _say_news(self, episode: Episode, at_ns: int) -> Iterator[Alert]:
        if episode.state is AlertState.FIRING and episode.is_news:
            self.counters.continued += 1
            yield self._announce(episode, at_ns)
        else:
            self.counters.deduplicated += 1

    def _named_by_rule(self, finding: Finding) -> Episode | None:
        """The gravest firing alert of a rule on the same entity that was last seen within the finding's window."""
        candidates = [
            episode
            for episode in self._episodes.values()
            if episode.state is AlertState.FIRING
            and episode.finding.entity == finding.entity
            and is_of_rule(episode.finding)
            and episode.last_seen_ns > finding.start_ns
        ]
        return min(candidates, key=lambda episode: (episode.severity, episode.finding.group), default=None)

    def _begin(self, finding: Finding, fingerprint: str) -> Iterator[Alert]:
        cooling = self._cooling.get(fingerprint)
        if cooling is not None and finding.end_ns <= cooling.last_seen_ns:
            self.counters.deduplicated += 1
            return
        if self._is_withheld(finding):
            self._count(AlertState.RESOLVED, Signal.HOLDS)
            self.counters.withheld += 1
            return
        is_inhibited = self._explanations.explain(finding)
        if is_inhibited and not finding.is_until_cleared:
            self.counters.inhibited += 1
            return
        if not self._has_room(finding):
            self.counters.refused += 1
            return
        if cooling is not None:
            self._count(AlertState.RESOLVED, Signal.COOLS)
            del self._cooling[fingerprint]
        episode = self._episodes[fingerprint] = Episode.begun_by(finding, fingerprint)
        self.counters.started += 1
        if finding.for_ns > 0 or is_inhibited:
            self._signal(episode, Signal.HOLDS)
        else:
            yield self._fire(episode, finding.end_ns)

    def _is_withheld(self, finding: Finding) -> bool:
        """Whether the cool-down of its alert holds it back."""
        cooling = self._cooling.get(fingerprint_of(self._sensor, finding.group, finding.entity))
        return (
            cooling is not None
            and finding.end_ns < cooling.resolved_at_ns + self._cool_down_ns
            and not finding.is_until_cleared
            and finding.severity >= cooling.severity
        )

    def _has_room(self, finding: Finding) -> bool:
        """Whether one more may be held; the mildest pending episode makes room for something graver, a firing one never."""
        if len(self._episodes) < self._max_active:
            return True
        pending = [episode for episode in self._episodes.values() if episode.state is AlertState.PENDING]
        mildest = max(pending, key=lambda episode: (episode.severity, episode.fingerprint), default=None)
        if mildest is None or mildest.severity <= finding.severity:
            return False
        self._signal(mildest, Signal.STOPS)
        del self._episodes[mildest.fingerprint]
        self.counters.evicted += 1
        return True

    def _settle(self) -> Iterator[Alert]:
        """What follows from event time alone, in canonical order: first what ends, then what no longer explained can begin."""
        for episode in self._that(self._has_ended):
            yield from self._stop(episode)
        for episode in sorted(self._that(self._is_due), key=lambda each: each.satisfied_at_ns):
            if not self._is_due(episode):
                continue  # one that has just begun explains it
            if episode.state is AlertState.PENDING:
                yield self._fire(episode, episode.satisfied_at_ns)
            else:
                yield self._announce(episode, self._now_ns)
        yield from self._tell_held_back()
        memory_ns = max(self._cool_down_ns, REPEAT_MEMORY_NS)
        for fingerprint in [name for name, cooling in self._cooling.items() if self._now_ns > cooling.resolved_at_ns + memory_ns]:
            self._count(AlertState.RESOLVED, Signal.COOLS)
            del self._cooling[fingerprint]

    def _that(self, claim: Callable[[Episode], bool]) -> list[Episode]:
        chosen = [episode for episode in self._episodes.values() if claim(episode)]
        return sorted(chosen, key=lambda each: self._order(each.finding)[2:])

    def _has_ended(self, episode: Episode) -> bool:
        is_by_time = episode.state is AlertState.PENDING and not episode.finding.is_until_cleared
        return episode.is_over_at(self._now_ns - PENDING_SLACK_NS if is_by_time else self._now_ns)

    def _is_due(self, episode: Episode) -> bool:
        """Whether event time alone makes it news: a condition lasted long enough, or the silence over it ended."""
        if episode.state is AlertState.PENDING:
            return episode.finding.is_until_cleared and self._can_fire(episode, self._now_ns)
        return episode.is_silenced and not self._is_silenced(episode) and self._may_be_forwarded(episode)

    def _can_fire(self, episode: Episode, until_ns: int) -> bool:
        """Whether a pending episode has lasted as long as `for` asks, and nothing explains it."""
        return (
            episode.state is AlertState.PENDING
            and until_ns >= episode.satisfied_at_ns
            and not self._explanations.explain(episode.finding)
        )

    def _is_silenced(self, episode: Episode) -> bool:
        finding = episode.finding
        reasons: tuple[Silence | MaintenanceWindow, ...] = (*self.silences, *self._maintenance)
        return any(reason.covers(finding.group, finding.entity, self._now_ns) for reason in reasons)

    def _fire(self, episode: Episode, at_ns: int) -> Alert:
        self._signal(episode, Signal.PERSISTS)
        episode.fired_at_ns = at_ns
        self._explanations.begin(episode)
        return self._announce(episode, at_ns)

    def _stop(self, episode: Episode) -> Iterator[Alert]:
        was_firing = episode.state is AlertState.FIRING
        ended_at_ns = episode.ends_at_ns
        assert ended_at_ns is not None, "only an episode that can end is stopped"
        self._signal(episode, Signal.STOPS)
        del self._episodes[episode.fingerprint]
        self._explanations.end(episode)
        if was_firing:
            self._cooling[episode.fingerprint] = Cooling(ended_at_ns, episode.last_seen_ns, episode.severity)
            if len(self._cooling) > self._max_cooling:
                del self._cooling[next(iter(self._cooling))]
                self._count(AlertState.RESOLVED, Signal.COOLS)
                self.counters.forgotten += 1
            yield episode.announce(AlertState.RESOLVED, sensor=self._sensor, at_ns=ended_at_ns, is_silenced=False)

    def _announce(self, episode: Episode, at_ns: int) -> Alert:
        is_silenced = self._is_silenced(episode)
        if not is_silenced:
            is_silenced = not self._forward(episode)
        return episode.announce(AlertState.FIRING, sensor=self._sensor, at_ns=at_ns, is_silenced=is_silenced)

    def _may_be_forwarded(self, episode: Episode) -> bool:
        """Who is known upstream, grave, or the digest itself always may."""
        is_exempt = episode.was_forwarded or episode.severity <= Severity.CRITICAL or episode.finding.group == DIGEST
        return is_exempt or self._rate.has_room(self._now_ns)

    def _forward(self, episode: Episode) -> bool:
        """Take the room for one that is forwarded; what finds none is counted once, when it fires."""
        if not self._may_be_forwarded(episode):
            if episode.revision == 0:
                self._rate.hold_back(episode.finding.group)
                self.counters.held_back += 1
            return False
        if not episode.was_forwarded and episode.finding.group != DIGEST:
            self._rate.forward(self._now_ns)
        return True

    def _tell_held_back(self) -> Iterator[Alert]:
        """The digest: begun with the first alert held back, told anew as they become more, ended when none is left and there is room."""
        if not self._rate.held:
            return
        fingerprint = fingerprint_of(self._sensor, DIGEST, self._entity)
        digest, finding = self._episodes.get(fingerprint), self._rate.digest(self._entity, self._now_ns)
        if any(
            episode.state is AlertState.FIRING and not episode.was_forwarded and not self._is_silenced(episode)
            for episode in self._episodes.values()
            if episode.fingerprint != fingerprint
        ) or not self._rate.has_room(self._now_ns):
            if digest is None:
                digest = self._episodes[fingerprint] = Episode.begun_by(finding, fingerprint)
                yield self._fire(digest, self._now_ns)
            elif digest.finding.title != finding.title and self._now_ns - digest.announced_at_ns >= self._update_interval_ns:
                digest.hold(finding)
                yield self._announce(digest, self._now_ns)
        elif digest is not None:
            digest.cleared_at_ns = self._now_ns
            self._rate.forget_held()
            yield from self._stop(digest)

    def _signal(self, episode: Episode, signal: Signal) -> None:
        episode.state = self._count(episode.state, signal)

    def _count(self, before: AlertState, signal: Signal) -> AlertState:
        after = TRANSITIONS[before, signal]
        if after is not before:
            self.counters.transitions[before.value, after.value] += 1
        return after

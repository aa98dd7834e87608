"""One episode of one alert while it is pending or firing: what has been seen of it and what has been said."""

from dataclasses import dataclass
from types import MappingProxyType

from netmote.alerts.alert import Alert, AlertState
from netmote.alerts.fingerprint import alert_id_of
from netmote.records.fact import CONDITIONS
from netmote.scoring.finding import Finding, Severity

# What a restored alert is given when the state that would say so was lost: the length of an SNMP outage worth riding out.
RESTORED_KEEP_FIRING_NS = 300_000_000_000


@dataclass(slots=True)
class Episode:
    """Pending or firing. Times are event time, nanoseconds UTC."""

    fingerprint: str
    state: AlertState
    finding: Finding  # the latest
    severity: Severity  # the gravest of the episode: an episode grows graver, it never grows milder
    causes: frozenset[str]  # detectors that have driven it
    started_at_ns: int
    last_seen_ns: int
    fired_at_ns: int = 0
    count: int = 1
    revision: int = 0  # the last one announced
    announced_at_ns: int = 0
    announced_severity: Severity = Severity.DEBUG
    announced_causes: frozenset[str] = frozenset()
    is_silenced: bool = False  # the last revision was
    was_forwarded: bool = False  # some revision was not silenced, so upstream knows of it
    cleared_at_ns: int | None = None  # the condition ended

    @classmethod
    def begun_by(cls, finding: Finding, fingerprint: str) -> "Episode":
        """The episode that this finding begins; still inactive."""
        return cls(
            fingerprint=fingerprint,
            state=AlertState.INACTIVE,
            finding=finding,
            severity=finding.severity,
            causes=frozenset(finding.detector.split("+")),
            started_at_ns=finding.end_ns,
            last_seen_ns=finding.end_ns,
        )

    def is_repetition(self, finding: Finding) -> bool:
        """Whether it tells nothing later than what is known: evidence seen already, or from before the condition ended."""
        if self.cleared_at_ns is not None:
            return finding.end_ns < self.cleared_at_ns
        return finding.end_ns <= self.last_seen_ns

    def hold(self, finding: Finding) -> None:
        """One more window or fact in which it held."""
        self.last_seen_ns = finding.end_ns
        self.count += 1
        self.cleared_at_ns = None
        self.attach(finding)

    def attach(self, finding: Finding) -> None:
        """Take over what a finding says, without counting it."""
        self.finding = finding
        self.severity = min(self.severity, finding.severity)
        self.causes |= frozenset(finding.detector.split("+"))

    @property
    def is_news(self) -> bool:
        """Whether it grew graver or gained a cause since it was last announced."""
        return self.severity < self.announced_severity or self.causes > self.announced_causes

    @property
    def satisfied_at_ns(self) -> int:
        """When it will have held for as long as `for` asks."""
        return self.started_at_ns + self.finding.for_ns

    @property
    def ends_at_ns(self) -> int | None:
        """When it is over unless something holds it before; None: not by time."""
        finding, is_firing = self.finding, self.state is AlertState.FIRING
        keep_ns = finding.keep_firing_for_ns if is_firing else 0
        if finding.is_until_cleared:
            return None if self.cleared_at_ns is None else self.cleared_at_ns + keep_ns
        # Pending: no window may be left out. Firing: one may. Without a hop, evidence counts until the window has passed whole.
        hop_ns = finding.hop_ns
        patience_ns = (2 * hop_ns if is_firing else hop_ns + hop_ns // 2) if hop_ns else finding.end_ns - finding.start_ns
        return self.last_seen_ns + patience_ns + keep_ns

    def explains_at(self, start_ns: int) -> bool:
        """Whether what it saw reaches into evidence that begins then: a condition that still holds always does."""
        if self.finding.is_until_cleared and self.cleared_at_ns is None:
            return True
        return max(self.last_seen_ns, self.cleared_at_ns or 0) >= start_ns

    def is_over_at(self, time_ns: int) -> bool:
        """Whether it has ended by then. Evidence exactly at the end still continues it; the end of a condition is exact."""
        ends_at_ns = self.ends_at_ns
        if ends_at_ns is None:
            return False
        return time_ns >= ends_at_ns if self.finding.is_until_cleared else time_ns > ends_at_ns

    def announce(self, state: AlertState, *, sensor: str, at_ns: int, is_silenced: bool) -> Alert:
        """The next revision. `at_ns` is when it resolved, else the event time of what is new.

        Who was told that it fires is told that it ended, silence or not; who was not, is not.
        """
        self.revision += 1
        self.is_silenced = not self.was_forwarded if state is AlertState.RESOLVED else is_silenced
        self.was_forwarded |= not self.is_silenced
        self.announced_at_ns, self.announced_severity, self.announced_causes = at_ns, self.severity, self.causes
        return self.revision_as(state, sensor=sensor, resolved_at_ns=at_ns if state is AlertState.RESOLVED else None)

    def revision_as(self, state: AlertState, *, sensor: str, resolved_at_ns: int | None = None) -> Alert:
        """The episode as it stands, written as an alert of its present revision."""
        finding = self.finding
        return Alert(
            alert_id=alert_id_of(self.fingerprint, self.started_at_ns),
            revision=self.revision,
            fingerprint=self.fingerprint,
            state=state,
            group=finding.group,
            detector="+".join(sorted(self.causes)),
            entity=finding.entity,
            severity=self.severity,
            title=finding.title,
            score=finding.score,
            surprise=finding.surprise,
            started_at_ns=self.started_at_ns,
            fired_at_ns=self.fired_at_ns,
            last_seen_ns=self.last_seen_ns,
            resolved_at_ns=resolved_at_ns,
            count=self.count,
            window_start_ns=finding.start_ns,
            window_end_ns=finding.end_ns,
            contributors=finding.contributors,
            technique=finding.technique,
            check=finding.check,
            quality=finding.quality,
            coverage=finding.coverage,
            loss_ratio=finding.loss_ratio,
            evidence=finding.evidence,
            labels=MappingProxyType({"sensor": sensor}),
            is_silenced=self.is_silenced,
        )

    @classmethod
    def restored_from(cls, alert: Alert) -> "Episode":
        """The firing episode whose last revision this is, when only the ledger is left of it.

        The ledger does not hold `keep_firing_for`; a condition is known by its fact among the contributors.
        """
        is_condition = any(contributor.feature in CONDITIONS for contributor in alert.contributors)
        finding = Finding(
            group=alert.group,
            detector=alert.detector,
            entity=alert.entity,
            start_ns=alert.window_start_ns,
            end_ns=alert.window_end_ns,
            surprise=alert.surprise,
            severity=alert.severity,
            title=alert.title,
            contributors=alert.contributors,
            technique=alert.technique,
            check=alert.check,
            keep_firing_for_ns=0 if is_condition else RESTORED_KEEP_FIRING_NS,
            is_until_cleared=is_condition,
            quality=alert.quality,
            coverage=alert.coverage,
            loss_ratio=alert.loss_ratio,
            evidence=alert.evidence,
        )
        causes = frozenset(alert.detector.split("+"))
        return cls(
            fingerprint=alert.fingerprint,
            state=AlertState.FIRING,
            finding=finding,
            severity=alert.severity,
            causes=causes,
            started_at_ns=alert.started_at_ns,
            last_seen_ns=alert.last_seen_ns,
            fired_at_ns=alert.fired_at_ns,
            count=alert.count,
            revision=alert.revision,
            announced_at_ns=alert.last_seen_ns,
            announced_severity=alert.severity,
            announced_causes=causes,
            is_silenced=alert.is_silenced,
            was_forwarded=not alert.is_silenced,
        )


@dataclass(frozen=True, slots=True)
class Cooling:
    """What is remembered of an alert that resolved, for as long as the cool-down lasts."""

    resolved_at_ns: int
    last_seen_ns: int
    severity: Severity

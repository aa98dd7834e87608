"""Findings of one entity and one window become one: a model that sees what a rule has named must not make a second alert.

The merging rule:
- A model's finding is folded into a rule's finding of the same entity whose evidence overlaps it in time: the first of them in
  the order given (the book puts those first that explain others, then the gravest). The rule gives the name, so group, title,
  technique and check are the rule's; the graver severity and the greater surprise win; contributors are joined, and what the
  model knows of a feature's baseline completes the rule's line on it.
- A rule's finding that would not be announced (its alert is cooling down) takes no guest: what the model sees may be something
  else, and must not be swallowed with it.
- Findings of the same group and entity at the same time, of rules or of models, are one.
- Rules stay apart from each other (inhibition decides between them), and so do models with different contributor groups: a
  change of cause must be told, and a group is a cause (evidence: a merged cool-down once swallowed the onset of an attack).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from netmote.records.entity import Entity
from netmote.scoring.finding import Contributor, Finding

RULE = "rule"
_Identity = tuple[str, Entity, int]


def merge_findings(findings: Sequence[Finding], *, can_host: Callable[[Finding], bool] = lambda _: True) -> tuple[Finding, ...]:
    """The findings left after folding: those of rules in the order given, then those of models. Pure.

    `can_host` says of a rule's finding whether it will be heard, so that a model's may become part of it.
    """
    hosts: dict[_Identity, Finding] = {}
    guests: dict[_Identity, Finding] = {}
    for finding in findings:
        kin, who = hosts if is_of_rule(finding) else guests, _identity(finding)
        kin[who] = fold(kin[who], finding) if who in kin else finding
    by_entity: dict[Entity, list[_Identity]] = {}
    for who, host in hosts.items():
        if can_host(host):
            by_entity.setdefault(host.entity, []).append(who)
    lonely: list[Finding] = []
    for guest in guests.values():
        named = next((who for who in by_entity.get(guest.entity, ()) if overlaps(hosts[who], guest)), None)
        if named is None:
            lonely.append(guest)
        else:
            hosts[named] = fold(hosts[named], guest)
    return (*hosts.values(), *lonely)


def fold(host: Finding, guest: Finding) -> Finding:
    """`host` with what `guest` adds: the name stays the host's."""
    detectors = [*host.detector.split("+"), *(part for part in guest.detector.split("+") if part not in host.detector.split("+"))]
    return replace(
        host,
        detector="+".join(detectors),
        surprise=max(host.surprise, guest.surprise),
        severity=min(host.severity, guest.severity),
        contributors=_joined(host.contributors, guest.contributors),
        quality=host.quality | guest.quality,
        evidence=host.evidence if host.evidence.top_flows or host.evidence.top_peers else guest.evidence,
    )


def is_of_rule(finding: Finding) -> bool:
    """Whether a rule had a part in it."""
    return RULE in finding.detector.split("+")


def overlaps(one: Finding, other: Finding) -> bool:
    """Whether the evidence of both lies (in part) in the same time; an instant lies in the windows around it, ends included."""
    if one.start_ns == one.end_ns or other.start_ns == other.end_ns:
        return one.start_ns <= other.end_ns and other.start_ns <= one.end_ns
    return one.start_ns < other.end_ns and other.start_ns < one.end_ns


def _identity(finding: Finding) -> _Identity:
    return finding.group, finding.entity, finding.end_ns


def _joined(ours: tuple[Contributor, ...], theirs: tuple[Contributor, ...]) -> tuple[Contributor, ...]:
    known = {contributor.feature: contributor for contributor in theirs}
    completed = tuple(
        replace(mine, baseline=known[mine.feature].baseline, sigma=known[mine.feature].sigma)
        if mine.baseline is None and mine.feature in known
        else mine
        for mine in ours
    )
    named = {contributor.feature for contributor in ours}
    return completed + tuple(contributor for contributor in theirs if contributor.feature not in named)

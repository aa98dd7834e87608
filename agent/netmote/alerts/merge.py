"""Findings of one entity and one window become one: a model that sees what a rule has named must not make a second alert.

The merging rule:
- A model's finding is folded into a rule's finding of the same entity whose evidence overlaps it in time: the first of them in
  the order given (the book puts those first that explain others, then the gravest). The rule gives the name, so group, title,
  technique and check are the rule's; the graver severity and the greater surprise win; contributors are joined, and what the
  model knows of a feature's baseline completes the rule's line on it.
- Findings of the same group and entity at the same time are folded likewise, whoever made them.
- Rules stay apart from each other (inhibition decides between them), and so do models with different contributor groups: a
  change of cause must be told, and a group is a cause (evidence: a merged cool-down once swallowed the onset of an attack).
"""

from collections.abc import Sequence
from dataclasses import replace

from netmote.scoring.finding import Contributor, Finding

RULE = "rule"


def merge_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings left after folding, in the order given. Pure."""
    hosts: list[Finding] = []
    guests: list[Finding] = []
    for finding in findings:
        twin = next((at for at, host in enumerate(hosts) if _is_same(host, finding)), None)
        if twin is not None:
            hosts[twin] = fold(hosts[twin], finding)
        elif is_of_rule(finding):
            hosts.append(finding)
        else:
            guests.append(finding)
    lonely: list[Finding] = []
    for guest in guests:
        named = [
            at for at, host in enumerate(hosts) if is_of_rule(host) and host.entity == guest.entity and overlaps(host, guest)
        ]
        twin = next((at for at, other in enumerate(lonely) if _is_same(other, guest)), None)
        if named:
            hosts[named[0]] = fold(hosts[named[0]], guest)
        elif twin is not None:
            lonely[twin] = fold(lonely[twin], guest)
        else:
            lonely.append(guest)
    return (*hosts, *lonely)


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


def _is_same(one: Finding, other: Finding) -> bool:
    return (one.group, one.entity, one.end_ns) == (other.group, other.entity, other.end_ns)


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

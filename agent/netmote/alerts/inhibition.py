"""Which alert explains which: while the one is firing, the other does not begin.

The table names groups of the shipped rules; a test holds it against them. An inhibited finding is counted, never lost: when
what explained it ends and it still holds, it fires then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from netmote.alerts.episode import Episode
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Finding


class Relation(Enum):
    """How the entity of the explained finding stands to the one that explains it."""

    SAME = "same"  # the same entity
    OWNED = "owned"  # the same device, or a port of it
    PEER = "peer"  # a host whose evidence names the explaining host
    SEGMENT = "segment"  # the capture interface over which a host was seen: a segment is the sum of its hosts


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While `source` fires, `targets` of related entities do not begin; None: every group but the source itself."""

    source: str
    relation: Relation
    targets: frozenset[str] | None = None

    def explains(self, source_group: str, source: Entity, target: Finding) -> bool:
        """Whether an alert of that group and entity explains the finding."""
        if source_group != self.source:
            return False
        if self.targets is None:
            if target.group == self.source and target.entity == source:
                return False
        elif target.group not in self.targets:
            return False
        return _is_related(self.relation, source, target)


_SCANS = ("vertical_scan", "horizontal_scan")
_SCAN_TAIL = frozenset({"failed_connections", "beaconing_unanswered", "ping_sweep"})
_SEGMENT_SCANS = frozenset({"segment_vertical_scan", "segment_horizontal_scan"})
_PORT_NOISE = frozenset({"interface_errors", "interface_discards", "interface_saturated", "interface_silent"})
_POLLED_NOISE = _PORT_NOISE | {"interface_flapping", "device_timeouts", "device_slow", "counters_stuck"}

INHIBITIONS: tuple[Inhibition, ...] = (
    # A device that does not answer: whatever is said of it and its ports is old or follows from that.
    Inhibition("device_unreachable", Relation.OWNED),
    # Nothing of use can be read: what polls said last is old. What the device says by itself (traps) is not.
    Inhibition("snmp_broken", Relation.OWNED, _POLLED_NOISE),
    # After a restart every counter begins anew.
    Inhibition("device_restarted", Relation.OWNED, frozenset({"agent_restarted", "counter_discontinuity"})),
    Inhibition("interface_down", Relation.SAME, _PORT_NOISE),
    # A flood touches many ports or many hosts and fails mostly: it is neither a scan nor a misconfigured client.
    Inhibition("syn_flood", Relation.SAME, frozenset({*_SCANS, "scanned", "brute_force"}) | _SCAN_TAIL),
    Inhibition("syn_flood_source", Relation.SAME, frozenset({*_SCANS, "brute_force"}) | _SCAN_TAIL),
    Inhibition("syn_flood_source", Relation.PEER, frozenset({"syn_flood", "scanned"})),
    Inhibition("segment_syn_flood", Relation.SAME, _SEGMENT_SCANS),
    Inhibition("icmp_flood", Relation.SAME, frozenset({"icmp_tunnel", "ping_sweep"})),
    # A scan is one alert: at who scans, when that is a host of ours, else at who is scanned, else at the segment.
    *(Inhibition(scan, Relation.SAME, _SCAN_TAIL | {"scanned", "brute_force"}) for scan in _SCANS),
    *(Inhibition(scan, Relation.PEER, frozenset({"scanned", "failed_connections"})) for scan in _SCANS),
    # Who tries many ports of many hosts scans both ways; the ports are the worse news.
    Inhibition("vertical_scan", Relation.SAME, frozenset({"horizontal_scan"})),
    *(Inhibition(name, Relation.SEGMENT, _SEGMENT_SCANS) for name in (*_SCANS, "scanned", "syn_flood", "syn_flood_source")),
    *(Inhibition(name, Relation.SEGMENT, frozenset({"segment_syn_flood"})) for name in ("syn_flood", "syn_flood_source")),
    Inhibition("icmp_flood", Relation.SEGMENT, frozenset({"segment_icmp_flood"})),
    # Guessing passwords makes many short, partly refused connections. It is one alert, on whichever side it is seen first.
    Inhibition("brute_force", Relation.SAME, frozenset({"failed_connections"})),
    Inhibition("brute_force", Relation.PEER, frozenset({"brute_force"})),
    # Names that carry data mostly do not resolve.
    Inhibition("dns_tunnel", Relation.SAME, frozenset({"dns_failures"})),
    Inhibition("dns_tunnel", Relation.PEER, frozenset({"dns_tunnel", "dns_failures"})),
    Inhibition("dns_failures", Relation.PEER, frozenset({"dns_failures"})),
    Inhibition("beaconing_unanswered", Relation.SAME, frozenset({"beaconing"})),
)


class Explanations:
    """The firing alerts that explain others, and the order in which findings must be judged so that causes come first."""

    def __init__(self, inhibitions: Sequence[Inhibition] = INHIBITIONS) -> None:
        self._by_source: dict[str, list[Inhibition]] = {}
        for inhibition in inhibitions:
            self._by_source.setdefault(inhibition.source, []).append(inhibition)
        self._firing: dict[str, Episode] = {}
        self._depths: dict[str, int] = {}

    def begin(self, episode: Episode) -> None:
        """This alert fires now."""
        if episode.finding.group in self._by_source:
            self._firing[episode.fingerprint] = episode

    def end(self, episode: Episode) -> None:
        """This alert fires no more."""
        self._firing.pop(episode.fingerprint, None)

    def explain(self, finding: Finding) -> bool:
        """Whether a firing alert explains it: one whose condition still holds, or which was last seen within its window."""
        return any(
            inhibition.explains(episode.finding.group, episode.finding.entity, finding)
            for episode in self._firing.values()
            if episode.explains_at(finding.start_ns)
            for inhibition in self._by_source[episode.finding.group]
        )

    def depth(self, group: str) -> int:
        """The longest chain of explanations that leads to this group; a chain's members are judged in this order."""
        if group not in self._depths:
            # A source without a list of targets explains everything, so it comes before all the rest.
            is_first = any(inhibition.targets is None for inhibition in self._by_source.get(group, ()))
            self._depths[group] = 0 if is_first else 1 + self._longest_chain(group, frozenset({group}))
        return self._depths[group]

    def _longest_chain(self, group: str, passed: frozenset[str]) -> int:
        sources = {
            source
            for source, inhibitions in self._by_source.items()
            if source not in passed and any(group in (inhibition.targets or ()) for inhibition in inhibitions)
        }
        return max((1 + self._longest_chain(source, passed | {source}) for source in sources), default=0)


def _is_related(relation: Relation, source: Entity, target: Finding) -> bool:
    match relation:
        case Relation.SAME:
            return target.entity == source
        case Relation.OWNED:
            return source in {target.entity, target.entity.owner}
        case Relation.PEER:
            return (
                source.kind is EntityKind.HOST
                and target.entity.kind is EntityKind.HOST
                and target.entity != source
                and _names(target, source.name)
            )
        case Relation.SEGMENT:
            return source.kind is EntityKind.HOST and target.entity.kind is EntityKind.INTERFACE


def _names(finding: Finding, address: str) -> bool:
    evidence = finding.evidence
    return any(peer == address for peer, _ in evidence.top_peers) or any(
        address in (flow.source_address, flow.destination_address) for flow in evidence.top_flows
    )

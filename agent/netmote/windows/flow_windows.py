"""The traffic lane: flow batches in, the 37 traffic features of every host of ours and every capture interface out.

Owns the panes of the open windows and what is remembered beyond them (host table, peers, contacts). The order of work at a
close is fixed: panes are folded into memory oldest first, then the window is computed.
"""

from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.records.batch import Batch
from netmote.records.entity import Entity, EntityKind
from netmote.records.flow import FlowBatch
from netmote.windows.addresses import RESERVED, AddressTable
from netmote.windows.config import WindowsConfig
from netmote.windows.contact_memory import ContactMemory
from netmote.windows.flow_evidence import evidence_of
from netmote.windows.flow_features import Scratch, traffic_features
from netmote.windows.flow_pane import PEER_MASK, PEER_SHIFT, PORT_ABOVE_PEER, FlowPart, Sum, aggregate
from netmote.windows.host_table import HostTable
from netmote.windows.lane import Feeds, Rows
from netmote.windows.observation_gaps import ObservationGaps
from netmote.windows.peer_memory import PeerMemory
from netmote.windows.schema import FeatureSchema
from netmote.windows.timeline import Span, Timeline, covered_ns
from netmote.windows.vector import WindowEvidence

MAX_PANE_SLICES = 16_384  # per interface and pane, kept apart from their sums
EXTRA_ENTITIES = 16  # room in the memories for capture interfaces, which speak with everyone
PEERS_PER_HOST = 64  # remembered on average
PEERS_SHARE = 4  # one entity holds at most a fourth of them, so that a scanner cannot push out what is known of the others
CONTACT_KEYS_PER_HOST = 64  # (address, port) pairs watched for beacons, on average
CONTACT_RINGS_PER_HOST = 16  # of these, contacted more than once
ADDRESSES_BEFORE_COMPACTION = 65_536


class FlowWindows:
    """Traffic features over the windows of one schema."""

    def __init__(
        self, schema: FeatureSchema, config: WindowsConfig, *, sensor: str, max_pane_slices: int = MAX_PANE_SLICES
    ) -> None:
        self.schema = schema
        self._sensor = sensor
        self._max_hosts = config.max_hosts
        self._max_pane_slices = max_pane_slices
        self._timeline: Timeline[FlowPart] = Timeline()
        self._addresses = AddressTable(config.local_networks)
        self._hosts = HostTable(self._addresses, max_hosts=config.max_hosts)
        entities = config.max_hosts + EXTRA_ENTITIES
        peers = entities * PEERS_PER_HOST
        self._peers = PeerMemory(self._addresses, limit=peers, limit_per_entity=peers // PEERS_SHARE)
        self._contacts = ContactMemory(
            self._addresses, limit=entities * CONTACT_KEYS_PER_HOST, rings=entities * CONTACT_RINGS_PER_HOST
        )
        self._gaps = ObservationGaps()
        self._scratch = Scratch()
        self._compact_above = ADDRESSES_BEFORE_COMPACTION
        self._last_end_ns: int | None = None
        self.unsorted_slices = 0  # beyond the bound of a pane: counted in sums alone
        self.unfollowed_hosts = 0  # beyond the bound of a pane

    def feeds(self, batch: Batch) -> Feeds:
        return ((batch.source, batch.end_ns),) if isinstance(batch, FlowBatch) else ()

    def add(self, batch: Batch) -> None:
        assert isinstance(batch, FlowBatch)
        part = aggregate(batch, self._addresses, self._hosts.ids, max_hosts=self._max_hosts, max_slices=self._max_pane_slices)
        self.unsorted_slices += part.unsorted_slices
        self.unfollowed_hosts += part.unfollowed_hosts
        self._timeline.add(batch.start_ns, batch.end_ns, batch.source, part)

    def note_gap(self, interface: Entity, fact: str, time_ns: int, *, is_gap: bool) -> None:
        """A fact says from when on this capture interface is not observed, or is again."""
        owner, _, name = interface.name.partition("/")
        if owner == self._sensor:
            self._gaps.note(name, fact, time_ns, is_gap=is_gap)

    def earliest_after(self, instant_ns: int) -> int | None:
        return self._timeline.earliest_after(instant_ns)

    def close(self, start_ns: int, end_ns: int) -> Rows:
        spans = self._timeline.within(start_ns, end_ns)
        self._fold(spans, end_ns)
        self._compact()
        parts = [span.item for span in spans]
        hosts = self._active_hosts(parts)
        interfaces = self._interfaces(parts)
        members = np.concatenate([hosts, np.array([number for _, number in interfaces], np.int64)])
        index = np.full(len(self._addresses), -1, np.int64)
        index[members] = np.arange(members.size)
        features, peers = traffic_features(parts, index, members.size, start_ns, end_ns - start_ns, scratch=self._scratch)
        new_peers = peers - self._peers.known_before(start_ns, len(self._addresses))[members]
        features["new_peer_ratio"] = new_peers / np.maximum(peers, 1)
        features["beacon_score"] = self._contacts.scores(end_ns, len(self._addresses))[members]
        values = np.stack([features[name] for name in self.schema.names], axis=1)
        coverage, loss_ratio = self._observation(spans, index, members.size, start_ns, end_ns)
        self._last_end_ns = end_ns
        entities = self._hosts.entities(hosts) + tuple(entity for entity, _ in interfaces)
        return Rows(entities, values, np.ones(values.shape, np.bool_), coverage, np.zeros(members.size, np.uint8), loss_ratio)

    def forget(self, before_ns: int) -> None:
        self._timeline.forget(before_ns)
        self._gaps.forget(before_ns)

    def rebase(self) -> None:
        self._timeline = Timeline()
        self._last_end_ns = None
        self._gaps.rebase()
        self._hosts.rebase()
        self._peers.rebase()
        self._contacts.rebase()

    def evidence(self, entity: Entity, end_ns: int | None = None) -> WindowEvidence:
        """What stood behind one entity's window that ended at `end_ns` (default: the last closed one)."""
        end = self._last_end_ns if end_ns is None else end_ns
        if end is None:
            return WindowEvidence()
        parts = [span.item for span in self._timeline.within(end - self.schema.window_ns, end)]
        return evidence_of(entity, parts, self._addresses, self._sensor)

    @property
    def forgotten_hosts(self) -> int:
        return self._hosts.forgotten

    def sizes(self) -> dict[str, int]:
        """Entries held by each bounded part and their bytes in arrays."""
        held = sum(span.item.nbytes for span in self._timeline)
        return {
            "hosts": len(self._hosts),
            "addresses": len(self._addresses) - RESERVED,
            "peers": len(self._peers),
            "contact_keys": len(self._contacts),
            "panes": len(self._timeline),
            "bytes": held + self._scratch.nbytes + self._addresses.nbytes + self._peers.nbytes + self._contacts.nbytes,
        }

    def refusals(self) -> dict[str, int]:
        """What found no room, by reason."""
        return {
            "hosts_refused": self._hosts.refused + self.unfollowed_hosts,
            "hosts_forgotten": self._hosts.forgotten,
            "peers_forgotten": self._peers.forgotten,
            "contacts_forgotten": self._contacts.forgotten,
            "contacts_refused": self._contacts.refused,
            "slices_in_sums_alone": self.unsorted_slices,
        }

    def _fold(self, spans: list[Span[FlowPart]], end_ns: int) -> None:
        """Make the panes that ended by now part of what is remembered, oldest pane first, all sources of a pane at once."""
        fresh = [span for span in spans if not span.item.is_folded and span.end_ns <= end_ns]
        for _, pane in groupby(fresh, key=lambda span: span.end_ns):
            members = list(pane)
            self._remember([span.item for span in members], min(span.start_ns for span in members))
            for span in members:
                span.item.is_folded = True

    def _remember(self, parts: list[FlowPart], pane_ns: int) -> None:
        ids = np.concatenate([part.present for part in parts]).astype(np.int64)
        is_host = ids >= RESERVED
        last_ns = np.concatenate([part.last_ns for part in parts])[is_host]
        has_sent = np.concatenate([part.sums[:, Sum.OUT_PACKETS] > 0 for part in parts])[is_host]
        gone = self._hosts.update(ids[is_host], last_ns, has_sent)
        self._peers.forget(gone)
        self._contacts.forget(gone)

        is_followed = np.zeros(len(self._addresses), np.bool_)
        is_followed[:RESERVED] = True
        is_followed[self._hosts.ids] = True
        entity = np.concatenate([part.entity for part in parts])
        key = np.concatenate([part.key for part in parts])
        wanted = is_followed[entity]
        self._peers.update(entity[wanted].astype(np.int64), key[wanted] >> PEER_SHIFT, pane_ns)

        entity = np.concatenate([part.out_entity for part in parts])
        wanted = is_followed[entity]
        key = np.concatenate([part.out_port for part in parts])[wanted]
        port = np.maximum(key >> PORT_ABOVE_PEER, np.uint64(1)) - np.uint64(1)
        start_ns = np.concatenate([part.out_start.astype(np.int64) + part.start_ns for part in parts])[wanted]
        duration_ns = np.concatenate([part.out_duration for part in parts])[wanted].astype(np.int64)
        self._contacts.update(entity[wanted].astype(np.int64), key & PEER_MASK, port, start_ns, start_ns + duration_ns)

    def _active_hosts(self, parts: list[FlowPart]) -> NDArray[np.int64]:
        """Ids of the followed hosts that have a slice in these parts, in canonical order."""
        is_active = np.zeros(len(self._addresses), np.bool_)
        for part in parts:
            is_active[part.present] = True
        canonical = self._hosts.canonical()
        return canonical[is_active[canonical]]

    def _interfaces(self, parts: list[FlowPart]) -> list[tuple[Entity, int]]:
        """The capture interfaces observed, even if silent: a silent wire is an observation."""
        observed = {part.interface for part in parts}
        named = ((name, number) for name, number in self._addresses.interfaces.items() if number in observed)
        return sorted((Entity(EntityKind.INTERFACE, f"{self._sensor}/{name}"), number) for name, number in named)

    def _observation(
        self, spans: list[Span[FlowPart]], index: NDArray[np.int64], count: int, start_ns: int, end_ns: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coverage and loss ratio by entity. A host has those of the interfaces it was seen on: the best coverage, the worst loss."""
        coverage, loss_ratio = np.zeros(count), np.zeros(count)
        names = {number: name for name, number in self._addresses.interfaces.items()}
        for interface in sorted({span.item.interface for span in spans}):
            own = [span for span in spans if span.item.interface == interface]
            panes = [(span.start_ns, span.end_ns) for span in own]
            gaps = self._gaps.of(names[interface], end_ns)
            # What panes cover and no gap does.
            observed_ns = covered_ns([*panes, *gaps], start_ns, end_ns) - covered_ns(gaps, start_ns, end_ns)
            covered = observed_ns / (end_ns - start_ns)
            lost = sum(span.item.loss.dropped + span.item.loss.refused for span in own)
            offered = sum(span.item.loss.received + span.item.loss.dropped for span in own)
            at = index[np.unique(np.concatenate([np.array([interface], np.int64), *(span.item.present for span in own)]))]
            at = at[at >= 0]
            coverage[at] = np.maximum(coverage[at], covered)
            loss_ratio[at] = np.maximum(loss_ratio[at], lost / offered if offered else 0.0)
        return coverage, loss_ratio

    def _compact(self) -> None:
        """Let go of the addresses nobody refers to, once there are half as many again."""
        if len(self._addresses) <= self._compact_above:
            return
        live: list[NDArray[Any]] = [self._hosts.ids, self._peers.live_ids(), self._contacts.live_ids()]
        for span in self._timeline:
            flows = span.item.flows
            live += [flows["source"], flows["destination"], span.item.present, (span.item.key >> PEER_SHIFT)]
        remap = self._addresses.compact(np.concatenate([ids.astype(np.int64) for ids in live]))
        for span in self._timeline:
            span.item.renumber(remap)
        self._hosts.renumber(remap)
        self._peers.renumber(remap)
        self._contacts.renumber(remap)
        self._compact_above = max(ADDRESSES_BEFORE_COMPACTION, len(self._addresses) * 3 // 2)

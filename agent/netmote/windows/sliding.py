"""Batches and event time in, closed windows out: the face of this room.

    add(batch)  ->  lanes (one a schema)  ->  advance() -> [VectorBatch] by (end, schema)

A window closes when every source that feeds its schema and is not idle has come to its end, or when the caller says that event
time has (`advance(event_time_ns)`, clock minus lateness). What comes later than that is late: it still counts in the open
windows it touches, which are marked, and is dropped and counted where none is open. Windows without a record are skipped.
"""

from collections import Counter
from collections.abc import Sequence

from netmote.records.batch import Batch
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import FactBatch
from netmote.records.flow import FlowBatch
from netmote.records.interface import InterfaceBatch
from netmote.windows.config import WindowsConfig
from netmote.windows.device_features import DeviceWindows
from netmote.windows.flow_windows import FlowWindows
from netmote.windows.host_features import SensorWindows
from netmote.windows.interface_features import InterfaceWindows
from netmote.windows.lane import Lane
from netmote.windows.observation_gaps import GAP_FACTS
from netmote.windows.schemas import DEVICE, INTERFACE, SENSOR, TRAFFIC
from netmote.windows.vector import VectorBatch, WindowEvidence


class Windows:
    """The sliding windows of all schemas. Pure: the result depends on the records and on the event times given, nothing else."""

    def __init__(self, config: WindowsConfig, *, sensor: str) -> None:
        self._traffic = FlowWindows(TRAFFIC, config, sensor=sensor)
        self._lanes = [
            Lane(features, config)
            for features in (
                self._traffic,
                InterfaceWindows(INTERFACE),
                DeviceWindows(DEVICE),
                SensorWindows(SENSOR, sensor=sensor),
            )
        ]
        self.late_records: Counter[str] = Counter()  # records that came after a window they belong to had closed, by source
        self.dropped_records: Counter[str] = Counter()  # those of them that no open window could take, by source

    def add(self, batch: Batch) -> None:
        """Take in one batch of one source; its end is the source's watermark."""
        if isinstance(batch, FactBatch):
            for fact in batch.facts:
                if fact.name == "clock_step":
                    for lane in self._lanes:
                        lane.step_clock(fact.time_ns - round(fact.value * 1e9), fact.time_ns)
                elif fact.name in GAP_FACTS and fact.entity.kind is EntityKind.INTERFACE:
                    self._traffic.note_gap(fact.entity, fact.name, fact.time_ns, is_gap=fact.value != 0)
            return
        outcomes = [lane.add(batch) for lane in self._lanes]
        if any(is_late for is_late, _ in outcomes):
            self.late_records[batch.source] += _records(batch)
        if any(is_dropped for _, is_dropped in outcomes):
            self.dropped_records[batch.source] += _records(batch)

    def advance(self, event_time_ns: int | None = None) -> list[VectorBatch]:
        """Every window that can close now, ordered by (end, schema name). Without an event time the watermarks alone decide."""
        return _ordered([lane.advance(event_time_ns) for lane in self._lanes])

    def finish(self) -> list[VectorBatch]:
        """The end of a replay: every window up to the end of the last record. More may follow; earlier time begins anew."""
        return _ordered([lane.finish() for lane in self._lanes])

    def evidence(self, entity: Entity, end_ns: int | None = None) -> WindowEvidence:
        """What stood behind the entity's traffic window that ended at `end_ns` (default: the last closed one).

        Any window handed out by the last `advance` or `finish` can be asked for, until the next `add` after it advances.
        """
        return self._traffic.evidence(entity, end_ns)

    @property
    def forgotten_hosts(self) -> int:
        """Hosts of ours that had to leave the full host table."""
        return self._traffic.forgotten_hosts

    def sizes(self) -> dict[str, int]:
        """Entries (and `bytes`) held now by the parts that are bounded."""
        return self._traffic.sizes()

    def refusals(self) -> dict[str, int]:
        """What found no room within the bounds so far, by reason."""
        return self._traffic.refusals()


def _records(batch: Batch) -> int:
    if isinstance(batch, FlowBatch):
        return len(batch.slices)
    return len(batch.interfaces) if isinstance(batch, InterfaceBatch) else 1


def _ordered(by_lane: Sequence[list[VectorBatch]]) -> list[VectorBatch]:
    return sorted((batch for batches in by_lane for batch in batches), key=lambda batch: (batch.end_ns, batch.schema.name))

"""The sensor lane: readings of the sensor's own machine and what became of its packets in, one row out.

Its loss ratio is a feature (`packet_loss_ratio`), not a flaw of the window: the machine's gauges are as good under packet loss.
"""

import math

import numpy as np

from netmote.records.batch import Batch
from netmote.records.entity import Entity, EntityKind
from netmote.records.flow import CaptureLoss, FlowBatch
from netmote.records.host import HOST_GAUGES, HostRecord
from netmote.windows.lane import Feeds, Rows
from netmote.windows.schema import FeatureSchema
from netmote.windows.timeline import Span, Timeline, covered_ns


class SensorWindows:
    """Features of the sensor over the windows of one schema."""

    def __init__(self, schema: FeatureSchema, *, sensor: str) -> None:
        self.schema = schema
        self._entity = Entity(EntityKind.SENSOR, sensor)
        self._readings: Timeline[HostRecord] = Timeline()
        self._losses: Timeline[CaptureLoss] = Timeline()

    def feeds(self, batch: Batch) -> Feeds:
        return ((batch.source, batch.end_ns),) if isinstance(batch, HostRecord | FlowBatch) else ()

    def add(self, batch: Batch) -> None:
        if isinstance(batch, HostRecord):
            self._readings.add(batch.start_ns, batch.end_ns, batch.source, batch)
        elif isinstance(batch, FlowBatch):
            self._losses.add(batch.start_ns, batch.end_ns, batch.source, batch.loss)

    def earliest_after(self, instant_ns: int) -> int | None:
        starts = (self._readings.earliest_after(instant_ns), self._losses.earliest_after(instant_ns))
        return min((start for start in starts if start is not None), default=None)

    def close(self, start_ns: int, end_ns: int) -> Rows:
        readings = self._readings.within(start_ns, end_ns)
        losses = self._losses.within(start_ns, end_ns)
        found = _gauges(readings, start_ns, end_ns) | _packets(losses, start_ns, end_ns)
        values = np.array([[found.get(name, 0.0) for name in self.schema.names]])
        present = np.array([[name in found for name in self.schema.names]])
        intervals = [(span.start_ns, span.end_ns) for span in readings] or [(span.start_ns, span.end_ns) for span in losses]
        coverage = np.array([covered_ns(intervals, start_ns, end_ns) / (end_ns - start_ns)])
        return Rows((self._entity,), values, present, coverage, np.zeros(1, np.uint8), np.zeros(1))

    def forget(self, before_ns: int) -> None:
        self._readings.forget(before_ns)
        self._losses.forget(before_ns)

    def rebase(self) -> None:
        self._readings, self._losses = Timeline(), Timeline()


def _gauges(readings: list[Span[HostRecord]], start_ns: int, end_ns: int) -> dict[str, float]:
    """Mean of every gauge, a reading weighted by its share of the window; one that is NaN throughout is left out."""
    means = {}
    for name in HOST_GAUGES:
        weighted = [
            (span.item.gauges[name], span.overlap_ns(start_ns, end_ns))
            for span in readings
            if not math.isnan(span.item.gauges[name])
        ]
        weight = sum(share for _, share in weighted)
        if weight:
            means[name] = math.fsum(value * share for value, share in weighted) / weight
    return means


def _packets(losses: list[Span[CaptureLoss]], start_ns: int, end_ns: int) -> dict[str, float]:
    """What became of the packets of all capture interfaces."""
    if not losses:
        return {}
    received = sum(span.item.received for span in losses)
    dropped = sum(span.item.dropped for span in losses)
    refused = sum(span.item.refused for span in losses)
    undecodable = sum(count for span in losses for _, count in span.item.undecodable)
    observed = covered_ns([(span.start_ns, span.end_ns) for span in losses], start_ns, end_ns)
    found = {"packets_per_second": received / (observed / 1e9)}
    if received + dropped:
        found["packet_loss_ratio"] = (dropped + refused) / (received + dropped)
    if received:
        found["undecodable_ratio"] = undecodable / received
    return found

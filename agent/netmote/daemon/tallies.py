"""Running totals over the batches that passed: what each input delivered and lost, and the latest rates of each port."""

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from netmote.clock import NANOSECONDS_PER_SECOND
from netmote.records.batch import Batch
from netmote.records.device import DeviceRecord
from netmote.records.entity import Entity
from netmote.records.fact import FactBatch
from netmote.records.flow import FlowBatch
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch, InvalidReason, OperStatus
from netmote.telemetry.metrics import Metrics
from netmote.telemetry.snapshot import InterfaceStatus

_COLUMN = {name: position for position, name in enumerate(INTERFACE_COUNTERS)}
_ERROR_COLUMNS = [_COLUMN[name] for name in ("if_in_discards", "if_out_discards", "if_in_errors", "if_out_errors")]
# The absolute bound of ports remembered for display; beyond it a device's table is cut.
MAX_PORTS = 1_024
_STATES = {int(status): status.name.lower() for status in OperStatus}


UNPLACED = "unplaced"
"""Where packets were lost of which nobody knows it, such as those that an old record counts."""


@dataclass
class SourceTally:
    """One source since the start."""

    received: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    last_end_ns: int = 0
    rate: float | None = None  # of the last interval, per second


class Tallies:
    """Takes every batch on the event loop; cheap, and bounded by the number of sources and ports."""

    def __init__(self, metrics: Metrics) -> None:
        self.sources: dict[str, SourceTally] = {}
        self.ports: dict[Entity, tuple[InterfaceStatus, ...]] = {}
        self.devices: dict[Entity, DeviceRecord] = {}
        self.last_answer_ns: dict[Entity, int] = {}
        self._metrics = metrics

    def note(self, batch: Batch) -> None:
        """Count one batch."""
        self._metrics.records_total.inc(kind=type(batch).__name__)
        if isinstance(batch, FactBatch):
            return  # said of the input, not delivered by it
        tally = self.sources.setdefault(batch.source, SourceTally())
        tally.last_end_ns = max(tally.last_end_ns, batch.end_ns)
        if isinstance(batch, FlowBatch):
            self._note_flows(tally, batch)
        elif isinstance(batch, InterfaceBatch):
            tally.received += len(batch.interfaces)
            self.ports[batch.device] = _port_rates(batch)
        elif isinstance(batch, DeviceRecord):
            self._note_device(tally, batch)
        else:
            tally.received += 1

    def forget(self, devices: set[Entity]) -> None:
        """Keep only these devices: the others are no longer configured."""
        for table in (self.ports, self.devices, self.last_answer_ns):
            for device in [device for device in table if device not in devices]:
                del table[device]

    def _note_flows(self, tally: SourceTally, batch: FlowBatch) -> None:
        loss = batch.loss
        tally.received += loss.received
        seconds = (batch.end_ns - batch.start_ns) / NANOSECONDS_PER_SECOND
        tally.rate = loss.received / seconds if seconds > 0 else None
        self._metrics.received_packets_total.inc(loss.received, collector=batch.source)
        octets = int(batch.slices["initiator_octets"].sum()) + int(batch.slices["responder_octets"].sum())
        self._metrics.received_bytes_total.inc(octets, collector=batch.source)
        unplaced = loss.dropped - sum(packets for _, packets in loss.dropped_by)
        for place, packets in (*loss.dropped_by, (UNPLACED, unplaced)):
            if packets:
                tally.dropped[place] += packets
                self._metrics.dropped_packets_total.inc(packets, collector=batch.source, place=place)
        if loss.refused:
            tally.dropped["flow_table_full"] += loss.refused
            self._metrics.flow_cache_evictions_total.inc(loss.refused, reason="refused")
        for reason, packets in loss.undecodable:
            tally.dropped[reason] += packets
            self._metrics.decode_errors_total.inc(packets, collector=batch.source, error_type=reason)

    def _note_device(self, tally: SourceTally, record: DeviceRecord) -> None:
        tally.received += 1
        self.devices[record.device] = record
        if record.is_reachable:
            self.last_answer_ns[record.device] = record.end_ns
        if record.timeouts:
            tally.dropped["timeout"] += record.timeouts
        self._metrics.snmp_polls_total.inc(outcome="answered" if record.is_reachable else "failed")
        self._metrics.snmp_poll_duration_seconds.observe((record.end_ns - record.start_ns) / NANOSECONDS_PER_SECOND)


def _port_rates(batch: InterfaceBatch) -> tuple[InterfaceStatus, ...]:
    seconds = batch.duration_ns / NANOSECONDS_PER_SECOND
    count = min(len(batch.interfaces), MAX_PORTS)
    is_known = (batch.invalid[:count] == InvalidReason.VALID) & (seconds > 0)
    rates = np.where(is_known, batch.deltas[:count] / (seconds or 1.0), np.nan)
    errors = np.where(is_known[:, _ERROR_COLUMNS].any(axis=1), np.nansum(rates[:, _ERROR_COLUMNS], axis=1), np.nan)
    return tuple(
        InterfaceStatus(
            name=interface.name.partition("/")[2] or interface.name,
            state=_STATES.get(oper_status, "unknown"),
            receive_bits_per_second=None if math.isnan(receive) else receive * 8,
            transmit_bits_per_second=None if math.isnan(transmit) else transmit * 8,
            speed_bits_per_second=speed * 1e6 if speed else None,
            error_rate=None if math.isnan(error_rate) else error_rate,
            alias=alias,
        )
        for interface, oper_status, receive, transmit, speed, error_rate, alias in zip(
            batch.interfaces[:count],
            batch.if_oper_status[:count].tolist(),
            rates[:, _COLUMN["if_hc_in_octets"]].tolist(),
            rates[:, _COLUMN["if_hc_out_octets"]].tolist(),
            batch.if_high_speed[:count].tolist(),
            errors.tolist(),
            batch.if_alias[:count],
            strict=True,
        )
    )

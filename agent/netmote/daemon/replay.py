"""A capture file through metering and analysis, as the daemon would have seen it live. No store, no clock: event time only."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netmote.analysis.analysis import Analysis
from netmote.analysis.outcome import Outcome
from netmote.capture.packet_filter import PacketFilter
from netmote.capture.pcap_file import read_capture
from netmote.daemon.config import Config
from netmote.daemon.ring_metering import IDLE_MARGIN_NS
from netmote.errors import Permanent
from netmote.metering.flow_meter import FlowMeter
from netmote.metering.neighbours import Neighbours
from netmote.records.fact import FactBatch
from netmote.records.flow import FlowBatch

# Bound on the meters of one file; each allocates its flow table.
MAX_INTERFACES = 64


@dataclass
class ReplaySummary:
    """Totals of one file: `packets = metered + refused + sum(undecodable)`."""

    packets: int = 0
    left_out: int = 0  # by a filter: in none of the others
    metered: int = 0
    refused: int = 0
    undecodable: Counter[str] = field(default_factory=Counter)
    slices: int = 0
    windows: int = 0
    alerts: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "undecodable": dict(sorted(self.undecodable.items()))}


def replay_capture(
    capture: Path,
    config: Config,
    analysis: Analysis,
    *,
    interface: str,
    outcome: Callable[[Outcome], None],
    advanced: Callable[[int], None] = lambda _packets: None,
    packet_filter: PacketFilter | None = None,
) -> ReplaySummary:
    """Run one file from a cold state: `analysis` is begun anew, so that rules and models are read once for many files.

    `outcome` gets every step's result, `advanced` the packets read. With a filter of this file's own there
    are no other packets than those it wants; its errors are raised too. Raises UnreadableCapture for a file that is no capture.
    """
    analysis.begin_anew()
    summary = ReplaySummary()

    def take(step: Outcome) -> None:
        summary.windows += sum(len(window.entities) for window in step.vectors)
        summary.alerts += len(step.alerts)
        if step:
            outcome(step)

    for batch in flow_batches(capture, config, interface=interface, advanced=advanced, packet_filter=packet_filter):
        if isinstance(batch, FlowBatch):
            _count(summary, batch)
        take(analysis.observe(batch))
    if packet_filter is not None:
        summary.left_out = packet_filter.rejected
    take(analysis.finish())
    return summary


def flow_batches(
    capture: Path,
    config: Config,
    *,
    interface: str,
    advanced: Callable[[int], None] = lambda _packets: None,
    packet_filter: PacketFilter | None = None,
) -> Iterator[FlowBatch | FactBatch]:
    """The panes of a file, metered as the daemon meters its interfaces: one meter each, where the file names several. Also the facts
    about who claims which address.

    `interface` names what the file leaves unnamed. An interface without packets is moved on by the others' event time, as the
    clock moves it on live.
    """
    meters: dict[str, FlowMeter] = {}
    neighbours: dict[str, Neighbours] = {}
    for packets in read_capture(capture, packet_filter=packet_filter, tunnels=config.capture.tunnels):
        advanced(packets.received)
        name = packets.interface or interface
        if name not in meters:
            if len(meters) >= MAX_INTERFACES:
                raise Permanent(f"{capture}: names more than {MAX_INTERFACES} interfaces")
            meters[name] = _meter(name, config)
            neighbours[name] = Neighbours(source=meters[name].source)
        yield from meters[name].meter(packets, dropped=packets.dropped)
        yield from neighbours[name].observe(packets.claims)
        if len(meters) > 1 and len(packets):
            reached = int(packets.timestamp_ns.max()) - IDLE_MARGIN_NS
            for other in meters.values():
                if other is not meters[name]:
                    yield from other.advance(reached)
    for meter in meters.values():
        yield from meter.flush()


def _meter(interface: str, config: Config) -> FlowMeter:
    return FlowMeter.configured(config.metering, source=f"capture:{interface}", interface=interface)


def _count(summary: ReplaySummary, batch: FlowBatch) -> None:
    summary.packets += batch.loss.received
    summary.metered += batch.loss.metered
    summary.refused += batch.loss.refused
    summary.slices += len(batch.slices)
    for reason, count in batch.loss.undecodable:
        summary.undecodable[reason] += count

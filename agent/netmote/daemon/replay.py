"""A capture file through metering and analysis, as the daemon would have seen it live. No store, no clock: event time only."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netmote.analysis.assembly import assemble
from netmote.analysis.outcome import Outcome
from netmote.capture.pcap_file import CaptureFile
from netmote.clock import NANOSECONDS_PER_SECOND
from netmote.daemon.config import Config
from netmote.metering.flow_meter import FlowMeter
from netmote.records.flow import FlowBatch


@dataclass
class ReplaySummary:
    """Totals of one file: `packets = metered + refused + sum(undecodable)`."""

    packets: int = 0
    metered: int = 0
    refused: int = 0
    undecodable: Counter[str] = field(default_factory=Counter)
    slices: int = 0
    windows: int = 0
    alerts: int = 0
    damage: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "undecodable": dict(sorted(self.undecodable.items()))}


def replay_capture(
    capture: Path,
    config: Config,
    *,
    interface: str,
    outcome: Callable[[Outcome], None],
    advanced: Callable[[int], None] = lambda _packets: None,
) -> ReplaySummary:
    """Run one file from a cold state. `outcome` gets every step's result, `advanced` the packets read. Raises for a file that is no capture."""
    analysis = assemble(config, sensor=config.sensor_name).analysis
    summary = ReplaySummary()

    def take(step: Outcome) -> None:
        summary.windows += sum(len(window.entities) for window in step.vectors)
        summary.alerts += len(step.alerts)
        if step:
            outcome(step)

    for batch in flow_batches(capture, config, interface=interface, advanced=advanced, summary=summary):
        _count(summary, batch)
        take(analysis.observe(batch))
    take(analysis.finish())
    return summary


def flow_batches(
    capture: Path,
    config: Config,
    *,
    interface: str,
    advanced: Callable[[int], None] = lambda _packets: None,
    summary: ReplaySummary | None = None,
) -> Iterator[FlowBatch]:
    """The panes of a file, metered as the daemon meters that interface."""
    meter = FlowMeter(
        source=f"capture:{interface}",
        interface=interface,
        max_flows=config.metering.max_flows,
        active_timeout_ns=round(config.metering.active_timeout * NANOSECONDS_PER_SECOND),
        idle_timeout_ns=round(config.metering.idle_timeout * NANOSECONDS_PER_SECOND),
        when_full=config.metering.when_full,
    )
    with CaptureFile(capture) as packets_of:
        for packets in packets_of:
            advanced(len(packets))
            yield from meter.meter(packets)
        if summary is not None:
            summary.damage = packets_of.damage
    yield from meter.flush()


def _count(summary: ReplaySummary, batch: FlowBatch) -> None:
    summary.packets += batch.loss.received
    summary.metered += batch.loss.metered
    summary.refused += batch.loss.refused
    summary.slices += len(batch.slices)
    for reason, count in batch.loss.undecodable:
        summary.undecodable[reason] += count

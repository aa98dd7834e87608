"""The one table of sinks and flow exporters: which class stands behind which type name."""

from collections.abc import Mapping
from pathlib import Path

from netmote.clock import Clock
from netmote.daemon.config import FlowExportConfig, SinkConfig
from netmote.flow_export.eve.config import EveConfig
from netmote.flow_export.eve.exporter import EveExporter
from netmote.flow_export.exporter import FlowExporter
from netmote.flow_export.flow_queue import ExportTally
from netmote.flow_export.ipfix.exporter import IpfixExporter
from netmote.flow_export.metering_totals import MeteringTotals
from netmote.sinks.journal.config import JournalConfig
from netmote.sinks.journal.sink import JournalSink
from netmote.sinks.sink import Sink
from netmote.sinks.webhook.sink import WebhookSink


def build_sink(config: SinkConfig) -> Sink:
    """The sink of this configuration, not opened."""
    if isinstance(config, JournalConfig):
        return JournalSink(config)
    return WebhookSink(config)


def build_exporter(
    config: FlowExportConfig,
    *,
    clock: Clock,
    tally: ExportTally,
    metering: Mapping[str, MeteringTotals],
    state_dir: Path,
    free_space_floor: int,
) -> FlowExporter:
    """The flow exporter of this configuration, not opened."""
    if isinstance(config, EveConfig):
        return EveExporter(config, clock=clock, state_dir=state_dir, free_space_floor=free_space_floor)
    return IpfixExporter(config, clock=clock, tally=tally, metering=metering)

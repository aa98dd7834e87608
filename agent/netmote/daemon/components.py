"""The one table of sinks and flow exporters: which class stands behind which type name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from netmote.clock import Clock
from netmote.daemon.config import FlowExportConfig, SinkConfig
from netmote.flow_export.eve.config import EveConfig
from netmote.flow_export.eve.exporter import EveExporter
from netmote.flow_export.exporter import FlowExporter
from netmote.flow_export.flow_queue import ExportTally
from netmote.flow_export.ipfix.exporter import IpfixExporter
from netmote.flow_export.metering_totals import MeteringTotals
from netmote.sinks.alertmanager.config import AlertmanagerConfig
from netmote.sinks.file.config import FileConfig
from netmote.sinks.journal.config import JournalConfig
from netmote.sinks.journal.sink import JournalSink
from netmote.sinks.kafka.config import KafkaConfig
from netmote.sinks.mqtt.config import MqttConfig
from netmote.sinks.nats.config import NatsConfig
from netmote.sinks.otlp.config import OtlpConfig
from netmote.sinks.relp.config import RelpConfig
from netmote.sinks.sink import Sink
from netmote.sinks.syslog.config import SyslogConfig
from netmote.sinks.webhook.config import WebhookConfig
from netmote.sinks.webhook.sink import WebhookSink


def _alertmanager(config: AlertmanagerConfig) -> Sink:
    from netmote.sinks.alertmanager.sink import AlertmanagerSink  # noqa: PLC0415 - nobody pays for a sink that is not configured

    return AlertmanagerSink(config)


def _nats(config: NatsConfig) -> Sink:
    from netmote.sinks.nats.sink import NatsSink  # noqa: PLC0415 - its library is an extra

    return NatsSink(config)


def _relp(config: RelpConfig) -> Sink:
    from netmote.sinks.relp.sink import RelpSink  # noqa: PLC0415 - nobody pays for a sink that is not configured

    return RelpSink(config)


def _syslog(config: SyslogConfig) -> Sink:
    from netmote.sinks.syslog.sink import SyslogSink  # noqa: PLC0415 - nobody pays for a sink that is not configured

    return SyslogSink(config)


def _file(config: FileConfig) -> Sink:
    from netmote.sinks.file.sink import FileSink  # noqa: PLC0415 - nobody pays for a sink that is not configured

    return FileSink(config)


def _kafka(config: KafkaConfig) -> Sink:
    from netmote.sinks.kafka.sink import KafkaSink  # noqa: PLC0415 - its library is an extra

    return KafkaSink(config)


def _otlp(config: OtlpConfig) -> Sink:
    from netmote.sinks.otlp.sink import OtlpSink  # noqa: PLC0415 - its library is an extra

    return OtlpSink(config)


def _mqtt(config: MqttConfig) -> Sink:
    from netmote.sinks.mqtt.sink import MqttSink  # noqa: PLC0415 - its library is an extra

    return MqttSink(config)


_SINKS: Mapping[type, Callable[[Any], Sink]] = {
    JournalConfig: JournalSink,
    WebhookConfig: WebhookSink,
    AlertmanagerConfig: _alertmanager,
    NatsConfig: _nats,
    RelpConfig: _relp,
    SyslogConfig: _syslog,
    FileConfig: _file,
    MqttConfig: _mqtt,
    KafkaConfig: _kafka,
    OtlpConfig: _otlp,
}


def build_sink(config: SinkConfig) -> Sink:
    """The sink of this configuration, not opened."""
    return _SINKS[type(config)](config)


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

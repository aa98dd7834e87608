"""The root of the configuration document: every component's own model, under its name."""

import socket
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from netmote.analysis.config import AnalysisConfig
from netmote.capture.config import CaptureConfig
from netmote.config.document import check_document
from netmote.config.drop_in import load_with_drop_ins
from netmote.flow_export.eve.config import EveConfig
from netmote.flow_export.ipfix.config import IpfixConfig
from netmote.host.config import HostConfig
from netmote.metering.config import MeteringConfig
from netmote.privacy.config import PrivacyConfig
from netmote.privacy.treatment import LOCAL_PREFIX
from netmote.sinks.alertmanager.config import AlertmanagerConfig
from netmote.sinks.file.config import FileConfig
from netmote.sinks.journal.config import JournalConfig
from netmote.sinks.kafka.config import KafkaConfig
from netmote.sinks.mqtt.config import MqttConfig
from netmote.sinks.nats.config import NatsConfig
from netmote.sinks.otlp.config import OtlpConfig
from netmote.sinks.relp.config import RelpConfig
from netmote.sinks.syslog.config import SyslogConfig
from netmote.sinks.webhook.config import WebhookConfig
from netmote.snmp.config import SnmpConfig
from netmote.store.config import StoreConfig
from netmote.telemetry.config import HeartbeatConfig, LogConfig
from netmote.web.config import WebConfig

SinkConfig = Annotated[
    JournalConfig
    | WebhookConfig
    | NatsConfig
    | RelpConfig
    | SyslogConfig
    | FileConfig
    | MqttConfig
    | KafkaConfig
    | OtlpConfig
    | AlertmanagerConfig,
    Field(discriminator="type"),
]
FlowExportConfig = Annotated[IpfixConfig | EveConfig, Field(discriminator="type")]


class Config(AnalysisConfig):
    """The whole document. Every key has a default: an empty document runs."""

    sensor: str = Field(default="", max_length=64, pattern=r"^[^/:\s]*$")
    """Name of this sensor in records, alerts and upstream; no slash, colon or blank. Empty: the host name."""

    state_dir: Path | None = None
    """Where the ledger and the telemetry lie. Unset: $STATE_DIRECTORY, else ./var. `--state-dir` goes before all."""

    capture: CaptureConfig = CaptureConfig()
    """Packet capture on this machine's interfaces."""

    metering: MeteringConfig = MeteringConfig()
    """Flow records out of packets."""

    snmp: SnmpConfig = SnmpConfig()
    """Polled devices."""

    host: HostConfig = HostConfig()
    """Readings of this machine."""

    store: StoreConfig = StoreConfig()
    """The local database."""

    sinks: tuple[SinkConfig, ...] = (JournalConfig(type="journal"),)
    """Where alerts go. Each has a name of its own, under which the ledger remembers how far it got."""

    flow_export: tuple[FlowExportConfig, ...] = ()
    """Where flow records go, beside the store. Each has a name of its own. None: no flow leaves this machine."""

    privacy: PrivacyConfig = PrivacyConfig()
    """What becomes of addresses at rest and upstream."""

    heartbeat: HeartbeatConfig = HeartbeatConfig()
    """Signs of life to the sinks."""

    web: WebConfig = WebConfig()
    """The status page and the metrics."""

    log: LogConfig = LogConfig()
    """The agent's own log."""

    @model_validator(mode="after")
    def _sink_names(self) -> Self:
        names = [sink.name for sink in self.sinks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"sink names are unique; given twice: {', '.join(twice)}")
        unknown = sorted(set(self.heartbeat.left_out_sinks) - set(names))
        if unknown:
            raise ValueError(f"heartbeat.left_out_sinks names sinks there are not: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _export_names(self) -> Self:
        names = [export.name for export in self.flow_export]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names of flow exporters are unique; given twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _privacy(self) -> Self:
        privacy = self.privacy
        names = {sink.name for sink in self.sinks} | {export.name for export in self.flow_export}
        if unknown := sorted(set(privacy.sinks) - names):
            raise ValueError(f"privacy.sinks names sinks there are not: {', '.join(unknown)}")
        if privacy.at_rest == "keep":
            bare = sorted(export.name for export in self.flow_export if privacy.treatment_of(export.name) != "keep")
            if bare:
                raise ValueError(
                    f"flow_export sends addresses as they are at rest: set privacy.at_rest, or privacy.sinks: {{{bare[0]}: keep}}"
                )
            return self
        if self.capture.evidence_size or self.capture.tee_dir is not None:
            raise ValueError(
                "privacy.at_rest hides addresses, packets on disk would show them: capture.evidence_size: 0B, no tee_dir"
            )
        is_local = any(network.version == 6 and LOCAL_PREFIX.subnet_of(network) for network in self.windows.local_networks)
        if privacy.at_rest == "hash" and not is_local:
            raise ValueError(f"pseudonyms of your hosts lie in {LOCAL_PREFIX}: add it to windows.local_networks")
        return self

    @property
    def sensor_name(self) -> str:
        """The configured name, else the host name made fit for one."""
        return self.sensor or "".join("-" if c in "/: \t" else c for c in socket.gethostname())[:64] or "sensor"


def load_config(path: Path) -> Config:
    """Read and check a document and its drop-ins (`conf.d/*.yaml` beside it). Raises ConfigError with every problem and its line."""
    return check_document(load_with_drop_ins(path), Config)

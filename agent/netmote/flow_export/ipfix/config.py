"""Configuration of the IPFIX exporter."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from netmote.config.section import Duration, Section

# Templates and statistics fit into the least; the most is what UDP carries over IPv4.
LEAST_MESSAGE_OCTETS, MOST_MESSAGE_OCTETS = 1_000, 65_507


class IpfixConfig(Section):
    """Flow records as IPFIX (RFC 7011) to one collector."""

    type: Literal["ipfix"]
    """Which exporter this is."""

    name: str = Field(default="ipfix", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in status, metrics and log lines; unique among the exporters."""

    host: str = Field(min_length=1, max_length=253, pattern=r"^\S+$")
    """The collector: an address or a name, which is looked up each time a session begins."""

    port: int = Field(default=4739, ge=1, le=65_535)
    """The collector's port; 4739 is IANA's for IPFIX over UDP and TCP, 4740 for TLS."""

    transport: Literal["udp", "tcp", "tls"] = "udp"
    """udp: what nearly every collector takes, and what is lost on the way stays lost. tcp, tls: the collector's pace is kept."""

    records: Literal["uniflow", "biflow"] = "uniflow"
    """uniflow: a record for each direction, which every collector reads. biflow: both in one, by RFC 5103."""

    template_refresh: Duration = Field(default=60.0, ge=1.0, le=3_600.0)
    """How often templates are sent again over UDP (RFC 7011 section 8.4): a collector that began later is blind until then."""

    statistics_interval: Duration = Field(default=60.0, ge=1.0, le=3_600.0)
    """How often the collector is told what was exported, ignored and not sent (RFC 7011 section 4)."""

    message_size: int = Field(default=1_400, ge=LEAST_MESSAGE_OCTETS, le=MOST_MESSAGE_OCTETS)
    """The most octets of one message. Over UDP it should fit the path's MTU with its headers, or it travels in fragments."""

    messages_per_second: int = Field(default=2_000, ge=10, le=1_000_000)
    """The most messages a second over UDP, so that a burst of flows does not overrun the collector's socket buffer."""

    queue_size: int = Field(default=50_000, ge=1_000, le=5_000_000)
    """Flows that wait while the collector cannot be reached (about 300 bytes each). Full: the oldest are lost, and counted."""

    ca_file: Path | None = None
    """PEM file of the authorities that may have signed the collector's certificate (tls). Unset: those of this machine."""

    client_certificate: Path | None = None
    """PEM file of this sensor's certificate chain (tls), which RFC 7011 section 11.3 asks for. Unset: none is shown."""

    client_key: Path | None = None
    """PEM file of the key of `client_certificate`, without passphrase. Unset: the key lies in the certificate's file."""

    @model_validator(mode="after")
    def _transport(self) -> Self:
        for field in ("ca_file", "client_certificate", "client_key"):
            if getattr(self, field) is not None and self.transport != "tls":
                raise ValueError(f"{field} means nothing without transport: tls")
        if self.client_key is not None and self.client_certificate is None:
            raise ValueError("client_key needs a client_certificate")
        return self

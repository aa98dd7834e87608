"""Configuration of the Kafka sink."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from netmote.config.section import ByteSize, Duration, Secret
from netmote.sinks.destination import Destination, destination
from netmote.sinks.libraries import require_library
from netmote.sinks.tls import TlsConfig

_PORT = 9092


class KafkaConfig(TlsConfig):
    """Alerts to Kafka with an idempotent producer, one CloudEvent a record, keyed by sensor, acknowledged by all in-sync replicas."""

    type: Literal["kafka"]
    """Which sink this is."""

    name: str = Field(default="kafka", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in status, metrics and log lines; unique among the sinks. The delivery cursor is kept under it."""

    servers: tuple[str, ...] = Field(min_length=1, max_length=16)
    """Brokers to ask for the others, tried in turn: `host:port`, `host` alone, or `[address]:port`."""

    encryption: Literal["tls", "none"] = "tls"
    """`none` on loopback, or with `allow_plain_text`. Of every broker alike, those the first ones name as well."""

    allow_plain_text: bool = False
    """Permit `encryption: none` beyond loopback: alerts and password can then be read on the way."""

    topic: str = Field(default="netmote.alerts", min_length=1, max_length=249, pattern=r"^[A-Za-z0-9._-]+$")
    """Topic of the alerts. The sensor is the key, so that the alerts of one sensor keep their order."""

    heartbeat_topic: str = Field(default="netmote.heartbeats", min_length=1, max_length=249, pattern=r"^[A-Za-z0-9._-]+$")
    """Topic of the signs of life."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How user and password are shown (SASL). `PLAIN` wants encryption."""

    user: str | None = Field(default=None, min_length=1, max_length=256)
    """User name. Unset: no SASL."""

    password: Secret | None = None
    """Password of `user`, by reference."""

    compression: Literal["gzip", "none"] = "gzip"
    """How batches of records are encoded."""

    max_message_size: ByteSize = Field(default=1_000_000, ge=1_000, le=100_000_000)
    """The largest record the brokers take (message.max.bytes): a larger alert is quarantined without being sent."""

    timeout: Duration = Field(default=10.0, ge=0.1, le=300.0)
    """How long one batch may take, from connecting to the last acknowledgement."""

    batch_size: int = Field(default=100, ge=1, le=1_000)
    """The most alerts under way at once."""

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """The brokers to begin with."""
        return tuple(destination(server, default_port=_PORT) for server in self.servers)

    @field_validator("servers")
    @classmethod
    def _servers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for server in value:
            destination(server, default_port=_PORT)
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        require_library("aiokafka", extra="kafka")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        if self.encryption == "none":
            beyond = [each for each in self.destinations if not each.is_loopback]
            if beyond and not self.allow_plain_text:
                raise ValueError(f"{beyond[0]} is not on this machine; use encryption: tls, or allow_plain_text: true")
            for field in self.names_files():
                raise ValueError(f"{field} means nothing with encryption: none")
        return self

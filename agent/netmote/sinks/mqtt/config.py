"""Configuration of the MQTT sink."""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from netmote.config.section import Duration, Secret
from netmote.sinks.destination import Destination, destination
from netmote.sinks.libraries import require_library
from netmote.sinks.tls import TlsConfig

# MQTT 5.0 section 4.7: levels between slashes; + and # are for subscribers, $ begins topics of the broker's own.
_TOPIC = re.compile(r"[^+#\x00$/][^+#\x00]*[^+#\x00/]|[^+#\x00$/]")


class MqttConfig(TlsConfig):
    """Alerts to an MQTT 5 broker with QoS 1, one CloudEvent a message. What the broker does with an alert it took is its own affair."""

    type: Literal["mqtt"]
    """Which sink this is."""

    name: str = Field(default="mqtt", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in status, metrics and log lines; unique among the sinks. The delivery cursor is kept under it."""

    server: str = Field(max_length=300)
    """The broker: `host:port`, `host` alone, or `[address]:port`."""

    encryption: Literal["tls", "none"] = "tls"
    """`none` on loopback, or with `allow_plain_text`."""

    allow_plain_text: bool = False
    """Permit `encryption: none` beyond loopback: alerts and password can then be read on the way."""

    topic: str = Field(default="netmote/alerts", max_length=256)
    """Alerts are published to `<topic>/<sensor>/<severity>`."""

    heartbeat_topic: str = Field(default="netmote/heartbeats", max_length=256)
    """Signs of life are published to `<heartbeat_topic>/<sensor>`."""

    client_id: str = Field(default="", max_length=64, pattern=r"^[A-Za-z0-9_.-]*$")
    """Client identifier, for brokers that know their clients by it. Empty: the broker gives one."""

    user: str | None = Field(default=None, min_length=1, max_length=256)
    """User name. Unset: none is sent."""

    password: Secret | None = None
    """Password of `user`, by reference."""

    timeout: Duration = Field(default=10.0, ge=0.1, le=300.0)
    """How long one batch may take, from connecting to the last acknowledgement."""

    batch_size: int = Field(default=100, ge=1, le=1_000)
    """The most alerts handed over in one go; the broker says how many may be under way."""

    @property
    def destination(self) -> Destination:
        """The broker; IANA has port 8883 for MQTT over TLS and 1883 without."""
        return destination(self.server, default_port=8883 if self.encryption == "tls" else 1883)

    @field_validator("server")
    @classmethod
    def _server(cls, value: str) -> str:
        destination(value, default_port=1883)
        return value

    @field_validator("topic", "heartbeat_topic")
    @classmethod
    def _topics(cls, value: str) -> str:
        if not _TOPIC.fullmatch(value) or not value.isprintable():
            raise ValueError(f"{value!r} is not a topic: levels joined by slashes, without + and #, not beginning with $ or /")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        require_library("aiomqtt", extra="mqtt")
        if self.password is not None and self.user is None:
            raise ValueError("password needs a user")
        if self.encryption == "none":
            if not self.allow_plain_text and not self.destination.is_loopback:
                raise ValueError(f"{self.server} is not on this machine; use encryption: tls, or allow_plain_text: true")
            for field in self.names_files():
                raise ValueError(f"{field} means nothing with encryption: none")
        return self

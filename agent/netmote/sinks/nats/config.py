"""Configuration of the NATS JetStream sink."""

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from netmote.config.section import Duration, Secret
from netmote.sinks.destination import is_loopback
from netmote.sinks.libraries import require_library
from netmote.sinks.tls import TlsConfig

# Tokens between dots; blanks and the wildcards * and > are for subscribers (NATS "Subject-Based Messaging").
_SUBJECT = re.compile(r"[^\s.*>$][^\s.*>]*(\.[^\s.*>]+)*")


class NatsConfig(TlsConfig):
    """Alerts to NATS JetStream, one CloudEvent a message, each acknowledged by the stream that stored it."""

    type: Literal["nats"]
    """Which sink this is."""

    name: str = Field(default="nats", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in status, metrics and log lines; unique among the sinks. The delivery cursor is kept under it."""

    servers: tuple[str, ...] = Field(min_length=1, max_length=16)
    """Servers of one cluster, tried in turn: `tls://host:4222`, or `nats://host:4222` on loopback."""

    allow_plain_text: bool = False
    """Permit nats:// beyond loopback: alerts and password can then be read on the way."""

    subject: str = Field(default="netmote.alerts", max_length=128)
    """Alerts are published to `<subject>.<sensor>.<severity>`; a stream must store them."""

    heartbeat_subject: str = Field(default="netmote.heartbeats", max_length=128)
    """Signs of life are published to `<heartbeat_subject>.<sensor>`; a stream may store them."""

    stream: str | None = Field(default=None, min_length=1, max_length=255, pattern=r"^[^\s.*>/\\]+$")
    """The stream that must store the alerts; another one's acknowledgement is then no delivery. Unset: any."""

    user: str | None = Field(default=None, min_length=1, max_length=256)
    """User name. Unset: none is sent."""

    password: Secret | None = None
    """Password of `user`, by reference."""

    nkey_seed: Secret | None = None
    """Seed of this sensor's NKey (begins with SU), by reference: a challenge is signed with it, it is never sent."""

    timeout: Duration = Field(default=10.0, ge=0.1, le=300.0)
    """How long one batch may take, from connecting to the last acknowledgement."""

    batch_size: int = Field(default=100, ge=1, le=1_000)
    """The most alerts under way at once."""

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is required of every server."""
        return self.servers[0].startswith("tls://")

    @field_validator("servers")
    @classmethod
    def _servers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for server in value:
            parts = urlsplit(server)
            if (
                parts.scheme not in ("nats", "tls")
                or not parts.hostname
                or parts.path.strip("/")
                or parts.query
                or parts.fragment
            ):
                raise ValueError(f"{server!r} is not an address such as tls://nats.example:4222")
            if parts.username is not None or parts.password is not None:
                raise ValueError("user name and password do not belong in the address; use user: and password:")
            try:
                _ = parts.port
            except ValueError as error:
                raise ValueError(f"{server!r}: {error}") from error
        if len({urlsplit(server).scheme for server in value}) > 1:
            raise ValueError("nats:// and tls:// do not go together: a password would be readable on its way to some of them")
        return value

    @field_validator("subject", "heartbeat_subject")
    @classmethod
    def _subjects(cls, value: str) -> str:
        if not _SUBJECT.fullmatch(value) or not value.isprintable():
            raise ValueError(f"{value!r} is not a subject: words joined by dots, without blanks, * and >, not beginning with $")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        require_library("nats", extra="nats")
        if self.nkey_seed is not None:
            require_library("nkeys", extra="nats")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        if self.user is not None and self.nkey_seed is not None:
            raise ValueError("either user and password, or nkey_seed")
        if not self.is_encrypted:
            open_servers = [s for s in self.servers if not is_loopback(urlsplit(s).hostname or "")]
            if open_servers and not self.allow_plain_text:
                raise ValueError(f"{open_servers[0]} is not encrypted; use tls://, or allow_plain_text: true")
            for field in self.names_files():
                raise ValueError(f"{field} means nothing without tls://")
        return self

"""Configuration of the webhook sink."""

import ipaddress
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from netmote.config.section import Duration, Secret, Section


def _is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine: `localhost` (RFC 6761 section 6.3) or a loopback address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class WebhookConfig(Section):
    """Alerts by HTTP(S) POST, as batches of CloudEvents 1.0 (`application/cloudevents-batch+json`)."""

    type: Literal["webhook"]
    """Which sink this is."""

    name: str = Field(default="webhook", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in status, metrics and log lines; unique among the sinks. The delivery cursor is kept under it."""

    url: str = Field(max_length=2_048)
    """Where batches are posted: an https address, or http on loopback. Without user name, password or fragment."""

    allow_plain_text: bool = False
    """Permit http:// beyond loopback: alerts and token can then be read on the way."""

    token: Secret | None = None
    """Bearer token (RFC 6750), by reference. Unset: no Authorization header."""

    ca_file: Path | None = None
    """PEM file of the authorities that may have signed the receiver's certificate. Unset: those of this machine."""

    client_certificate: Path | None = None
    """PEM file of this sensor's certificate chain, for receivers that ask for one. Unset: none is shown."""

    client_key: Path | None = None
    """PEM file of the key of `client_certificate`, without passphrase. Unset: the key lies in the certificate's file."""

    compression: Literal["gzip", "none"] = "gzip"
    """How bodies over 1 kB are encoded; `none` for receivers that refuse Content-Encoding."""

    timeout: Duration = Field(default=10.0, ge=0.1, le=300.0)
    """How long one POST may take, from connecting to the answer's end."""

    batch_size: int = Field(default=100, ge=1, le=1_000)
    """The most alerts in one POST."""

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{value!r} is not an http or https address, such as https://collector.example/alerts")
        if parts.username is not None or parts.password is not None:
            raise ValueError("user name and password do not belong in the address; use token: by reference")
        if parts.fragment:
            raise ValueError(f"the fragment #{parts.fragment} is never sent; leave it out")
        try:
            _ = parts.port
        except ValueError as error:
            raise ValueError(f"{value!r}: {error}") from error
        return value

    @model_validator(mode="after")
    def _transport(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme == "http":
            if not self.allow_plain_text and not _is_loopback(parts.hostname or ""):
                raise ValueError(f"{self.url} is not encrypted; use https://, or allow_plain_text: true")
            for field in ("ca_file", "client_certificate", "client_key"):
                if getattr(self, field) is not None:
                    raise ValueError(f"{field} means nothing without https://")
        if self.client_key is not None and self.client_certificate is None:
            raise ValueError("client_key needs a client_certificate")
        return self

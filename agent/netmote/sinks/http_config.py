"""Configuration that every sink over HTTP shares: where, how protected, as whom, how long."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from netmote.config.section import Duration, Secret
from netmote.sinks.destination import is_loopback
from netmote.sinks.tls import TlsConfig


class HttpConfig(TlsConfig):
    """The keys of a sink over HTTP; its model inherits them."""

    url: str = Field(max_length=2_048)
    """Where it is posted: an https address, or http on loopback. Without user name, password or fragment."""

    allow_plain_text: bool = False
    """Permit http:// beyond loopback: alerts and token can then be read on the way."""

    token: Secret | None = None
    """Bearer token (RFC 6750), by reference. Unset: no Authorization header."""

    timeout: Duration = Field(default=10.0, ge=0.1, le=300.0)
    """How long one POST may take, from connecting to the answer's end."""

    @property
    def is_encrypted(self) -> bool:
        """Whether it is spoken over TLS."""
        return urlsplit(self.url).scheme == "https"

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
        if not self.is_encrypted:
            if not self.allow_plain_text and not is_loopback(urlsplit(self.url).hostname or ""):
                raise ValueError(f"{self.url} is not encrypted; use https://, or allow_plain_text: true")
            for field in self.names_files():
                raise ValueError(f"{field} means nothing without https://")
        return self

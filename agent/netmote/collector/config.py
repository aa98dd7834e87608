"""What `netmote collector` is told, checked before anything listens."""

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from netmote.config.section import ByteSize, Secret, Section


class CollectorConfig(Section):
    """One collector: where it listens, whom it lets in, and how much it keeps."""

    address: str = "127.0.0.1"
    """Where sensors post their batches. Beyond loopback only with a certificate, and a token or an authority of clients."""

    port: int = Field(default=8480, ge=0, le=65535)
    """TCP port of it; 0 takes any free one."""

    page_address: str = "127.0.0.1"
    """Loopback address of the page and of the JSON. Empty: neither."""

    page_port: int = Field(default=8481, ge=0, le=65535)
    """TCP port of it; 0 takes any free one."""

    database: Path
    """SQLite file of events and books."""

    database_size: ByteSize = Field(default=10**9, ge=2**20)
    """Bound of that file: at it the oldest events go, counted. Which numbers came stays known."""

    max_sensors: int = Field(default=10_000, ge=1)
    """Sensors and ledger epochs known at once; one more is told to try later."""

    certificate: Path | None = None
    """PEM file of the collector's certificate chain. Unset: plain HTTP, on loopback only."""

    key: Path | None = None
    """PEM file of its key. Unset: the key lies in the certificate's file."""

    client_ca: Path | None = None
    """PEM file of the authorities of sensors' certificates. Set: a sensor without such a certificate is refused."""

    match_names: bool = False
    """A sensor's certificate must carry the sensor's name (common name, or a DNS name of the subject's alternatives)."""

    token: Secret | None = None
    """Bearer token (RFC 6750) that every batch must carry, by reference."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not ipaddress.ip_address(self.address).is_loopback:
            if self.certificate is None:
                raise ValueError(f"{self.address} is not loopback: give a certificate, alerts are not for everyone on the way")
            if self.token is None and self.client_ca is None:
                raise ValueError(f"{self.address} is not loopback: give a token or a client_ca, or anyone could post")
        if self.page_address and not ipaddress.ip_address(self.page_address).is_loopback:
            raise ValueError(f"{self.page_address} is not loopback; the page has no authentication, put a proxy in front of it")
        if self.certificate is None and (self.key is not None or self.client_ca is not None):
            raise ValueError("key and client_ca mean nothing without a certificate")
        if self.match_names and self.client_ca is None:
            raise ValueError("match_names needs a client_ca")
        return self

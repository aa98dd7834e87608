"""Configuration of the status page."""

import ipaddress
from typing import Self

from pydantic import Field, model_validator

from netmote.config.section import Section


class WebConfig(Section):
    """Where the status page and the metrics are served."""

    address: str = "127.0.0.1"
    """Loopback address to listen on. Empty: no page."""

    port: int = Field(default=9464, ge=0, le=65535)
    """TCP port; 0 takes any free one."""

    @model_validator(mode="after")
    def _loopback(self) -> Self:
        if self.address and not ipaddress.ip_address(self.address).is_loopback:
            raise ValueError(f"{self.address} is not loopback; the page has no authentication, put a proxy in front of it")
        return self

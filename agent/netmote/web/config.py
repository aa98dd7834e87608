"""Configuration of the status page."""

import ipaddress
from pathlib import Path
from typing import Final, Self

from pydantic import Field, model_validator

from netmote.config.section import Section

_LONGEST_SOCKET_PATH: Final = 107  # unix(7): 108 with the NUL behind it


class WebConfig(Section):
    """Where the status page and the metrics are served."""

    address: str = "127.0.0.1"
    """Loopback address to listen on. Empty: no page."""

    port: int = Field(default=9464, ge=0, le=65535)
    """TCP port; 0 takes any free one."""

    socket: Path | None = None
    """Unix socket on which the page is served as well, by its absolute path: for a proxy on this machine that authenticates whom it
    lets through. Only this user and its group may open it. Unset: none."""

    @property
    def listens_at(self) -> str:
        """For people: every place; empty when there is none."""
        places = [f"{self.address}:{self.port}"] if self.address else []
        return " and ".join([*places, *([str(self.socket)] if self.socket else [])])

    @model_validator(mode="after")
    def _path(self) -> Self:
        if self.socket is not None:
            if not self.socket.is_absolute():
                raise ValueError(f"socket {self.socket} is not an absolute path")
            if len(str(self.socket).encode()) > _LONGEST_SOCKET_PATH:
                raise ValueError(f"socket {self.socket} is longer than the {_LONGEST_SOCKET_PATH} bytes a socket's path may have")
        return self

    @model_validator(mode="after")
    def _loopback(self) -> Self:
        if self.address and not ipaddress.ip_address(self.address).is_loopback:
            raise ValueError(f"{self.address} is not loopback; the page has no authentication, put a proxy in front of it")
        return self

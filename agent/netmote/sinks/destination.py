"""Where a sink connects to: `host:port` as users write it, and whether the way there stays on this machine. Pure."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Destination:
    """One address to connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether nothing leaves this machine on the way."""
        return is_loopback(self.host)


def destination(text: str, *, default_port: int) -> Destination:
    """The address in `host`, `host:port` or `[address]:port`. Raises ValueError with what is allowed."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path or parts.query or parts.fragment or any(c.isspace() for c in text):
        raise ValueError(f"{text!r} is not an address such as collector.example:{default_port}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("user name and password do not belong in the address")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error
    return Destination(parts.hostname, port or default_port)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: `localhost` (RFC 6761 section 6.3) or a loopback address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""Configuration of the syslog sink."""

from typing import Literal

from pydantic import Field

from netmote.sinks.destination import Destination, destination
from netmote.sinks.syslog_config import SyslogFields


class SyslogConfig(SyslogFields):
    """Alerts as RFC 5424 messages over TLS (RFC 5425). Nothing is acknowledged: what the receiver loses, is lost; RELP is better."""

    type: Literal["syslog"]
    """Which sink this is."""

    name: str = Field(default="syslog", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in status, metrics and log lines; unique among the sinks. The delivery cursor is kept under it."""

    @property
    def destination(self) -> Destination:
        """The server; RFC 5425 section 4.1 names port 6514 for TLS, RFC 6587 none for plain TCP, where 601 is usual."""
        return destination(self.server, default_port=6514 if self.encryption == "tls" else 601)

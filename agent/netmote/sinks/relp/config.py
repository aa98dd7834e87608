"""Configuration of the RELP sink."""

from typing import Literal

from pydantic import Field

from netmote.sinks.destination import Destination, destination
from netmote.sinks.syslog_config import SyslogFields


class RelpConfig(SyslogFields):
    """Alerts as RFC 5424 messages over RELP, the acknowledged transport of rsyslog, inside TLS."""

    type: Literal["relp"]
    """Which sink this is."""

    name: str = Field(default="relp", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in status, metrics and log lines; unique among the sinks. The delivery cursor is kept under it."""

    @property
    def destination(self) -> Destination:
        """The server; RELP has no registered port, 2514 is what rsyslog's documents use."""
        return destination(self.server, default_port=2514)

"""What the sinks that send RFC 5424 messages have in common in the configuration: where to, under which facility and number."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from netmote.config.section import Duration
from netmote.sinks.destination import destination
from netmote.sinks.syslog_message import EXAMPLE_ENTERPRISE
from netmote.sinks.tls import TlsConfig

Facility = Literal[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
]  # fmt: skip

# RFC 5424 section 6.2.1, table 1; 12 to 15 (NTP, audit) are nobody's to send from here.
FACILITIES = {
    name: number if number < 12 else number + 4
    for number, name in enumerate(Facility.__args__)  # type: ignore[attr-defined]
}


class SyslogFields(TlsConfig):
    """The keys of a sink that sends RFC 5424 messages over a stream; its model inherits them."""

    server: str = Field(max_length=300)
    """Where messages go: `host:port`, `host` alone, or `[address]:port`."""

    encryption: Literal["tls", "none"] = "tls"
    """`none` on loopback, or with `allow_plain_text`."""

    allow_plain_text: bool = False
    """Permit `encryption: none` beyond loopback: alerts can then be read and changed on the way."""

    facility: Facility = "local0"
    """Facility of every message (RFC 5424 section 6.2.1)."""

    enterprise_number: int = Field(default=EXAMPLE_ENTERPRISE, ge=1, le=2**32 - 1)
    """IANA private enterprise number in the names of structured data. The default is the one kept for examples."""

    timeout: Duration = Field(default=10.0, ge=0.1, le=300.0)
    """How long one batch may take, from connecting to its end."""

    batch_size: int = Field(default=100, ge=1, le=1_000)
    """The most alerts written in one go."""

    @property
    def facility_number(self) -> int:
        """The facility's number."""
        return FACILITIES[self.facility]

    @field_validator("server")
    @classmethod
    def _server(cls, value: str) -> str:
        destination(value, default_port=1)
        return value

    @model_validator(mode="after")
    def _transport(self) -> Self:
        if self.encryption == "none":
            if not self.allow_plain_text and not destination(self.server, default_port=1).is_loopback:
                raise ValueError(f"{self.server} is not on this machine; use encryption: tls, or allow_plain_text: true")
            for field in self.names_files():
                raise ValueError(f"{field} means nothing with encryption: none")
        return self

"""Configuration of the Alertmanager sink."""

from typing import Literal

from pydantic import Field, field_validator

from netmote.config.section import Duration
from netmote.sinks.http_config import HttpConfig


class AlertmanagerConfig(HttpConfig):
    """The present alerts to a Prometheus Alertmanager (API v2), told again and again until they are resolved. Not a history of them."""

    type: Literal["alertmanager"]
    """Which sink this is."""

    name: str = Field(default="alertmanager", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in status, metrics and log lines; unique among the sinks. Each Alertmanager of a cluster is a sink of its own."""

    resend: Duration = Field(default=60.0, ge=1.0, le=240.0)
    """How often every active alert is told again. Below Alertmanager's resolve_timeout (5m), after which it takes silence for an end."""

    heartbeat: Literal["watchdog", "none"] = "watchdog"
    """`watchdog`: an alert NetmoteHeartbeat, severity none, that fires while this sensor lives; give it a route of its own."""

    batch_size: int = Field(default=500, ge=1, le=1_000)
    """The most alerts in one POST."""

    @property
    def endpoint(self) -> str:
        """Where alerts are posted: `url` is Alertmanager's own, as its web.external-url."""
        return f"{self.url.rstrip('/')}/api/v2/alerts"

    @field_validator("url")
    @classmethod
    def _is_base(cls, value: str) -> str:
        if "/api/" in value or "?" in value:
            raise ValueError(f"{value!r}: write the address of Alertmanager itself, such as https://alerts.example:9093")
        return value

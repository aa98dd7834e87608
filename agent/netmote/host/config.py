"""Configuration of the host collector."""

from pydantic import Field

from netmote.config.section import Duration, Section


class HostConfig(Section):
    """How this machine is read."""

    interval: Duration = Field(default=10.0, ge=1.0)
    """Interval between readings."""

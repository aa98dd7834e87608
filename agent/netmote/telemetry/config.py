"""Configuration of the agent's own log and of its signs of life."""

from typing import Literal

from pydantic import Field

from netmote.config.section import Duration, Section


class LogConfig(Section):
    """What the agent says about itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe line that is written."""

    format: Literal["auto", "text", "json"] = "auto"
    """`auto` writes native journal fields under systemd, and text elsewhere."""


class HeartbeatConfig(Section):
    """Signs of life to every sink, so that silence is an alarm upstream."""

    interval: Duration = Field(default=60.0, ge=1.0, le=3600.0)
    """Time from one to the next."""

    left_out_sinks: tuple[str, ...] = ()
    """Sinks that get none, by name: a chat room has no use for them."""

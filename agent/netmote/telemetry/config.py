"""Configuration of the agent's own log."""

from typing import Literal

from netmote.config.section import Section


class LogConfig(Section):
    """What the agent says about itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe line that is written."""

    format: Literal["auto", "text", "json"] = "auto"
    """`auto` writes native journal fields under systemd, and text elsewhere."""

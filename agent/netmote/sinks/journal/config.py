"""Configuration of the journal sink."""

from typing import Literal

from pydantic import Field

from netmote.config.section import Duration, Section


class JournalConfig(Section):
    """Alerts to the systemd journal with fields of their own, or as lines on standard output."""

    type: Literal["journal"]
    """Which sink this is."""

    name: str = Field(default="journal", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in status, metrics and log lines; unique among the sinks. The delivery cursor is kept under it."""

    format: Literal["auto", "text", "json"] = "auto"
    """`auto` writes native journal fields under systemd, text on a terminal, and one JSON object a line elsewhere."""

    timeout: Duration = Field(default=5.0, ge=0.1, le=60.0)
    """How long a reader of standard output (or the journal) may keep a batch waiting."""

    batch_size: int = Field(default=100, ge=1, le=1_000)
    """The most alerts written in one go."""

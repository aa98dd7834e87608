"""Configuration of flow metering."""

from typing import Literal

from pydantic import Field

from netmote.config.section import Duration, Section


class MeteringConfig(Section):
    """Flow timeouts and the size of the flow table."""

    max_flows: int = Field(default=65_536, ge=1_024, le=2**23)
    """Flows held at once per interface; the table is allocated at start."""

    active_timeout: Duration = Field(default=300.0, ge=5.0)
    """flowActiveTimeout (IANA 36): a flow that goes on this long is ended and begun anew."""

    idle_timeout: Duration = Field(default=30.0, ge=5.0)
    """flowIdleTimeout (IANA 37): a flow without packets this long is ended."""

    when_full: Literal["refuse", "evict"] = "evict"
    """A full table refuses new flows, or ends the quarter that was idle longest. Both are counted."""

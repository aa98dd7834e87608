"""Configuration of flow metering."""

from typing import Any, Literal

from pydantic import Field

from netmote.config.section import Duration, Section


class IdleTimeouts(Section):
    """Idle timeouts of single protocols; what is left out has `idle_timeout`."""

    tcp: Duration | None = Field(default=None, ge=5.0)
    """TCP connections; a closed one (FIN from both sides, or RST) ends a second after its last packet whatever stands here."""

    tcp_opening: Duration | None = Field(default=None, ge=5.0)
    """TCP whose initiator has not acknowledged anything yet: an attempt. Left out, it is as `tcp`."""

    udp: Duration | None = Field(default=None, ge=5.0)
    """UDP."""

    icmp: Duration | None = Field(default=None, ge=5.0)
    """ICMP and ICMPv6."""

    sctp: Duration | None = Field(default=None, ge=5.0)
    """SCTP."""

    other: Duration | None = Field(default=None, ge=5.0)
    """Every other protocol."""


class MeteringConfig(Section):
    """Flow timeouts and the size of the flow table."""

    max_flows: int = Field(default=65_536, ge=1_024, le=2**23)
    """Flows held at once per interface; the table is allocated at start."""

    active_timeout: Duration = Field(default=300.0, ge=5.0)
    """flowActiveTimeout (IANA 36): a flow that goes on this long is ended and begun anew."""

    idle_timeout: Duration = Field(default=30.0, ge=5.0)
    """flowIdleTimeout (IANA 37): a flow without packets this long is ended."""

    idle_timeouts: IdleTimeouts = IdleTimeouts()
    """Idle timeouts of single protocols, where they differ."""

    when_full: Literal["refuse", "evict"] = "evict"
    """A full table refuses new flows, or ends the quarter that was idle longest. Both are counted."""

    def meter_arguments(self) -> dict[str, Any]:
        """Keyword arguments of FlowMeter. JSON can carry them to a process that does without this model and what it is made of."""
        named = {name: getattr(self.idle_timeouts, name) for name in IdleTimeouts.model_fields}
        return {
            "max_flows": self.max_flows,
            "active_timeout_ns": round(self.active_timeout * 1e9),
            "idle_timeout_ns": round(self.idle_timeout * 1e9),
            "idle_timeouts_ns": {name: round(seconds * 1e9) for name, seconds in named.items() if seconds is not None},
            "when_full": self.when_full,
        }

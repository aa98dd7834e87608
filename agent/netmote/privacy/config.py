"""Configuration of privacy: what becomes of addresses at rest and upstream."""

from typing import Literal

from pydantic import Field

from netmote.config.section import Secret, Section

Treatment = Literal["keep", "truncate", "hash"]


class PrivacyConfig(Section):
    """What becomes of addresses in what is stored and what is sent."""

    at_rest: Treatment = "keep"
    """In everything this sensor writes, and so in all it analyses and sends: `keep`, `truncate` to a network, or `hash` to a keyed
    pseudonym, stable for this sensor. Truncated, the hosts of a network are watched as one."""

    upstream: Treatment = "keep"
    """In what goes to sinks that are not named in `sinks`."""

    sinks: dict[str, Treatment] = Field(default={})
    """In what goes to single sinks, by name. Exporters of flows send what is at rest: beside an `upstream` other than `keep`, one is
    named here as `keep` where that is meant."""

    ipv4_prefix: int = Field(default=24, ge=8, le=31)
    """Bits that `truncate` leaves of an IPv4 address."""

    ipv6_prefix: int = Field(default=48, ge=16, le=127)
    """Bits that `truncate` leaves of an IPv6 address."""

    key: Secret | None = None
    """The key of pseudonyms, by reference: the same one gives several sensors the same pseudonyms. Unset: one of this sensor's own,
    drawn at the first start and kept in the state directory (mode 0600)."""

    def treatment_of(self, sink: str) -> Treatment:
        """What stands before that sink, or exporter of flows."""
        return self.sinks.get(sink, self.upstream)

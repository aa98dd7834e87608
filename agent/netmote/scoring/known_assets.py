"""Hosts that do for a living what rules look for: scanners, management stations, backup servers, resolvers.

What is declared here is not a fault of the network and not a secret either: the host keeps its windows, scores and baselines, and every
rule that is not named stays in force for it.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from typing import Literal, Self

from pydantic import Field, model_validator

from netmote.config.section import Section

Role = Literal["scanner", "management", "backup", "resolver"]

# The shipped rules that a role exempts from, by id. A rule of a user's own is named in `exempt_from`.
ROLE_RULES: Mapping[Role, frozenset[str]] = MappingProxyType(
    {
        # Asks everything of everybody, on purpose.
        "scanner": frozenset(
            {"vertical_scan", "horizontal_scan", "ping_sweep", "failed_connections", "brute_force", "syn_flood_source"}
        ),
        # Polls and pings many hosts at a steady beat, dead ones included.
        "management": frozenset({"horizontal_scan", "ping_sweep", "failed_connections", "beaconing", "beaconing_unanswered"}),
        # Moves much to few, at night.
        "backup": frozenset({"exfiltration", "udp_flood"}),
        # Asks many servers on one port; most names that do not exist are somebody else's question.
        "resolver": frozenset({"dns_failures", "dns_tunnel", "horizontal_scan", "udp_flood", "failed_connections"}),
    }
)


class KnownAsset(Section):
    """One host, or a network of them."""

    name: str = Field(min_length=1, max_length=64)
    """What people call it."""

    addresses: tuple[IPv4Network | IPv6Network, ...] = Field(min_length=1)
    """Its addresses, or networks."""

    roles: tuple[Role, ...] = ()
    """What it does: each role exempts it from the rules that this work would set off."""

    exempt_from: tuple[str, ...] = ()
    """Further ids of rules that do not look at it."""

    watched_by: tuple[str, ...] = ()
    """Ids of rules that look at it although its roles say otherwise."""

    @model_validator(mode="after")
    def _exempts_from_something(self) -> Self:
        if not self.rules:
            raise ValueError("is exempt from no rule: name roles or exempt_from")
        return self

    @property
    def rules(self) -> frozenset[str]:
        """Ids of the rules that do not look at it."""
        by_role = frozenset().union(*(ROLE_RULES[role] for role in self.roles))
        return (by_role | frozenset(self.exempt_from)) - frozenset(self.watched_by)

"""Configuration of windows."""

from ipaddress import IPv4Network, IPv6Network

from pydantic import Field

from netmote.config.section import Duration, Section


class WindowsConfig(Section):
    """Which hosts are ours, and when a window is good."""

    local_networks: tuple[IPv4Network | IPv6Network, ...] = (
        IPv4Network("10.0.0.0/8"),
        IPv4Network("172.16.0.0/12"),
        IPv4Network("192.168.0.0/16"),
        IPv4Network("169.254.0.0/16"),
        IPv6Network("fc00::/7"),
        IPv6Network("fe80::/10"),
    )
    """Addresses in these networks are hosts of ours: each gets windows of its own."""

    max_hosts: int = Field(default=1_000, ge=1, le=100_000)
    """Hosts followed at once; when full, the one idle longest is forgotten (counted)."""

    lateness: Duration = Field(default=2.0, ge=0.0, le=60.0)
    """How long after its end a window waits for late records."""

    loss_limit: float = Field(default=0.01, ge=0.0, le=1.0)
    """Share of packets lost above which a window is marked and raises no model alert."""

    coverage_limit: float = Field(default=0.8, ge=0.0, le=1.0)
    """Observed share of a window below which it is marked partial."""

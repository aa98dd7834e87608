"""The interfaces of this machine as `netmote init` shows them: what could be captured, and which networks lie there."""

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import psutil

from netmote.capture.interfaces import AUTO, select_interfaces

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class InterfaceAddress(Protocol):
    """What psutil gives of an address."""

    @property
    def family(self) -> int: ...

    @property
    def address(self) -> str: ...

    @property
    def netmask(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class LocalInterface:
    """One interface that is not loopback."""

    name: str
    is_up: bool
    speed_megabits: int  # 0: not known
    networks: tuple[Network, ...]
    is_automatic: bool  # `auto` captures it


def local_interfaces() -> list[LocalInterface]:
    """By name, those that are up first."""
    automatic = set(select_interfaces((AUTO,)))
    addresses = psutil.net_if_addrs()
    found = [
        LocalInterface(name, status.isup, status.speed, networks_of(addresses.get(name, [])), name in automatic)
        for name, status in psutil.net_if_stats().items()
        if name != "lo"
    ]
    return sorted(found, key=lambda each: (not each.is_up, each.name))


def networks_of(addresses: Iterable[InterfaceAddress]) -> tuple[Network, ...]:
    """The networks in which these addresses lie, link-local ones left out."""
    found: dict[Network, None] = {}
    for each in addresses:
        if each.family not in (socket.AF_INET, socket.AF_INET6) or not each.netmask:
            continue
        try:
            interface = ipaddress.ip_interface(f"{each.address.partition('%')[0]}/{_prefix(each.netmask)}")
        except ValueError:
            continue
        if not interface.is_link_local:
            found[interface.network] = None
    return tuple(found)


def _prefix(netmask: str) -> int:
    """Length of a mask as written by getifaddrs(3): its ones. `/64`-like forms do not occur."""
    return int(ipaddress.ip_address(netmask)).bit_count()

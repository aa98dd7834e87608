"""Forgetting an address: wherever it stands, the unspecified address of its family takes its place; everything else stays.

Traffic, counts and alerts keep their sums and numbers, so that books still hold; nobody can tell any more whose they were.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from netmote.privacy.treatment import Address, AddressTreatment

_NOBODY: dict[int, Address] = {4: IPv4Address(0), 6: IPv6Address(0)}


class Forgetting(AddressTreatment):
    """Treats exactly these addresses."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        """Raises ValueError for one that names nobody: nothing would be forgotten."""
        super().__init__("truncate", key=bytes(16), local_networks=())
        self.forgotten = frozenset(_plain(address) for address in addresses)
        for address in self.forgotten:
            if address in _NOBODY.values() or address.is_multicast or address.is_loopback:
                raise ValueError(f"{address} is nobody's address")

    def address(self, address: Address) -> Address:
        plain = _plain(address)
        return _NOBODY[plain.version] if plain in self.forgotten else plain

    def text(self, address: str) -> str:
        """As given, unless it is one of them: no other spelling changes."""
        try:
            is_forgotten = _plain(ip_address(address)) in self.forgotten
        except ValueError:
            return self.prose(address)
        return str(self.address(ip_address(address))) if is_forgotten else address

    @property
    def octets(self) -> tuple[bytes, ...]:
        """How the addresses stand in packets: 4 or 16 octets."""
        return tuple(address.packed for address in sorted(self.forgotten, key=str))

    @property
    def record_octets(self) -> tuple[bytes, ...]:
        """How they stand in flow records: 16 octets, IPv4 as IPv4-mapped."""
        return tuple(octets if len(octets) == 16 else b"\0" * 10 + b"\xff\xff" + octets for octets in self.octets)

    @property
    def words(self) -> tuple[str, ...]:
        """How they stand in text."""
        return tuple(sorted(str(address) for address in self.forgotten))

    def _found_address(self, match: re.Match[str]) -> str:
        return self._if_address(match[0])

    def _found_hardware(self, match: re.Match[str]) -> str:
        return match[0]

    def _if_address(self, text: str) -> str:
        try:
            address = _plain(ip_address(text))
        except ValueError:
            return text
        return str(_NOBODY[address.version]) if address in self.forgotten else text


def _plain(address: Address) -> Address:
    """Without a scope, and an IPv4-mapped one as IPv4."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address

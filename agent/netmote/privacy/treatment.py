"""One address to what stands for it: the same for the same key, always a valid address, so that every format still carries it.

    keep       192.0.2.7  ->  192.0.2.7
    truncate   192.0.2.7  ->  192.0.2.0
    hash       192.0.2.7  ->  3fff:e65:746d:51c0:... (of a host elsewhere) or fd6e:6574:6d6f:... (of a host of ours)

A pseudonym is keyed BLAKE2b (RFC 7693) in 80 bits: without the key an address can neither be computed nor guessed, and two of a
million hosts share one with a probability of 4e-13. Its prefix says that it is one, and which side it is on: a unique local prefix (RFC
4193) is local by default, a documentation prefix (RFC 9637) is nowhere. Addresses that name nobody (multicast, broadcast, loopback,
unspecified) stay. Hardware addresses are treated alike: truncated to the maker's prefix, or hashed into a locally administered one.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from netmote.privacy.config import Treatment

LOCAL_PREFIX = IPv6Network("fd6e:6574:6d6f::/48")
REMOTE_PREFIX = IPv6Network("3fff:e65:746d::/48")

_HASHED_BYTES = 10
_REMEMBERED = 65_536
# What may be an address in running text; `ip_address` decides. A scope (%eth0) and a port stay outside.
_ADDRESS = re.compile(
    r"(?:(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w)"
    # An entity is written `host:<address>`, so that colon is none of the address.
    r"|(?:(?<![\w:.])|(?<=\bhost:))[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?:\.\d{1,3}){3})?(?![\w:]))"
    r"(?!\.\d)"
)
_HARDWARE = re.compile(r"(?<![\w:-])(?:[0-9A-Fa-f]{2}([:-]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])")

Address = IPv4Address | IPv6Address


class AddressTreatment:
    """Treats addresses in one of the three ways. Remembers the latest ones; one thread at a time."""

    def __init__(
        self,
        kind: Treatment,
        *,
        key: bytes,
        local_networks: Sequence[IPv4Network | IPv6Network],
        ipv4_prefix: int = 24,
        ipv6_prefix: int = 48,
    ) -> None:
        """`key`: 16 to 64 bytes."""
        self.kind = kind
        self._key, self._local = key, tuple(local_networks)
        self._prefixes = {4: ipv4_prefix, 6: ipv6_prefix}
        self._known: OrderedDict[Address, Address] = OrderedDict()
        self._known_octets: OrderedDict[bytes, bytes] = OrderedDict()

    @property
    def is_keeping(self) -> bool:
        """Whether nothing changes."""
        return self.kind == "keep"

    def address(self, address: Address) -> Address:
        """What stands for it. An IPv4-mapped address is the IPv4 address."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if self.is_keeping or _names_nobody(address):
            return address
        known = self._known.get(address)
        if known is None:
            known = self._truncated(address) if self.kind == "truncate" else self._pseudonym(address)
            if len(self._known) >= _REMEMBERED:
                self._known.popitem(last=False)
            self._known[address] = known
        return known

    def text(self, address: str) -> str:
        """An address in presentation form; what is none is treated as prose."""
        try:
            return str(self.address(ip_address(address)))
        except ValueError:
            return self.prose(address)

    def prose(self, text: str) -> str:
        """Running text with every IP and hardware address in it replaced; a line of another meaning is left alone."""
        if self.is_keeping:
            return text
        return _ADDRESS.sub(self._found_address, _HARDWARE.sub(self._found_hardware, text))

    def document(self, document: Any) -> Any:
        """A JSON document with every string in it, keys too, treated as prose."""
        if isinstance(document, str):
            return self.prose(document)
        if isinstance(document, list):
            return [self.document(each) for each in document]
        if isinstance(document, dict):
            return {self.prose(key): self.document(value) for key, value in document.items()}
        return document

    def packed(self, octets: bytes) -> bytes:
        """16 octets (IPv4 as IPv4-mapped, as flow records have it) to 16 octets."""
        known = self._known_octets.get(octets)
        if known is None:
            treated = self.address(IPv6Address(octets))
            known = treated.packed if treated.version == 6 else b"\0" * 10 + b"\xff\xff" + treated.packed
            if len(self._known_octets) >= _REMEMBERED:
                self._known_octets.popitem(last=False)
            self._known_octets[octets] = known
        return known

    def identifier(self, identifier: str, *, digits: int = 32) -> str:
        """Hexadecimal digits that stand for an identifier which an address could be guessed from."""
        return self._hash(identifier.encode("utf-8", "surrogatepass"), digits // 2, b"identifier").hex()

    def _found_address(self, match: re.Match[str]) -> str:
        try:
            return str(self.address(ip_address(match[0])))
        except ValueError:
            return match[0]

    def _found_hardware(self, match: re.Match[str]) -> str:
        separator, octets = match[1], bytes.fromhex(match[0].replace(match[1], ""))
        if octets[0] & 1:  # a group address names nobody
            return match[0]
        if self.kind == "truncate":
            octets = octets[:3] + bytes(3)
        else:
            hashed = self._hash(octets, 6, b"hardware")
            octets = bytes([hashed[0] & 0xFC | 0x02]) + hashed[1:]  # locally administered, individual (IEEE 802)
        return octets.hex(separator)

    def _truncated(self, address: Address) -> Address:
        free = address.max_prefixlen - self._prefixes[address.version]
        return type(address)(int(address) >> free << free)

    def _pseudonym(self, address: Address) -> Address:
        is_local = any(address.version == network.version and address in network for network in self._local)
        hashed = self._hash(address.packed, _HASHED_BYTES, b"address")
        prefix = LOCAL_PREFIX if is_local else REMOTE_PREFIX
        return IPv6Address(prefix.network_address.packed[: 16 - _HASHED_BYTES] + hashed)

    def _hash(self, octets: bytes, size: int, purpose: bytes) -> bytes:
        return hashlib.blake2b(octets, digest_size=size, key=self._key, person=purpose).digest()


def _names_nobody(address: Address) -> bool:
    is_pseudonym = isinstance(address, IPv6Address) and (address in LOCAL_PREFIX or address in REMOTE_PREFIX)
    is_broadcast = address == IPv4Address("255.255.255.255")
    return is_pseudonym or is_broadcast or address.is_multicast or address.is_loopback or address.is_unspecified

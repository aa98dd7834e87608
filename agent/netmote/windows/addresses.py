"""Addresses as small integers, so that a key of several addresses and ports fits 64 bits and sorts fast.

Owns the numbering and nothing else: no result may depend on a number, only on the address behind it. The table forgets what
nobody refers to any more (`compact`), so it is bounded by what the lanes hold.
"""

import hashlib
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.records.flow import address_text
from netmote.windows.address_index import AddressIndex

ID_BITS = 24
RESERVED = 256  # ids below stand for capture interfaces, so that they can share keys with addresses

_V4_MAPPED = 0xFFFF_0000_0000  # ::ffff:0:0/96 (RFC 4291 section 2.5.5.2), lower 64 bits
_FULL = (1 << 64) - 1


class AddressTable:
    """A numbering of 16-byte addresses with what is asked of each often: its halves and whether it is ours."""

    def __init__(self, local_networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = [_halves_of(network) for network in local_networks]
        self._index = AddressIndex()
        self._interfaces: dict[str, int] = {}
        self._used = RESERVED
        self.high = np.zeros(4 * RESERVED, np.uint64)  # by id: the first 8 bytes as a number
        self.low = np.zeros(4 * RESERVED, np.uint64)  # the last 8 bytes
        self.is_local = np.zeros(4 * RESERVED, np.bool_)

    def __len__(self) -> int:
        """Ids in use, the reserved ones included: every id is below this."""
        return self._used

    @property
    def nbytes(self) -> int:
        return self.high.nbytes + self.low.nbytes + self.is_local.nbytes + self._index.nbytes

    def interface(self, name: str) -> int:
        """The id of a capture interface. Raises ValueError beyond 256 of them."""
        number = self._interfaces.get(name)
        if number is None:
            number = len(self._interfaces)
            if number >= RESERVED:
                raise ValueError(f"more than {RESERVED} capture interfaces")
            self._interfaces[name] = number
            # Stands for the address where ties are broken, so that the order in which interfaces came does not.
            self.low[number] = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        return number

    @property
    def interfaces(self) -> dict[str, int]:
        return self._interfaces

    def intern(self, addresses: NDArray[np.void]) -> NDArray[np.uint32]:
        """The ids of `addresses` (V16, any shape (n,)), same order; unknown ones get new ids. Raises OverflowError past 2**24 ids."""
        pairs = np.ascontiguousarray(addresses).view(">u8").reshape(-1, 2)
        high, low = pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64)
        ids = self._find(high, low)
        fresh = np.flatnonzero(ids < 0)
        if fresh.size:
            start = self._used
            self._admit(_distinct(high[fresh], low[fresh]))
            self._index.add(start, self.high[: self._used], self.low[: self._used], reserved=RESERVED)
            ids[fresh] = self._find(high[fresh], low[fresh])
        return ids.astype(np.uint32)

    def text(self, number: int) -> str:
        """Presentation form of the address with this id."""
        return address_text(self._bytes(number))

    def number(self, text: str) -> int:
        """The id of an address in presentation form, -1 when it is not here. Raises ValueError when it is no address."""
        address = ip_address(text)
        bits = int(address) | _V4_MAPPED if address.version == 4 else int(address)
        high, low = np.array([bits >> 64], np.uint64), np.array([bits & _FULL], np.uint64)
        return int(self._find(high, low)[0])

    def compact(self, live: NDArray[np.integer[Any]]) -> NDArray[np.uint32]:
        """Keep only the ids in `live`; returns the new id by old id. Order is kept, so sorted keys stay sorted."""
        kept = np.unique(live[live >= RESERVED])
        remap = np.zeros(self._used, np.uint32)
        remap[:RESERVED] = np.arange(RESERVED)
        remap[kept] = np.arange(RESERVED, RESERVED + kept.size)
        self.high[RESERVED : RESERVED + kept.size] = self.high[kept]
        self.low[RESERVED : RESERVED + kept.size] = self.low[kept]
        self.is_local[RESERVED : RESERVED + kept.size] = self.is_local[kept]
        self._used = RESERVED + int(kept.size)
        self._index.rebuild(RESERVED, self.high[: self._used], self.low[: self._used])
        return remap

    def _find(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int64]:
        return self._index.find(high, low, self.high, self.low)

    def _bytes(self, number: int) -> bytes:
        return int(self.high[number]).to_bytes(8, "big") + int(self.low[number]).to_bytes(8, "big")

    def _admit(self, pairs: NDArray[np.uint64]) -> None:
        start, end = self._used, self._used + len(pairs)
        if end > 1 << ID_BITS:
            raise OverflowError(f"more than {1 << ID_BITS} addresses within the open windows")
        if end > len(self.high):
            missing = max(end, 2 * len(self.high)) - len(self.high)
            self.high = np.append(self.high, np.zeros(missing, np.uint64))
            self.low = np.append(self.low, np.zeros(missing, np.uint64))
            self.is_local = np.append(self.is_local, np.zeros(missing, np.bool_))
        high, low = pairs[:, 0], pairs[:, 1]
        self.high[start:end], self.low[start:end] = high, low
        ours = np.zeros(len(pairs), np.bool_)
        for high_mask, high_bits, low_mask, low_bits in self._networks:
            ours |= ((high & high_mask) == high_bits) & ((low & low_mask) == low_bits)
        self.is_local[start:end] = ours
        self._used = end


def _halves_of(network: IPv4Network | IPv6Network) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Mask and bits of both halves of a network; IPv4 as IPv4-mapped."""
    bits, mask = int(network.network_address), int(network.netmask)
    if network.version == 4:
        bits, mask = bits | _V4_MAPPED, mask | ((1 << 128) - (1 << 32))
    return np.uint64(mask >> 64), np.uint64(bits >> 64), np.uint64(mask & _FULL), np.uint64(bits & _FULL)


def _distinct(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The distinct addresses in ascending order, (n, 2)."""
    order = np.lexsort((low, high))
    pairs = np.stack([high[order], low[order]], axis=1)
    is_first = np.ones(len(pairs), np.bool_)
    is_first[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return pairs[is_first]

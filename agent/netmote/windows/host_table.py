"""Which hosts of ours are followed: a bounded set of address ids in canonical order.

Full, it keeps hosts that have sent something before addresses that were only spoken to (a scan of an empty network must not
push out the hosts that live), then those active last; the address breaks ties. What it gives up is counted.
"""

import numpy as np
from numpy.typing import NDArray

from netmote.records.entity import Entity, EntityKind
from netmote.windows.addresses import AddressTable


class HostTable:
    """Hosts by address id, at most `max_hosts`."""

    def __init__(self, addresses: AddressTable, *, max_hosts: int) -> None:
        self._addresses = addresses
        self._max_hosts = max_hosts
        self.ids = np.zeros(0, np.int64)  # ascending
        self._last_ns = np.zeros(0, np.int64)
        self._has_sent = np.zeros(0, np.bool_)
        self._entities: dict[int, Entity] = {}
        self._canonical: NDArray[np.int64] | None = None
        self.forgotten = 0  # hosts that were followed and had to go
        self.refused = 0  # times an address was not admitted

    def __len__(self) -> int:
        return int(self.ids.size)

    def update(self, ids: NDArray[np.int64], last_ns: NDArray[np.int64], has_sent: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Note activity of the addresses `ids` (repeats allowed); returns the ids that are no longer followed."""
        if not ids.size:
            return ids
        everyone, inverse = np.unique(np.concatenate([self.ids, ids]), return_inverse=True)
        last = np.full(everyone.size, np.iinfo(np.int64).min)
        np.maximum.at(last, inverse, np.concatenate([self._last_ns, last_ns]))
        sent = np.zeros(everyone.size, np.bool_)
        np.logical_or.at(sent, inverse, np.concatenate([self._has_sent, has_sent]))
        gone = np.zeros(0, np.int64)
        if everyone.size > self._max_hosts:
            low, high = self._addresses.low[everyone], self._addresses.high[everyone]
            worst_first = np.lexsort((low, high, last, sent))
            kept = np.sort(worst_first[everyone.size - self._max_hosts :])
            gone = np.setdiff1d(self.ids, everyone[kept], assume_unique=True)
            self.forgotten += int(gone.size)
            self.refused += int(everyone.size - kept.size - gone.size)
            everyone, last, sent = everyone[kept], last[kept], sent[kept]
        if everyone.size != self.ids.size or not np.array_equal(everyone, self.ids):
            self._canonical = None
        self.ids, self._last_ns, self._has_sent = everyone, last, sent
        return gone

    def canonical(self) -> NDArray[np.int64]:
        """The ids ordered as their entities sort (by text)."""
        if self._canonical is None:
            members = self.ids.tolist()
            self._entities = {number: self._entities.get(number) or self._entity(number) for number in members}
            self._canonical = np.array(sorted(members, key=self._entities.__getitem__), np.int64)
        return self._canonical

    def entities(self, ids: NDArray[np.int64]) -> tuple[Entity, ...]:
        """The entities of ids that `canonical` returned."""
        return tuple(map(self._entities.__getitem__, ids.tolist()))

    def renumber(self, remap: NDArray[np.uint32]) -> None:
        self.ids = remap[self.ids].astype(np.int64)
        self._entities = {}
        self._canonical = None

    def _entity(self, number: int) -> Entity:
        return Entity(EntityKind.HOST, self._addresses.text(number))

    def rebase(self) -> None:
        """Time begins anew: what was active before is older than everything to come."""
        self._last_ns[:] = 0

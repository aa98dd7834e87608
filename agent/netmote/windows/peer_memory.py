"""When an entity first spoke with a peer, beyond the window, bounded: at most so many peers an entity and in all.

Full, the pairs seen longest ago are forgotten (counted); a forgotten peer counts as new when it comes back.
"""

import numpy as np
from numpy.typing import NDArray

from netmote.windows.addresses import ID_BITS, RESERVED, AddressTable
from netmote.windows.eviction import least

_SHIFT = np.uint64(ID_BITS)
_MASK = np.uint64((1 << ID_BITS) - 1)


class PeerMemory:
    """First and last pane of every (entity, peer) pair remembered."""

    def __init__(self, addresses: AddressTable, *, limit: int, limit_per_entity: int) -> None:
        self._addresses = addresses
        self._limit = limit
        self._limit_per_entity = limit_per_entity
        self.keys = np.zeros(0, np.uint64)  # entity id, peer id; ascending
        self._first_ns = np.zeros(0, np.int64)
        self._last_ns = np.zeros(0, np.int64)
        self.forgotten = 0

    def __len__(self) -> int:
        return int(self.keys.size)

    def update(self, entity: NDArray[np.int64], peer: NDArray[np.uint64], pane_ns: int) -> None:
        """Note that these pairs (repeats allowed) spoke in the pane that began at `pane_ns`."""
        if not peer.size:
            return
        pairs = np.sort((entity.astype(np.uint64) << _SHIFT) | peer)
        pairs = pairs[np.r_[True, pairs[1:] != pairs[:-1]]]
        at = np.searchsorted(self.keys, pairs)
        is_known = np.zeros(pairs.size, np.bool_)
        inside = at < self.keys.size
        is_known[inside] = self.keys[at[inside]] == pairs[inside]
        known = at[is_known]
        self._first_ns[known] = np.minimum(self._first_ns[known], pane_ns)
        self._last_ns[known] = np.maximum(self._last_ns[known], pane_ns)
        fresh, where = pairs[~is_known], at[~is_known]
        if fresh.size:
            self.keys = np.insert(self.keys, where, fresh)
            self._first_ns = np.insert(self._first_ns, where, pane_ns)
            self._last_ns = np.insert(self._last_ns, where, pane_ns)
            self._shrink()

    def known_before(self, window_start_ns: int, ids: int) -> NDArray[np.int64]:
        """By entity id below `ids`: how many peers spoke since `window_start_ns` and had been seen before it."""
        old = (self._first_ns < window_start_ns) & (self._last_ns >= window_start_ns)
        return np.bincount((self.keys[old] >> _SHIFT).astype(np.int64), minlength=ids)

    def forget(self, entities: NDArray[np.int64]) -> None:
        """Drop everything about these entities."""
        if entities.size:
            self._keep(~np.isin((self.keys >> _SHIFT).astype(np.int64), entities))

    def live_ids(self) -> NDArray[np.int64]:
        return np.concatenate([self.keys >> _SHIFT, self.keys & _MASK]).astype(np.int64)

    def renumber(self, remap: NDArray[np.uint32]) -> None:
        entity, peer = remap[(self.keys >> _SHIFT).astype(np.intp)], remap[(self.keys & _MASK).astype(np.intp)]
        self.keys = (entity.astype(np.uint64) << _SHIFT) | peer

    def rebase(self) -> None:
        """Time begins anew: whoever is known was known long ago."""
        self._first_ns[:] = 0
        self._last_ns[:] = 0

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self._first_ns.nbytes + self._last_ns.nbytes

    def _shrink(self) -> None:
        """Bring an entity, then all, back to seven eighths of the limit they have passed."""
        before = self.keys.size
        if before > self._limit_per_entity:
            entity = (self.keys >> _SHIFT).astype(np.int64)
            pairs = np.bincount(entity)
            for crowded in np.flatnonzero(pairs > self._limit_per_entity).tolist():
                self._evict(np.flatnonzero((self.keys >> _SHIFT) == crowded), self._limit_per_entity)
        if self.keys.size > self._limit:
            self._evict(np.arange(self.keys.size), self._limit)
        self.forgotten += before - self.keys.size

    def _evict(self, among: NDArray[np.intp], limit: int) -> None:
        go = among[least(self._last_ns[among], among.size - limit + limit // 8, lambda at: self._ties(self.keys[among[at]]))]
        keep = np.ones(self.keys.size, np.bool_)
        keep[go] = False
        self._keep(keep)

    def _ties(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], ...]:
        peer, entity = (keys & _MASK).astype(np.intp), (keys >> _SHIFT).astype(np.intp)
        high, low = self._addresses.high, self._addresses.low
        is_interface = (entity < RESERVED).astype(np.uint64)
        return (is_interface, low[entity], high[entity], low[peer], high[peer])

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        self.keys, self._first_ns, self._last_ns = self.keys[keep], self._first_ns[keep], self._last_ns[keep]

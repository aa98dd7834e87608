"""Which id an address has: open addressing with linear probing, thousands of addresses a call and no Python loop over them.

Owns the places and nothing else: the halves of an address lie with the numbering, by id. Where an address is placed depends on
a secret of this process, so nobody can choose addresses that crowd one place; no id depends on it.
"""

import secrets

import numpy as np
from numpy.typing import NDArray

_EMPTY = np.int32(-1)
_LEAST_BITS = 10
_MIX = np.uint64(0xBF58_476D_1CE4_E5B9)  # of splitmix64 (Steele, Lea and Flood 2014)
_HALF = np.uint64(32)


class AddressIndex:
    """Ids by address (two halves of 64 bits). At least half of the places stay empty."""

    def __init__(self) -> None:
        self._low_factor, self._high_factor = (np.uint64(secrets.randbits(64) | 1) for _ in range(2))
        self._seed = np.uint64(secrets.randbits(64))
        self._places = np.full(1 << _LEAST_BITS, _EMPTY)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    @property
    def nbytes(self) -> int:
        return self._places.nbytes

    def find(
        self, high: NDArray[np.uint64], low: NDArray[np.uint64], high_by_id: NDArray[np.uint64], low_by_id: NDArray[np.uint64]
    ) -> NDArray[np.int64]:
        """The id of each address, -1 where it has none; repeats allowed. `high_by_id` and `low_by_id`: the halves of every id."""
        place = self._home(high, low)
        ids = self._places[place].astype(np.int64)
        other = np.flatnonzero((ids >= 0) & ((low_by_id[ids] != low) | (high_by_id[ids] != high)))
        while other.size:
            place[other] = (place[other] + 1) & (self._places.size - 1)
            ids[other] = found = self._places[place[other]]
            other = other[(found >= 0) & ((low_by_id[found] != low[other]) | (high_by_id[found] != high[other]))]
        return ids

    def rebuild(self, first: int, high_by_id: NDArray[np.uint64], low_by_id: NDArray[np.uint64]) -> None:
        """Hold the ids from `first` to the end of the columns, and no other; their addresses are distinct."""
        count = low_by_id.size - first
        self._places = np.full(1 << max(_LEAST_BITS, (2 * count - 1).bit_length()), _EMPTY)
        self._used = 0
        self._place(np.arange(first, low_by_id.size), high_by_id, low_by_id)

    def add(self, first: int, high_by_id: NDArray[np.uint64], low_by_id: NDArray[np.uint64], *, reserved: int) -> None:
        """Take in the ids from `first` to the end of the columns: distinct addresses that are not here. `reserved`: the least id."""
        if 2 * (self._used + low_by_id.size - first) > self._places.size:
            self.rebuild(reserved, high_by_id, low_by_id)
        else:
            self._place(np.arange(first, low_by_id.size), high_by_id, low_by_id)

    def _place(self, ids: NDArray[np.int64], high_by_id: NDArray[np.uint64], low_by_id: NDArray[np.uint64]) -> None:
        self._used += ids.size
        place = self._home(high_by_id[ids], low_by_id[ids])
        while ids.size:
            is_free = self._places[place] == _EMPTY
            self._places[place[is_free]] = ids[is_free]
            # Of several that took one place, one has it; the others look on.
            homeless = self._places[place] != ids
            ids, place = ids[homeless], (place[homeless] + 1) & (self._places.size - 1)

    def _home(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int64]:
        mixed = (low ^ self._seed) * self._low_factor
        mixed ^= mixed >> _HALF
        mixed += high * self._high_factor
        mixed ^= mixed >> _HALF
        mixed *= _MIX
        mixed >>= np.uint64(64 - (self._places.size.bit_length() - 1))
        return mixed.astype(np.int64)

"""The flow table: bounded, allocated once. Owns which rows are in use and the index that finds them, and nothing about time.

The index is open addressing, 8 bits of tag and 24 bits of row in a 32-bit entry, half full at most, probed for all flows of a block
at once; a tag that matches is compared with the exact key. With its rows, 220 octets per flow of capacity.
"""

import numpy as np
from numpy.typing import NDArray

from netmote.metering.flow_key import IS_SIX, FlowHash, Keys
from netmote.metering.flow_rows import CLASS_BITS, KEY_ROW, FlowRows

LARGEST_TABLE = 1 << 23
_ROW = np.uint32(0xFF_FFFF)  # row + 1; 0 with a tag is a grave, 0 altogether is free
_GRAVE = np.uint32(1 << 24)


class FlowTable(FlowRows):
    """`capacity` flows. A row is in use when its `flow_class` is not 0."""

    def __init__(self, capacity: int, flow_hash: FlowHash) -> None:
        if not 1 <= capacity <= LARGEST_TABLE:
            raise ValueError(f"a flow table holds 1 to {LARGEST_TABLE} flows, not {capacity}")
        super().__init__(capacity)
        self._hash = flow_hash
        self._slots = np.uint64(2 * capacity)
        self._index = np.zeros(2 * capacity, "u4")
        self._graves = 0
        self._free = self.keys["free"]  # a stack: low rows are used first and again
        self._free[:] = np.arange(capacity - 1, -1, -1)
        self.free = capacity
        self._used = 0  # rows at and above were never used since the table was last empty

    def __len__(self) -> int:
        return self.capacity - self.free

    @property
    def memory_bytes(self) -> int:
        """Allocated once; independent of how many flows are held."""
        return super().memory_bytes + self._index.nbytes

    def live(self) -> NDArray[np.int64]:
        """Rows in use, ascending."""
        return np.flatnonzero(self.keys["flow_class"][: self._used])

    def find(self, keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row of each key, -1 where it is not held, and the index slot where looking ended. Keys must be distinct."""
        slot = self._first_slot(keys.hash)
        tag = keys.hash.astype("u4") << np.uint32(24)
        row = np.full(len(slot), -1, "i8")
        todo: NDArray[np.int64] | None = None  # None: all
        while True:
            candidate = self._probe(slot, tag, todo)
            is_tried = candidate < _ROW
            if todo is None and is_tried.all():  # as where all flows go on
                tried, rows = None, candidate.astype("i8")
            else:
                tried = is_tried.nonzero()[0] if todo is None else todo[is_tried]
                rows = candidate[is_tried].astype("i8")
            equal = self._equals(keys, tried, rows)
            if tried is None:
                row = rows
            else:
                row[tried] = rows
            if equal.all():
                return row, slot
            todo = (~equal).nonzero()[0] if tried is None else tried[~equal]  # another key of the same tag
            row[todo] = -1
            slot[todo] = self._next_slot(slot[todo])

    def _probe(self, slot: NDArray[np.int64], tag: NDArray[np.uint32], which: NDArray[np.int64] | None) -> NDArray[np.uint32]:
        """From its slot on, the first row whose tag each of `which` has; `_ROW` or more: none. `slot` goes on to where that is."""
        where, wanted = (slot, tag) if which is None else (slot[which], tag[which])
        entry = self._index.take(where)
        found = (entry ^ wanted) - np.uint32(1)
        todo = ((found >= _ROW) & (entry != 0)).nonzero()[0]
        while len(todo):
            at = todo if which is None else which[todo]
            where = self._next_slot(slot[at])
            slot[at] = where
            entry = self._index.take(where)
            candidate = (entry ^ tag[at]) - np.uint32(1)
            found[todo] = candidate
            todo = todo[(candidate >= _ROW) & (entry != 0)]
        return found

    def _first_slot(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The upper half of the hash, scaled to the number of slots."""
        slot = hashes >> np.uint64(32)
        slot *= self._slots
        slot >>= np.uint64(32)
        return slot.view("i8")

    def _next_slot(self, slot: NDArray[np.int64]) -> NDArray[np.int64]:
        following = slot + 1
        following[following == len(self._index)] = 0
        return following

    def _equals(self, keys: Keys, which: NDArray[np.int64] | None, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether `rows` hold the keys at `which` (None: all)."""
        held = self.take_keys(rows)
        flow_class, low, high = (
            column if which is None else column.take(which) for column in (keys.flow_class, keys.low, keys.high)
        )
        equal: NDArray[np.bool_] = (held["flow_class"] & CLASS_BITS) == flow_class
        equal &= held["low"] == low
        equal &= held["high"] == high
        if len(keys.six_position):
            far = keys.six_far
            if which is None:
                six = keys.six_position
            else:
                six = ((flow_class & IS_SIX) != 0).nonzero()[0]
                far = far.take(np.searchsorted(keys.six_position, which.take(six)), axis=1)
            of_row = self.far.view("V16").reshape(-1).take(rows.take(six)).view("u8").reshape(-1, 2)
            is_equal = (of_row[:, 0] == far[0]) & (of_row[:, 1] == far[1])
            equal[six] &= is_equal & (held["ports"].take(six) == far[2])
        return equal

    def insert(
        self,
        keys: Keys,
        slot: NDArray[np.int64],
        *,
        initiator: NDArray[np.bool_],
        traits: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]],
    ) -> NDArray[np.int64]:
        """Take a row for each new key (there must be room), its halves blank. `slot` is where `find` ended."""
        count = len(slot)
        rows = self._free[self.free - count : self.free][::-1].astype("i8")
        self.free -= count
        held = np.zeros(count, KEY_ROW)
        held["flow_class"], held["low"], held["high"] = keys.flow_class, keys.low, keys.high
        if len(keys.six_position):
            self.far[rows[keys.six_position]] = keys.six_far[:2].T
            held["ports"][keys.six_position] = keys.six_far[2]
        held["free"] = self._free[rows]
        self.keys.view("V32").put(rows, held.view("V32"))
        self.begin(rows, initiator=initiator, traits=traits)
        self._used = max(self._used, int(rows.max()) + 1)
        self._place(keys.hash, slot.copy(), rows)
        return rows

    def _place(self, hashes: NDArray[np.uint64], slot: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        entry = _entries(hashes, rows)
        todo = np.arange(len(rows))
        while len(todo):
            wanted = slot[todo]
            is_free = self._index[wanted] == 0
            self._index[wanted[is_free]] = entry[todo[is_free]]  # of several for one slot the last one wins
            todo = todo[self._index[wanted] != entry[todo]]
            slot[todo] = self._next_slot(slot[todo])

    def _hashes(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The hashes of the keys that `rows` hold."""
        held = self.take_keys(rows)
        flow_class = held["flow_class"] & CLASS_BITS
        six = np.flatnonzero((flow_class & IS_SIX) != 0)
        far = np.array((*self.far[rows[six]].T, held["ports"][six]), "u8")
        return self._hash.of(held["low"], held["high"], flow_class, six, far)

    def delete(self, rows: NDArray[np.int64]) -> None:
        """Give rows back; the halves become blank."""
        hashes = self._hashes(rows)
        wanted = _entries(hashes, rows)
        slot = self._first_slot(hashes)
        todo = np.arange(len(rows))
        while len(todo):
            todo = todo[self._index[slot[todo]] != wanted[todo]]
            slot[todo] = self._next_slot(slot[todo])
        self._index[slot] = _GRAVE
        self._graves += len(rows)
        self.blank(rows)
        self.keys["flow_class"][rows] = 0
        self._free[self.free : self.free + len(rows)] = rows[::-1]
        self.free += len(rows)
        if not len(self):
            self._used = 0
        if self._graves > len(self._index) >> 2:
            self._rebuild()

    def _rebuild(self) -> None:
        """The index anew, without graves."""
        self._index[:] = 0
        self._graves = 0
        rows = self.live()
        hashes = self._hashes(rows)
        self._place(hashes, self._first_slot(hashes), rows)


def _entries(hashes: NDArray[np.uint64], rows: NDArray[np.int64]) -> NDArray[np.uint32]:
    entry = hashes.astype("u4") << np.uint32(24)
    entry |= (rows + 1).astype("u4")
    return entry

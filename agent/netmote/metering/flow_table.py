"""The flow table: bounded, columnar, allocated once. Owns rows, the index that finds them, and nothing about time.

A flow has one 64-byte key row and one 64-byte row per direction (a half), moved as opaque items: one cache line instead of one
miss per column. The index is open addressing, 40 bits of tag and 24 bits of row in a 64-bit entry, half full at most, probed for
all flows of a block at once; a tag that matches is compared with the exact key. 276 bytes per flow of capacity.
"""

import numpy as np
from numpy.typing import NDArray

from netmote.metering.flow_key import FlowHash, Keys

KEY_ROW = np.dtype([("low", "u8"), ("high", "u8"), ("flow_class", "u8"), ("address", "u8", 4), ("ports", "u8")])
HALF_ROW = np.dtype(
    [
        ("packets", "u4"),  # of the open pane, as everything here but `last`
        ("minimum", "u4"),
        ("maximum", "u4"),
        ("gap_maximum", "u4"),  # microseconds
        ("octets", "u8"),
        ("squares", "u8"),
        ("gap_sum", "u8"),
        ("gap_squares", "u8"),
        ("first", "i8"),
        ("last", "i8"),  # latest packet ever of this direction; NEVER before the first
    ]
)
NEVER = np.iinfo("i8").min
UNSEEN = np.iinfo("i8").max
# Columns of `counters`, in the order of FLOW_DTYPE.
COUNTERS = (
    "tcp_syn_count",
    "tcp_fin_count",
    "tcp_rst_count",
    "icmp_unreachable_count",
    "fragment_count",
    "dns_query_count",
    "dns_response_count",
    "dns_failure_count",
    "dns_question_octets",
    "dns_question_entropy_millibits",
)
LARGEST_TABLE = 1 << 23
_ROW = np.uint64(0xFF_FFFF)  # row + 1; 0 with a tag is a grave, 0 altogether is free
_TAG = np.uint64(0xFFFF_FFFF_FF00_0000)
_GRAVE = np.uint64(1 << 24)


class FlowTable:
    """`capacity` flows. Rows are plain numbers; a row is in use when its `flow_class` is not 0."""

    def __init__(self, capacity: int, flow_hash: FlowHash) -> None:
        if not 1 <= capacity <= LARGEST_TABLE:
            raise ValueError(f"a flow table holds 1 to {LARGEST_TABLE} flows, not {capacity}")
        self.capacity = capacity
        self._hash = flow_hash
        size = 1 << (2 * capacity - 1).bit_length()
        self._index = np.zeros(size, "u8")
        self._mask = np.uint64(size - 1)
        self._shift = np.uint64(64 - (size.bit_length() - 1))
        self._graves = 0
        self._blank = np.zeros(1, HALF_ROW)
        self._blank["minimum"], self._blank["first"], self._blank["last"] = np.iinfo("u4").max, UNSEEN, NEVER
        self.keys = np.zeros(capacity, KEY_ROW)
        self.halves = np.zeros(2 * capacity, HALF_ROW)
        self.halves[:] = self._blank
        self.control_bits = np.zeros((2 * capacity, 2), "u1")  # per half: of the open pane; since the flow began
        self.counters = np.zeros((capacity, len(COUNTERS)), "u4")
        self.flow_id = np.zeros(capacity, "u8")  # 0: begins anew with its next packet
        self.start_ns = np.zeros(capacity, "i8")
        self.initiator = np.zeros(capacity, "u1")  # which half is the initiator's
        self.traits = np.zeros((capacity, 3), "u1")  # class of service, ICMP type and code of the first packet
        self._free = np.arange(capacity - 1, -1, -1, dtype="i4")  # a stack: low rows are used first and again
        self.free = capacity
        self._used = 0  # rows at and above were never used since the table was last empty

    def __len__(self) -> int:
        return self.capacity - self.free

    @property
    def memory_bytes(self) -> int:
        """Allocated once; independent of how many flows are held."""
        parts = (
            self._index,
            self.keys,
            self.halves,
            self.control_bits,
            self.counters,
            self.flow_id,
            self.start_ns,
            self.initiator,
        )
        return sum(part.nbytes for part in (*parts, self.traits, self._free))

    def live(self) -> NDArray[np.int64]:
        """Rows in use, ascending."""
        return np.flatnonzero(self.keys["flow_class"][: self._used])

    def find(self, keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Row of each key, -1 where it is not held, and the index slot where looking ended. Keys must be distinct."""
        slot = keys.hash >> self._shift
        row = np.full(len(slot), -1, "i8")
        todo = np.arange(len(slot))
        tag = keys.hash << np.uint64(24)
        while len(todo):
            entry = self._index[slot[todo]]
            candidate = ((entry & _TAG) == tag[todo]) & ((entry & _ROW) != 0)
            tried = np.flatnonzero(candidate)
            if len(tried):
                rows = (entry[tried] & _ROW).astype("i8") - 1
                equal = self._equals(keys, todo[tried], rows)
                row[todo[tried[equal]]] = rows[equal]
                candidate[tried[~equal]] = False
            todo = todo[~candidate & (entry != 0)]
            slot[todo] = (slot[todo] + np.uint64(1)) & self._mask
        return row, slot

    def _equals(self, keys: Keys, which: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        held = self.keys.view("V64")[rows].view(KEY_ROW)
        equal: NDArray[np.bool_] = held["low"] == keys.low[which]
        equal &= held["high"] == keys.high[which]
        equal &= held["flow_class"] == keys.flow_class[which]
        if len(keys.six_position):
            six = np.flatnonzero((keys.flow_class[which] & np.uint64(0x200)) != 0)
            wanted = keys.six_exact[np.searchsorted(keys.six_position, which[six])]
            equal[six] &= (held["address"][six] == wanted[:, :4]).all(axis=1) & (held["ports"][six] == wanted[:, 4])
        return equal

    def insert(self, keys: Keys, slot: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Take a row for each new key (there must be room), its halves blank. `slot` is where `find` ended."""
        count = len(slot)
        rows = self._free[self.free - count : self.free][::-1].astype("i8")
        self.free -= count
        held = np.zeros(count, KEY_ROW)
        held["low"], held["high"], held["flow_class"] = keys.low, keys.high, keys.flow_class
        if len(keys.six_position):
            held["address"][keys.six_position] = keys.six_exact[:, :4]
            held["ports"][keys.six_position] = keys.six_exact[:, 4]
        self.keys.view("V64")[rows] = held.view("V64")
        self._used = max(self._used, int(rows.max()) + 1)
        self._place(keys.hash, slot.copy(), rows)
        return rows

    def _place(self, hashes: NDArray[np.uint64], slot: NDArray[np.uint64], rows: NDArray[np.int64]) -> None:
        entry = (hashes << np.uint64(24)) | (rows + 1).astype("u8")
        todo = np.arange(len(rows))
        while len(todo):
            wanted = slot[todo]
            is_free = self._index[wanted] == 0
            self._index[wanted[is_free]] = entry[todo[is_free]]  # of several for one slot the last one wins
            todo = todo[self._index[wanted] != entry[todo]]
            slot[todo] = (slot[todo] + np.uint64(1)) & self._mask

    def delete(self, rows: NDArray[np.int64]) -> None:
        """Give rows back; the halves become blank."""
        held = self.keys[rows]
        hashes = self._hash.mix(held["low"], held["high"], held["flow_class"])
        wanted = (hashes << np.uint64(24)) | (rows + 1).astype("u8")
        slot = hashes >> self._shift
        todo = np.arange(len(rows))
        while len(todo):
            todo = todo[self._index[slot[todo]] != wanted[todo]]
            slot[todo] = (slot[todo] + np.uint64(1)) & self._mask
        self._index[slot] = _GRAVE
        self._graves += len(rows)
        self._blank_rows(rows)
        self._free[self.free : self.free + len(rows)] = rows[::-1]
        self.free += len(rows)
        if not len(self):
            self._used = 0
        if self._graves > len(self._index) >> 2:
            self._rebuild()

    def _blank_rows(self, rows: NDArray[np.int64]) -> None:
        self.keys["flow_class"][rows] = 0
        for half in (2 * rows, 2 * rows + 1):
            self.halves[half] = self._blank
            self.control_bits[half] = 0
        self.counters[rows] = 0
        self.flow_id[rows] = 0

    def _rebuild(self) -> None:
        """The index anew, without graves."""
        self._index[:] = 0
        self._graves = 0
        rows = self.live()
        held = self.keys[rows]
        hashes = self._hash.mix(held["low"], held["high"], held["flow_class"])
        self._place(hashes, hashes >> self._shift, rows)

    def begin_pane(self, rows: NDArray[np.int64]) -> None:
        """Forget what `rows` counted in the pane that was emitted; what a flow is remembers itself."""
        for half in (2 * rows, 2 * rows + 1):
            blank = np.repeat(self._blank, len(rows))
            blank["last"] = self.halves["last"][half]
            self.halves[half] = blank
            self.control_bits[half, 0] = 0
        self.counters[rows] = 0

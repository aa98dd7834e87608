"""The flow table: bounded, columnar, allocated once. Owns rows, the index that finds them, and nothing about time.

A flow has a key row, a row of what both directions share, and a row per direction (a half), each moved as one opaque item: one
cache line instead of one miss per column. The index is open addressing, 8 bits of tag and 24 bits of row in a 32-bit entry, half
full at most, probed for all flows of a block at once; a tag that matches is compared with the exact key. 216 bytes per flow of
capacity.
"""

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP
from netmote.metering.flow_key import IS_SIX, FlowHash, Keys

KEY_ROW = np.dtype(
    [
        ("flow_class", "u8"),  # 0: the row is free
        ("words", "u8", 4),  # low, high, and of IPv6 the far address: see Keys
        ("ports", "u4"),  # of IPv6
        ("traits", "u1", 3),  # class of service, ICMP type and code of the first packet
        ("initiator", "u1"),  # which half is the initiator's
    ]
)
FLOW_ROW = np.dtype(
    [
        ("flow_id", "u8"),  # 0: begins anew with its next packet
        ("start", "i8"),
        ("first", "i8"),  # of the open pane, as the extremes; UNSEEN before it
        ("minimum", "u4"),
        ("maximum", "u4"),
    ]
)
HALF_ROW = np.dtype(
    [
        ("octets", "u8"),  # of the open pane, as everything here but `last`
        ("squares", "u8"),
        ("gap_sum", "u8"),  # microseconds
        ("gap_squares", "u8"),
        ("last", "i8"),  # latest packet ever of this direction; NEVER before the first
        ("packets", "u4"),
        ("gap_maximum", "u4"),
    ]
)
NEVER = np.iinfo("i8").min
UNSEEN = np.iinfo("i8").max
# Where each counter of FLOW_DTYPE stands in `counters`, and the protocols that have it. A flow has one protocol, so those that
# exclude each other share a column.
_TCP, _UDP, _ICMP = (PROTOCOL_TCP,), (PROTOCOL_UDP,), (PROTOCOL_ICMP, PROTOCOL_ICMPV6)
COUNTERS: dict[str, tuple[int, tuple[int, ...]]] = {
    "fragment_count": (0, ()),
    "tcp_syn_count": (1, _TCP),
    "tcp_fin_count": (2, _TCP),
    "tcp_rst_count": (3, _TCP),
    "icmp_unreachable_count": (1, _ICMP),
    "dns_query_count": (1, _UDP),
    "dns_response_count": (2, _UDP),
    "dns_failure_count": (3, _UDP),
    "dns_question_octets": (4, _UDP),
    "dns_question_entropy_millibits": (5, _UDP),
}
LARGEST_TABLE = 1 << 23
_ROW = np.uint32(0xFF_FFFF)  # row + 1; 0 with a tag is a grave, 0 altogether is free
_GRAVE = np.uint32(1 << 24)


class FlowTable:
    """`capacity` flows. Rows are plain numbers; a row is in use when its `flow_class` is not 0."""

    def __init__(self, capacity: int, flow_hash: FlowHash) -> None:
        if not 1 <= capacity <= LARGEST_TABLE:
            raise ValueError(f"a flow table holds 1 to {LARGEST_TABLE} flows, not {capacity}")
        self.capacity = capacity
        self._hash = flow_hash
        self._slots = np.uint64(2 * capacity)
        self._index = np.zeros(2 * capacity, "u4")
        self._graves = 0
        self._blank_half = np.zeros(1, HALF_ROW)
        self._blank_half["last"] = NEVER
        self._blank_flow = np.zeros(1, FLOW_ROW)
        self._blank_flow["first"], self._blank_flow["minimum"] = UNSEEN, np.iinfo("u4").max
        self.keys = np.zeros(capacity, KEY_ROW)
        self.flows = np.repeat(self._blank_flow, capacity)
        self.halves = np.repeat(self._blank_half, 2 * capacity)
        self.control_bits = np.zeros((2 * capacity, 2), "u1")  # per half: of the open pane; since the flow began
        self.counters = np.zeros((capacity, 1 + max(column for column, _ in COUNTERS.values())), "u4")  # of the open pane
        self._free = np.arange(capacity - 1, -1, -1, dtype="i4")  # a stack: low rows are used first and again
        self.free = capacity
        self._used = 0  # rows at and above were never used since the table was last empty

    def __len__(self) -> int:
        return self.capacity - self.free

    @property
    def memory_bytes(self) -> int:
        """Allocated once; independent of how many flows are held."""
        parts = (self._index, self.keys, self.flows, self.halves, self.control_bits, self.counters, self._free)
        return sum(part.nbytes for part in parts)

    @property
    def flow_id(self) -> NDArray[np.uint64]:
        """(capacity,) a view; 0: the flow begins anew with its next packet."""
        return self.flows["flow_id"]

    @property
    def start_ns(self) -> NDArray[np.int64]:
        """(capacity,) a view: first packet of each flow."""
        return self.flows["start"]

    @property
    def initiator(self) -> NDArray[np.uint8]:
        """(capacity,) a view: which half is the initiator's."""
        return self.keys["initiator"]

    def take_flows(self, rows: NDArray[np.int64]) -> NDArray[np.void]:
        """A copy of these rows of `flows`; of row -1, anything."""
        return self.flows.view("V32").take(rows).view(FLOW_ROW)

    def put_flows(self, rows: NDArray[np.int64], flows: NDArray[np.void]) -> None:
        """Put back what `take_flows` copied."""
        self.flows.view("V32")[rows] = flows.view("V32")

    def live(self) -> NDArray[np.int64]:
        """Rows in use, ascending."""
        return np.flatnonzero(self.keys["flow_class"][: self._used])

    def find(self, keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row of each key, -1 where it is not held, and the index slot where looking ended. Keys must be distinct."""
        slot = self._first_slot(keys.hash)
        tag = keys.hash.astype("u4") << np.uint32(24)
        row = np.full(len(slot), -1, "i8")
        todo = np.arange(len(slot))
        where, wanted = slot, tag
        while len(todo):
            entry = self._index.take(where)
            candidate = (entry ^ wanted) - np.uint32(1)  # the row, where the tag matches
            goes_on = entry != 0
            tried = np.flatnonzero(candidate < _ROW)
            if len(tried):
                rows = candidate[tried].astype("i8")
                equal = self._equals(keys, todo[tried], rows)
                row[todo[tried]] = np.where(equal, rows, -1)
                goes_on[tried[equal]] = False
            goes_on = np.flatnonzero(goes_on)
            todo, wanted = todo[goes_on], wanted[goes_on]
            where = self._next_slot(where[goes_on])
            slot[todo] = where
        return row, slot

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

    def _equals(self, keys: Keys, which: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        held = self.keys.view("V48").take(rows).view(KEY_ROW)
        words, flow_class = held["words"], keys.flow_class.take(which)
        equal: NDArray[np.bool_] = held["flow_class"] == flow_class
        equal &= words[:, 0] == keys.low.take(which)
        equal &= words[:, 1] == keys.high.take(which)
        if len(keys.six_position):
            six = np.flatnonzero(flow_class & IS_SIX)
            far = keys.six_far
            if len(six) < len(keys.six_position):
                far = far.take(np.searchsorted(keys.six_position, which.take(six)), axis=1)
            for column, wanted in zip((words[:, 2], words[:, 3], held["ports"]), far, strict=True):
                equal[six] &= column.take(six) == wanted
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
        held["flow_class"], held["words"][:, 0], held["words"][:, 1] = keys.flow_class, keys.low, keys.high
        if len(keys.six_position):
            held["words"][keys.six_position, 2:] = keys.six_far[:2].T
            held["ports"][keys.six_position] = keys.six_far[2]
        held["initiator"] = initiator
        for column, trait in enumerate(traits):
            held["traits"][:, column] = trait
        self.keys.view("V48")[rows] = held.view("V48")
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
        held = self.keys[rows]
        words, flow_class = held["words"], np.ascontiguousarray(held["flow_class"])
        six = np.flatnonzero(flow_class & IS_SIX)
        far = np.array((words[six, 2], words[six, 3], held["ports"][six]), "u8")
        return self._hash.of(words[:, 0], words[:, 1], flow_class, six, far)

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
        self._blank_rows(rows)
        self._free[self.free : self.free + len(rows)] = rows[::-1]
        self.free += len(rows)
        if not len(self):
            self._used = 0
        if self._graves > len(self._index) >> 2:
            self._rebuild()

    def _blank_rows(self, rows: NDArray[np.int64]) -> None:
        self.keys["flow_class"][rows] = 0
        self.put_flows(rows, np.repeat(self._blank_flow, len(rows)))
        pairs = self.control_bits.view("u2").reshape(-1)
        blank = np.repeat(self._blank_half, len(rows)).view("V48")
        for half in (2 * rows, 2 * rows + 1):
            self.halves.view("V48")[half] = blank
            pairs[half] = 0
        self.counters[rows] = 0

    def _rebuild(self) -> None:
        """The index anew, without graves."""
        self._index[:] = 0
        self._graves = 0
        rows = self.live()
        hashes = self._hashes(rows)
        self._place(hashes, self._first_slot(hashes), rows)

    def begin_pane(self, rows: NDArray[np.int64]) -> None:
        """Forget what `rows` counted in the pane that was emitted; what a flow is remembers itself."""
        flows = np.repeat(self._blank_flow, len(rows))
        kept = self.take_flows(rows)
        flows["flow_id"], flows["start"] = kept["flow_id"], kept["start"]
        self.put_flows(rows, flows)
        halves, open_bits = self.halves.view("V48"), self.control_bits[:, 0]
        for half in (2 * rows, 2 * rows + 1):
            blank = np.repeat(self._blank_half, len(rows))
            blank["last"] = halves.take(half).view(HALF_ROW)["last"]
            halves[half] = blank.view("V48")
            open_bits[half] = 0
        self.counters[rows] = 0


def _entries(hashes: NDArray[np.uint64], rows: NDArray[np.int64]) -> NDArray[np.uint32]:
    entry = hashes.astype("u4") << np.uint32(24)
    entry |= (rows + 1).astype("u4")
    return entry

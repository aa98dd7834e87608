"""What is known of a flow between its packets: rows in columnar arrays, allocated once. Owns their layout, not how they are found.

A flow has a key row, a row of what both directions share, and two rows per direction (a half), each moved as one opaque item: one
cache line instead of one miss per column. They are of 32 and 16 octets, as numpy moves these three times as fast as rows of any size
between or above. What only some packets touch stands in arrays of its own. 212 octets per flow.
"""

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP

CLASS_BITS = np.uint64(0xFFFF_FFFF_FFFF)  # of a key row's `flow_class`: those of the key
KEY_ROW = np.dtype(
    {
        "names": ["flow_class", "class_of_service", "initiator", "low", "high", "ports", "free"],
        "formats": ["u8", "u1", "u1", "u8", "u8", "u4", "u4"],
        "offsets": [0, 6, 7, 8, 16, 24, 28],
        "itemsize": 32,
    }
)
"""flow_class: 0: the row is free; its two highest octets are no part of the key, but the next two fields:
class_of_service: of the first packet; initiator: which half is the initiator's
low, high: see Keys; ports: of IPv6, whose far address stands beside
free: the table's stack of free rows, and nothing of this row"""
FLOW_ROW = np.dtype(
    {
        "names": ["flow_id", "start", "first", "minimum", "minimum_ttl", "maximum", "maximum_ttl"],
        "formats": ["u8", "i8", "i8", "u4", "u1", "u4", "u1"],
        "offsets": [0, 8, 16, 24, 24, 28, 28],
        "itemsize": 32,
    }
)
"""flow_id: 0: begins anew with its next packet; start: first packet of the flow, or, where it begins anew, the last one before
first: of the open pane, as the extremes; UNSEEN before it
minimum, maximum: ipTotalLength in the upper three octets (16 MB stand for more), the time to live in the lowest"""
HALF_ROW = np.dtype(
    [
        ("octets", "u8"),  # of the open pane, as everything here but `last`
        ("squares", "u8"),
        ("gap_squares", "u8"),
        ("last", "i8"),  # latest packet ever of this direction; NEVER before the first
    ]
)
COUNT_ROW = np.dtype(
    [
        ("packets", "u4"),  # of the open pane, as everything here
        ("gap_sum", "u4"),  # microseconds, 71 minutes at most
        ("gap_minimum", "u4"),  # NO_GAP before the first
        ("gap_maximum", "u4"),
    ]
)
"""What else is known of a half."""
NEVER = np.iinfo("i8").min
UNSEEN = np.iinfo("i8").max
NO_GAP = np.iinfo("u4").max
MOST_LENGTH = np.uint32(0xFF_FFFF)
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
RETRANSMISSIONS = 4  # of TCP: the column of the lower endpoint's half; the other half's is the next one
_COLUMNS = 6
_LINE = 64
_AT_ONCE = 8192  # rows written anew at once: what they become stays in the second-level cache, and a full table needs no copy


class FlowRows:
    """`capacity` rows. Rows are plain numbers; the halves of row r are 2 r (lower endpoint) and 2 r + 1."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._blank_half, self._blank_counts = np.zeros(1, HALF_ROW), np.zeros(1, COUNT_ROW)
        self._blank_half["last"], self._blank_counts["gap_minimum"] = NEVER, NO_GAP
        self._blank_flow = np.zeros(1, FLOW_ROW)
        self._blank_flow["first"], self._blank_flow["minimum"] = UNSEEN, np.iinfo("u4").max
        self.keys = _zeros(capacity, KEY_ROW)
        self.far = np.zeros((capacity, 2), "u8")  # of IPv6: the higher endpoint's address
        self.flows = _filled(capacity, self._blank_flow)
        self.halves = _filled(2 * capacity, self._blank_half)
        self.counts = _filled(2 * capacity, self._blank_counts)
        # Per half. TCP: the highest next expected sequence number, 0 when unknown; ICMP: type and code of the first packet.
        self.expected = np.zeros(2 * capacity, "u4")
        self.control_bits = np.zeros((2 * capacity, 2), "u1")  # per half: of the open pane; since the flow began
        self.counters = np.zeros((capacity, _COLUMNS), "u4")  # of the open pane

    @property
    def memory_bytes(self) -> int:
        """Allocated once."""
        halves = (self.halves, self.counts, self.expected, self.control_bits)
        parts = (self.keys, self.far, self.flows, *halves, self.counters)
        return sum(part.nbytes for part in parts)

    @property
    def flow_id(self) -> NDArray[np.uint64]:
        """(capacity,) a view; 0: the flow begins anew with its next packet."""
        return self.flows["flow_id"]

    @property
    def start_ns(self) -> NDArray[np.int64]:
        """(capacity,) a view: first packet of each flow; where it begins anew, the last packet before."""
        return self.flows["start"]

    @property
    def initiator(self) -> NDArray[np.uint8]:
        """(capacity,) a view: which half is the initiator's."""
        return self.keys["initiator"]

    def take_keys(self, rows: NDArray[np.int64]) -> NDArray[np.void]:
        """A copy of these rows of `keys`."""
        return self.keys.view("V32").take(rows).view(KEY_ROW)

    def take_flows(self, rows: NDArray[np.int64]) -> NDArray[np.void]:
        """A copy of these rows of `flows`; of row -1, anything."""
        return self.flows.view("V32").take(rows).view(FLOW_ROW)

    def put_flows(self, rows: NDArray[np.int64], flows: NDArray[np.void]) -> None:
        """Put back what `take_flows` copied."""
        self.flows.view("V32").put(rows, flows.view("V32"))

    def take_halves(self, halves: NDArray[np.int64]) -> NDArray[np.void]:
        """A copy of these rows of `halves`."""
        return self.halves.view("V32").take(halves).view(HALF_ROW)

    def put_halves(self, halves: NDArray[np.int64], rows: NDArray[np.void]) -> None:
        """Put back what `take_halves` copied."""
        self.halves.view("V32").put(halves, rows.view("V32"))

    def take_counts(self, halves: NDArray[np.int64]) -> NDArray[np.void]:
        """A copy of these rows of `counts`."""
        return self.counts.view("V16").take(halves).view(COUNT_ROW)

    def put_counts(self, halves: NDArray[np.int64], rows: NDArray[np.void]) -> None:
        """Put back what `take_counts` copied."""
        self.counts.view("V16")[halves] = rows.view("V16")

    def begin(
        self,
        rows: NDArray[np.int64],
        *,
        initiator: NDArray[np.bool_],
        traits: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]],
    ) -> None:
        """What the first packet of each flow says: who the initiator is, and class of service, ICMP type and code."""
        class_of_service, kind, code = traits
        self.keys["initiator"][rows], self.keys["class_of_service"][rows] = initiator, class_of_service
        protocol = self.protocols(rows)
        is_icmp = np.flatnonzero((protocol == PROTOCOL_ICMP) | (protocol == PROTOCOL_ICMPV6))
        if len(is_icmp):
            self.expected[2 * rows[is_icmp]], self.expected[2 * rows[is_icmp] + 1] = kind[is_icmp], code[is_icmp]

    def protocols(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """ProtocolIdentifier of each row's key."""
        return self.keys["flow_class"][rows].astype("u1")

    def last_ns(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Latest packet of each flow, either direction."""
        last = self.halves["last"]
        latest: NDArray[np.int64] = np.maximum(last[2 * rows], last[2 * rows + 1])
        return np.where(self.flow_id[rows] == 0, self.start_ns[rows], latest)

    def blank(self, rows: NDArray[np.int64]) -> None:
        """Forget all of these flows but their keys."""
        for start in range(0, len(rows), _AT_ONCE):
            self._blank(rows[start : start + _AT_ONCE])

    def _blank(self, rows: NDArray[np.int64]) -> None:
        self.put_flows(rows, np.repeat(self._blank_flow, len(rows)))
        pairs = self.control_bits.view("u2").reshape(-1)
        blank, no_counts = np.repeat(self._blank_half, len(rows)), np.repeat(self._blank_counts, len(rows))
        for half in (2 * rows, 2 * rows + 1):
            self.put_halves(half, blank)
            self.put_counts(half, no_counts)
            pairs[half] = 0
            self.expected[half] = 0
        self.counters[rows] = 0

    def adopt(self, rows: NDArray[np.int64], other: "FlowRows", theirs: NDArray[np.int64]) -> None:
        """Make these flows what the rows `theirs` of another are; their keys are the same already."""
        self.put_flows(rows, other.take_flows(theirs))
        for half in (0, 1):
            mine, its = 2 * rows + half, 2 * theirs + half
            self.put_halves(mine, other.take_halves(its))
            self.put_counts(mine, other.take_counts(its))
            self.control_bits[mine] = other.control_bits[its]
            self.expected[mine] = other.expected[its]
        self.counters[rows] = other.counters[theirs]
        for name in ("initiator", "class_of_service"):
            self.keys[name][rows] = other.keys[name][theirs]

    def begin_pane(self, rows: NDArray[np.int64]) -> None:
        """Forget what `rows` counted in the pane that was emitted; what a flow is remembers itself."""
        for start in range(0, len(rows), _AT_ONCE):
            self._begin_pane(rows[start : start + _AT_ONCE])

    def _begin_pane(self, rows: NDArray[np.int64]) -> None:
        flows = np.repeat(self._blank_flow, len(rows))
        kept = self.take_flows(rows)
        for name in ("flow_id", "start"):
            flows[name] = kept[name]
        self.put_flows(rows, flows)
        open_bits, no_counts = self.control_bits[:, 0], np.repeat(self._blank_counts, len(rows))
        for half in (2 * rows, 2 * rows + 1):
            blank = np.repeat(self._blank_half, len(rows))
            blank["last"] = self.take_halves(half)["last"]
            self.put_halves(half, blank)
            self.put_counts(half, no_counts)
            open_bits[half] = 0
        self.counters[rows] = 0

    def begin_anew(self, rows: NDArray[np.int64]) -> None:
        """These flows were ended by the active timeout, and their pane was emitted: the next packet of each begins another.

        The direction stays, and what closed the connection; gaps are measured inside a flow alone.
        """
        last = self.last_ns(rows)
        self.flow_id[rows], self.start_ns[rows] = 0, last
        for half in (2 * rows, 2 * rows + 1):
            self.halves["last"][half] = NEVER


def _zeros(count: int, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """Rows that begin where a cache line does: of a row of half a line none is in two."""
    octets = np.zeros(count * dtype.itemsize + _LINE, "u1")
    start = -octets.__array_interface__["data"][0] % _LINE
    return octets[start : start + count * dtype.itemsize].view(dtype)


def _filled(count: int, row: NDArray[np.void]) -> NDArray[np.void]:
    rows = _zeros(count, row.dtype)
    rows[:] = row
    return rows

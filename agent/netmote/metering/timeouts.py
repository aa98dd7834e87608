"""When a flow ends (RFC 7011 section 5.1.1) and which flows give way to others. Pure functions of the table, at a pane's end.

Ends are decided only where a pane ends, so they cannot depend on how packets were cut into blocks.
"""

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import PROTOCOL_TCP
from netmote.metering.flow_table import FlowTable
from netmote.records.flow import TCP_ACK, TCP_FIN, TCP_RST, FlowEndReason

# A closed connection is kept this long, so that its last acknowledgement is not a flow of its own.
CLOSING_NS = 1_000_000_000


def last_ns(table: FlowTable, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Latest packet of each flow, either direction."""
    last = table.halves["last"]
    latest: NDArray[np.int64] = np.maximum(last[2 * rows], last[2 * rows + 1])
    return latest


def end_reasons(
    table: FlowTable, rows: NDArray[np.int64], now_ns: int, *, active_timeout_ns: int, idle_timeout_ns: int
) -> NDArray[np.uint8]:
    """FlowEndReason of each row at the end of a pane, `now_ns`.

    END_OF_FLOW: FIN from both sides or RST from one, and silence since. IDLE_TIMEOUT: silence of `idle_timeout_ns`.
    ACTIVE_TIMEOUT: began `active_timeout_ns` ago; the row stays, with its direction, and the next packet begins a new flow.
    """
    last = last_ns(table, rows)
    one, other = table.control_bits[2 * rows, 1], table.control_bits[2 * rows + 1, 1]
    is_closed = (((one | other) & TCP_RST) != 0) | ((one & other & TCP_FIN) != 0)
    reasons = np.full(len(rows), FlowEndReason.CONTINUES, "u1")
    reasons[table.start_ns[rows] <= now_ns - active_timeout_ns] = FlowEndReason.ACTIVE_TIMEOUT
    reasons[last <= now_ns - idle_timeout_ns] = FlowEndReason.IDLE_TIMEOUT
    reasons[is_closed & (last <= now_ns - CLOSING_NS)] = FlowEndReason.END_OF_FLOW
    return reasons


def longest_idle(table: FlowTable, count: int) -> NDArray[np.int64]:
    """The `count` rows to give up when the table is full: unfinished openings first, then the longest idle.

    An unfinished opening is a TCP flow whose initiator has acknowledged nothing, or another flow that is a single instant: what a
    flood of forged sources makes. So a flood pushes out itself, not the flows that were there before it.
    """
    rows = table.live()
    last = last_ns(table, rows)
    is_tcp = (table.keys["flow_class"][rows] & np.uint64(0xFF)) == PROTOCOL_TCP
    acknowledged = (table.control_bits[2 * rows + table.initiator[rows], 1] & TCP_ACK) != 0
    is_opening = np.where(is_tcp, ~acknowledged, (table.start_ns[rows] == last) & (table.flow_id[rows] != 0))
    order = np.lexsort((table.flow_id[rows], last, ~is_opening))
    victims: NDArray[np.int64] = rows[order[:count]]
    return victims

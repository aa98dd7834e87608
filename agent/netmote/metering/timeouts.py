"""When a flow ends (RFC 7011 section 5.1.1) and which flows give way to others. Pure functions of the table, at a pane's end.

Ends are decided only where a pane ends, so they cannot depend on how packets were cut into blocks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP
from netmote.metering.flow_table import FlowTable
from netmote.records.flow import TCP_ACK, TCP_FIN, TCP_RST, FlowEndReason

# A closed connection is kept this long, so that its last acknowledgement is not a flow of its own.
CLOSING_NS = 1_000_000_000
_PROTOCOLS = {
    "tcp": (PROTOCOL_TCP,),
    "udp": (PROTOCOL_UDP,),
    "icmp": (PROTOCOL_ICMP, PROTOCOL_ICMPV6),
    "sctp": (PROTOCOL_SCTP,),
}


@dataclass(frozen=True, slots=True, eq=False)
class Timeouts:
    """How long flows may last and be silent, in nanoseconds."""

    active_ns: int  # flowActiveTimeout (IANA 36)
    idle_ns: NDArray[np.int64]  # (256,) flowIdleTimeout (IANA 37) by protocol number
    tcp_opening_ns: int  # idle timeout of a TCP flow whose initiator has acknowledged nothing

    @classmethod
    def of(cls, active_ns: int, idle_ns: int, by_name: Mapping[str, int]) -> "Timeouts":
        """`idle_ns` for every protocol that `by_name` (tcp, tcp_opening, udp, icmp, sctp, other) does not name."""
        if unknown := set(by_name) - {*_PROTOCOLS, "tcp_opening", "other"}:
            raise ValueError(f"no idle timeout is called {', '.join(sorted(unknown))}")
        idle = np.full(256, by_name.get("other", idle_ns), "i8")
        for name, protocols in _PROTOCOLS.items():
            idle[list(protocols)] = by_name.get(name, idle_ns)
        return cls(active_ns, idle, by_name.get("tcp_opening", int(idle[PROTOCOL_TCP])))

    @property
    def longest_ns(self) -> int:
        """After a silence this long every flow has ended."""
        return max(int(self.idle_ns.max()), self.tcp_opening_ns)


def end_reasons(table: FlowTable, rows: NDArray[np.int64], now_ns: int, timeouts: Timeouts) -> NDArray[np.uint8]:
    """FlowEndReason of each row at the end of a pane, `now_ns`.

    END_OF_FLOW: FIN from both sides or RST from one, and silence since. IDLE_TIMEOUT: silence as long as its protocol's timeout.
    ACTIVE_TIMEOUT: began `timeouts.active_ns` ago; the row stays, with its direction, and the next packet begins a new flow.
    """
    last = table.last_ns(rows)
    one, other = table.control_bits[2 * rows, 1], table.control_bits[2 * rows + 1, 1]
    is_closed = (((one | other) & TCP_RST) != 0) | ((one & other & TCP_FIN) != 0)
    protocol = table.protocols(rows)
    idle = timeouts.idle_ns.take(protocol)
    if timeouts.tcp_opening_ns != timeouts.idle_ns[PROTOCOL_TCP]:
        idle[(protocol == PROTOCOL_TCP) & ~has_acknowledged(table, rows)] = timeouts.tcp_opening_ns
    reasons = np.full(len(rows), FlowEndReason.CONTINUES, "u1")
    reasons[table.start_ns[rows] <= now_ns - timeouts.active_ns] = FlowEndReason.ACTIVE_TIMEOUT
    reasons[last <= now_ns - idle] = FlowEndReason.IDLE_TIMEOUT
    reasons[is_closed & (last <= now_ns - CLOSING_NS)] = FlowEndReason.END_OF_FLOW
    return reasons


def has_acknowledged(table: FlowTable, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the initiator of each TCP flow has sent an ACK."""
    found: NDArray[np.bool_] = (table.control_bits[2 * rows + table.initiator[rows], 1] & TCP_ACK) != 0
    return found


def longest_idle(table: FlowTable, count: int) -> NDArray[np.int64]:
    """The `count` rows to give up when the table is full: unfinished openings first, then the longest idle.

    An unfinished opening is a TCP flow whose initiator has acknowledged nothing, or another flow that is a single instant: what a
    flood of forged sources makes. So a flood pushes out itself, not the flows that were there before it.
    """
    rows = table.live()
    last = table.last_ns(rows)
    is_tcp = table.protocols(rows) == PROTOCOL_TCP
    is_opening = np.where(is_tcp, ~has_acknowledged(table, rows), (table.start_ns[rows] == last) & (table.flow_id[rows] != 0))
    order = np.lexsort((table.flow_id[rows], last, ~is_opening))
    victims: NDArray[np.int64] = rows[order[:count]]
    return victims

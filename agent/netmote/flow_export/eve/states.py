"""What Suricata calls the state of a flow and of its TCP session, from what a flow record keeps: the flags of each side, the end.

flow.h knows new, established and closed. TCP, with the server's eyes (a FIN of the client is close_wait): stream-tcp.c moves a session by each packet; a record has the flags of all packets
of a side OR-ed, so a state is named here only where those flags leave no other, or the latest one they allow.
"""

import numpy as np
from numpy.typing import NDArray

from netmote.records.flow import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, FlowEndReason

_TCP = 6


def tcp_states(records: NDArray[np.void]) -> list[str]:
    """Of each record (FLOW_DTYPE): one of Suricata's names of TCP states. Means nothing for other protocols."""
    ours, theirs = records["initiator_tcp_control_bits"], records["responder_tcp_control_bits"]
    is_reset = ((ours | theirs) & TCP_RST) != 0
    has_finished, has_been_finished = (ours & TCP_FIN) != 0, (theirs & TCP_FIN) != 0
    is_closed = is_reset | (has_finished & has_been_finished) | (records["flow_end_reason"] == FlowEndReason.END_OF_FLOW)
    both_acknowledge = (ours & theirs & TCP_ACK) != 0
    states: list[str] = np.select(
        [
            is_closed,
            both_acknowledge & has_finished,
            both_acknowledge & has_been_finished,
            both_acknowledge,
            (ours & theirs & TCP_SYN) != 0,
            (ours & TCP_SYN) != 0,
        ],
        ["closed", "close_wait", "fin_wait1", "established", "syn_recv", "syn_sent"],
        "none",
    ).tolist()
    return states


def flow_states(records: NDArray[np.void]) -> list[str]:
    """Of each record (FLOW_DTYPE): new, established or closed.

    TCP by its session; anything else is established when both sides have sent.
    """
    is_tcp = records["protocol_identifier"] == _TCP
    states = np.array(tcp_states(records), "U11")
    is_established = np.where(
        is_tcp,
        np.isin(states, ("established", "fin_wait1", "close_wait")),
        (records["initiator_packets"] != 0) & (records["responder_packets"] != 0),
    )
    found: list[str] = np.select([is_tcp & (states == "closed"), is_established], ["closed", "established"], "new").tolist()
    return found

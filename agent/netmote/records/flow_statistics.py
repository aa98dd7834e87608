"""What the sums of a flow record say: means and variances, the state of a TCP connection, DSCP. Pure functions of FLOW_DTYPE columns.

For whole flows (their slices added up). Of a single slice, sizes hold; gaps do not, for how many it has depends on the slices before.
"""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from netmote.records.flow import TCP_FIN, TCP_RST, TCP_SYN

Side: TypeAlias = Literal["initiator", "responder"]
SIDES: tuple[Side, Side] = ("initiator", "responder")
_TCP = 6


def packet_size_moments(flows: NDArray[np.void], side: Side) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (octets) and population variance (octets squared) of ipTotalLength of one direction; NaN without packets."""
    count, total, squares = (flows[f"{side}_{name}"] for name in ("packets", "octets", "octet_sum_of_squares"))
    return _moments(count.astype("f8"), total, squares)


def interarrival_moments(flows: NDArray[np.void], side: Side) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (microseconds) and population variance (microseconds squared) of the gaps of one direction; NaN without gaps.

    A flow has one gap fewer than packets; packets that were one in the capture (GRO) are no time apart. The sum of squares is kept
    modulo 2^64, which gaps of an hour reach: no timeout of a sensor is that long.
    """
    packets = flows[f"{side}_packets"].astype("f8")
    total, squares = (flows[f"{side}_interarrival_{name}"] for name in ("sum_us", "sum_of_squares"))
    return _moments(np.maximum(packets - 1, 0), total, squares)


def _moments(count: NDArray[np.float64], total: NDArray[Any], squares: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    known = np.where(count > 0, count, np.nan)
    mean = total / known
    return mean, np.maximum(squares / known - mean * mean, 0.0)


def dscp(flows: NDArray[np.void]) -> NDArray[np.uint8]:
    """IpDiffServCodePoint (IANA 195) of the first packet: the upper six bits of the class of service (RFC 2474 section 3)."""
    found: NDArray[np.uint8] = flows["ip_class_of_service"] >> np.uint8(2)
    return found


def tcp_state(flows: NDArray[np.void]) -> NDArray[np.str_]:
    """What the flags of both directions imply, in the words of Zeek's `conn_state` (base/protocols/conn/main.zeek); "" but for TCP.

    S0: SYN, no answer. S1: opened, not closed. SF: opened, closed by FIN from both sides; S2, S3: by FIN of the originator or the
    responder alone. REJ: the SYN was answered by RST. RSTO, RSTR: opened, then reset by the originator or the responder. RSTOS0,
    SH: the originator sent SYN and RST or FIN, the responder no SYN. RSTRH, SHR: the responder sent SYN with ACK and RST or FIN, and
    no SYN was seen. OTH: no opening was seen, or one that was answered by something else.

    Flags alone: of a connection whose opening was not seen Zeek also looks at sequence numbers and may say more.
    """
    ours, theirs = (flows[f"{side}_tcp_control_bits"] for side in SIDES)
    (syn, fin, rst), (answer, their_fin, their_rst) = (
        tuple((bits & bit) != 0 for bit in (TCP_SYN, TCP_FIN, TCP_RST)) for bits in (ours, theirs)
    )
    is_open, is_unanswered, is_answer_alone = syn & answer, syn & ~answer, ~syn & answer
    # The first that holds names it.
    rules = (
        ("", flows["protocol_identifier"] != _TCP),
        ("SF", is_open & fin & their_fin),
        ("RSTO", is_open & rst),
        ("RSTR", is_open & their_rst),
        ("S2", is_open & fin),
        ("S3", is_open & their_fin),
        ("S1", is_open),
        ("RSTOS0", is_unanswered & rst),
        ("REJ", is_unanswered & their_rst),
        ("SH", is_unanswered & fin),
        ("S0", is_unanswered & (flows["responder_packets"] == 0)),
        ("RSTRH", is_answer_alone & their_rst),
        ("SHR", is_answer_alone & their_fin),
    )
    return np.select([holds for _, holds in rules], [np.str_(name) for name, _ in rules], np.str_("OTH")).astype("U6")


def derived_columns(flows: NDArray[np.void]) -> dict[str, NDArray[Any]]:
    """All of the above by name: text, integers, and floats with NaN where there is no value."""
    columns: dict[str, NDArray[Any]] = {"ip_diff_serv_code_point": dscp(flows), "tcp_state": tcp_state(flows)}
    for side in SIDES:
        columns[f"{side}_octet_mean"], columns[f"{side}_octet_variance"] = packet_size_moments(flows, side)
        mean, variance = interarrival_moments(flows, side)
        columns[f"{side}_interarrival_mean_us"], columns[f"{side}_interarrival_variance"] = mean, variance
    return columns

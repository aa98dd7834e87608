"""The table of what is exported: a field of the flow record, its Information Element, its length. To export one more is one line.

Elements and their numbers: IANA, "IP Flow Information Export (IPFIX) Entities" (RFC 7012). Reverse elements: RFC 5103.
An element is here when what we count is exactly what IANA describes. Lengths of packets, times to live and counts of SYN, FIN and RST
are of both directions in our records and of one in IANA's, so they stay with this sensor, as does what has no element.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.flow_export.icmp_answers import ICMP6_ANSWER, ICMP_ANSWER, NO_ANSWER

REVERSE_PEN = 29305
"""Private Enterprise Number under which RFC 5103 section 6.1 gives every element its reverse."""

Column = Callable[[NDArray[np.void]], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Element:
    """One field of a template. `column` makes the values of a batch of records (FLOW_DTYPE), `form` is their form on the wire."""

    name: str  # of IANA
    number: int
    form: str  # numpy dtype, big-endian: RFC 7011 section 6.1.1
    column: Column
    is_reverse: bool = False

    @property
    def length(self) -> int:
        """Octets on the wire."""
        return np.dtype(self.form).itemsize


def _field(name: str) -> Column:
    return lambda records: records[name]


def _milliseconds(name: str) -> Column:
    return lambda records: records[name] // 1_000_000


def _last_four(name: str) -> Column:
    return lambda records: np.ascontiguousarray(records[name]).view("u1").reshape(-1, 16)[:, 12:].copy().view("V4")[:, 0]


def _icmp_type_and_code(records: NDArray[np.void]) -> NDArray[Any]:
    """Type * 256 + code, as IANA says of icmpTypeCodeIPv4 and icmpTypeCodeIPv6."""
    both: NDArray[Any] = records["icmp_type"].astype("u2") * 256 + records["icmp_code"]
    return both


ADDRESSES = {
    4: (
        Element("sourceIPv4Address", 8, "V4", _last_four("source_address")),
        Element("destinationIPv4Address", 12, "V4", _last_four("destination_address")),
    ),
    6: (
        Element("sourceIPv6Address", 27, "V16", _field("source_address")),
        Element("destinationIPv6Address", 28, "V16", _field("destination_address")),
    ),
}

PORTS = (
    Element("sourceTransportPort", 7, ">u2", _field("source_transport_port")),
    Element("destinationTransportPort", 11, ">u2", _field("destination_transport_port")),
)

ICMP = {
    4: (Element("icmpTypeCodeIPv4", 32, ">u2", _icmp_type_and_code),),
    6: (Element("icmpTypeCodeIPv6", 139, ">u2", _icmp_type_and_code),),
}

# What is the same for both directions.
FLOW = (
    Element("flowStartMilliseconds", 152, ">u8", _milliseconds("flow_start_ns")),
    Element("flowEndMilliseconds", 153, ">u8", _milliseconds("flow_end_ns")),
    Element("flowId", 148, ">u8", _field("flow_id")),
    Element("vlanId", 58, ">u2", _field("vlan_id")),
    Element("dot1qCustomerVlanId", 245, ">u2", _field("dot1q_customer_vlan_id")),
    Element("protocolIdentifier", 4, "u1", _field("protocol_identifier")),
    Element("ipVersion", 60, "u1", _field("ip_version")),
    Element("flowEndReason", 136, "u1", _field("flow_end_reason")),
)

# What each direction has of its own: number, name, form, and the field without its side.
_DIRECTIONAL = (
    ("octetDeltaCount", 1, ">u8", "octets"),
    ("packetDeltaCount", 2, ">u8", "packets"),
    # Reduced to the eight bits that a flow record keeps (RFC 7125 section 3).
    ("tcpControlBits", 6, "u1", "tcp_control_bits"),
)

# Of the flow's first packet, hence of the initiator's direction.
_OF_FIRST_PACKET = (Element("ipClassOfService", 5, "u1", _field("ip_class_of_service")),)

# biflowDirection (RFC 5103 section 6.3): 1 says that the forward direction is the initiator's.
_BIFLOW_DIRECTION = Element("biflowDirection", 239, "u1", lambda records: np.ones(len(records), "u1"))


def _of_side(side: str, *, is_reverse: bool = False) -> tuple[Element, ...]:
    return tuple(
        Element(name, number, form, _field(f"{side}_{field}"), is_reverse=is_reverse)
        for name, number, form, field in _DIRECTIONAL
    )


def biflow_elements() -> tuple[Element, ...]:
    """Both directions in one record: the responder's counts as reverse elements.

    Those come first: nfdump 1.7.1 takes a reverse element that it does not know for the forward one, and the last one stays.
    """
    return (*FLOW, *_OF_FIRST_PACKET, _BIFLOW_DIRECTION, *_of_side("responder", is_reverse=True), *_of_side("initiator"))


def uniflow_elements() -> tuple[Element, ...]:
    """One direction; the other is a record of its own (`turned`)."""
    return (*FLOW, *_OF_FIRST_PACKET, *_of_side("initiator"))


def turned(records: NDArray[np.void]) -> NDArray[np.void]:
    """The responder's direction of these records as flows from responder to initiator.

    Not turned: the times and the flow id, which belong to the flow as a whole. Class of service is of the first packet and
    unknown of the way back: zero. An ICMP type becomes that of its answer; one that has none stays.
    """
    back = records.copy()
    for one, other in (
        ("source_address", "destination_address"),
        ("source_transport_port", "destination_transport_port"),
    ):
        back[one], back[other] = records[other], records[one]
    for _, _, _, field in _DIRECTIONAL:
        back[f"initiator_{field}"] = records[f"responder_{field}"]
    back["ip_class_of_service"] = 0
    answer = np.where(records["ip_version"] == 4, ICMP_ANSWER[records["icmp_type"]], ICMP6_ANSWER[records["icmp_type"]])
    back["icmp_type"] = np.where(answer == NO_ANSWER, records["icmp_type"], answer)
    return back

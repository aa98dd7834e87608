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
    back: Column | None = None
    """Its values in a uniflow from responder to initiator; None: the same."""
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


def _icmp_answer(answers: NDArray[np.uint16]) -> Column:
    """The same of the way back: the type of the answer; of what has none, its own."""

    def column(records: NDArray[np.void]) -> NDArray[Any]:
        answer = answers[records["icmp_type"]]
        both: NDArray[Any] = np.where(answer == NO_ANSWER, records["icmp_type"], answer) * 256 + records["icmp_code"]
        return both

    return column


_SOURCE, _DESTINATION = "source_address", "destination_address"
ADDRESSES = {
    4: (
        Element("sourceIPv4Address", 8, "V4", _last_four(_SOURCE), back=_last_four(_DESTINATION)),
        Element("destinationIPv4Address", 12, "V4", _last_four(_DESTINATION), back=_last_four(_SOURCE)),
    ),
    6: (
        Element("sourceIPv6Address", 27, "V16", _field(_SOURCE), back=_field(_DESTINATION)),
        Element("destinationIPv6Address", 28, "V16", _field(_DESTINATION), back=_field(_SOURCE)),
    ),
}

_SOURCE_PORT, _DESTINATION_PORT = "source_transport_port", "destination_transport_port"
PORTS = (
    Element("sourceTransportPort", 7, ">u2", _field(_SOURCE_PORT), back=_field(_DESTINATION_PORT)),
    Element("destinationTransportPort", 11, ">u2", _field(_DESTINATION_PORT), back=_field(_SOURCE_PORT)),
)

ICMP = {
    4: (Element("icmpTypeCodeIPv4", 32, ">u2", _icmp_type_and_code, back=_icmp_answer(ICMP_ANSWER)),),
    6: (Element("icmpTypeCodeIPv6", 139, ">u2", _icmp_type_and_code, back=_icmp_answer(ICMP6_ANSWER)),),
}

# Times and id belong to the flow as a whole. Class of service is that of its first packet, and not known of the way back.
FLOW = (
    Element("flowStartMilliseconds", 152, ">u8", _milliseconds("flow_start_ns")),
    Element("flowEndMilliseconds", 153, ">u8", _milliseconds("flow_end_ns")),
    Element("flowId", 148, ">u8", _field("flow_id")),
    Element("vlanId", 58, ">u2", _field("vlan_id")),
    Element("dot1qCustomerVlanId", 245, ">u2", _field("dot1q_customer_vlan_id")),
    Element("protocolIdentifier", 4, "u1", _field("protocol_identifier")),
    Element("ipVersion", 60, "u1", _field("ip_version")),
    Element("flowEndReason", 136, "u1", _field("flow_end_reason")),
    Element("ipClassOfService", 5, "u1", _field("ip_class_of_service"), back=lambda records: np.zeros(len(records), "u1")),
)

# What each direction has of its own: name, number, form, and the field without its side.
_DIRECTIONAL = (
    ("octetDeltaCount", 1, ">u8", "octets"),
    ("packetDeltaCount", 2, ">u8", "packets"),
    # Reduced to the eight bits that a flow record keeps (RFC 7125 section 3).
    ("tcpControlBits", 6, "u1", "tcp_control_bits"),
)

# biflowDirection (RFC 5103 section 6.3): 1 says that the forward direction is the initiator's.
_BIFLOW_DIRECTION = Element("biflowDirection", 239, "u1", lambda records: np.ones(len(records), "u1"))


def biflow_elements() -> tuple[Element, ...]:
    """Both directions in one record: the responder's counts as reverse elements.

    Those come first: nfdump 1.7.1 takes a reverse element that it does not know for the forward one, and the last one stays.
    """
    reverse = (
        Element(name, number, form, _field(f"responder_{field}"), is_reverse=True) for name, number, form, field in _DIRECTIONAL
    )
    forward = (Element(name, number, form, _field(f"initiator_{field}")) for name, number, form, field in _DIRECTIONAL)
    return (*FLOW, _BIFLOW_DIRECTION, *reverse, *forward)


def uniflow_elements() -> tuple[Element, ...]:
    """One direction; the other is a record of its own."""
    counts = (
        Element(name, number, form, _field(f"initiator_{field}"), back=_field(f"responder_{field}"))
        for name, number, form, field in _DIRECTIONAL
    )
    return (*FLOW, *counts)

"""Templates (RFC 7011 section 3.4.1): which elements, in which order, make a data record; and records in that form, many at once.

Four for each form: IPv4 or IPv6, and with ports or with ICMP type and code, since a record says only what it has.
"""

import struct
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from netmote.flow_export.ipfix.elements import (
    ADDRESSES,
    ICMP,
    PORTS,
    REVERSE_PEN,
    Element,
    biflow_elements,
    uniflow_elements,
)

Form = Literal["uniflow", "biflow"]

TEMPLATE_SET_ID, OPTIONS_TEMPLATE_SET_ID = 2, 3  # RFC 7011 section 3.3.2
_ENTERPRISE_BIT = 0x8000  # RFC 7011 section 3.2
_PROTOCOL_ICMP = {4: 1, 6: 58}
# The forms have numbers of their own: a collector that remembers one form never reads the other by it.
_FIRST_ID = {"uniflow": 256, "biflow": 260}


@dataclass(frozen=True)
class Template:
    """One template."""

    template_id: int
    elements: tuple[Element, ...]
    dtype: np.dtype[Any] = field(init=False)
    """A data record as it is on the wire: packed, big-endian."""

    def __post_init__(self) -> None:
        names = [f"reverse_{each.name}" if each.is_reverse else each.name for each in self.elements]
        object.__setattr__(self, "dtype", np.dtype([(n, e.form) for n, e in zip(names, self.elements, strict=True)]))

    @property
    def record(self) -> bytes:
        """The Template Record."""
        fields = []
        for each in self.elements:
            if each.is_reverse:
                fields.append(struct.pack("!HHI", each.number | _ENTERPRISE_BIT, each.length, REVERSE_PEN))
            else:
                fields.append(struct.pack("!HH", each.number, each.length))
        return struct.pack("!HH", self.template_id, len(self.elements)) + b"".join(fields)

    def encode(self, records: NDArray[np.void], *, is_back: bool = False) -> NDArray[np.void]:
        """Flow records (FLOW_DTYPE) as data records of this template (`dtype`); `is_back`: of the way from responder to initiator."""
        data: NDArray[np.void] = np.empty(len(records), self.dtype)
        for name, element in zip(self.dtype.names or (), self.elements, strict=True):
            column = element.back if is_back and element.back is not None else element.column
            data[name] = column(records)
        return data


@dataclass(frozen=True)
class FlowTemplates:
    """The templates of one form, and which flows go by which."""

    form: Form
    templates: tuple[Template, ...] = field(init=False)

    def __post_init__(self) -> None:
        rest = biflow_elements() if self.form == "biflow" else uniflow_elements()
        first = _FIRST_ID[self.form]
        made = (
            Template(first + position, (*ADDRESSES[version], *place, *rest))
            for position, (version, place) in enumerate(((4, PORTS), (6, PORTS), (4, ICMP[4]), (6, ICMP[6])))
        )
        object.__setattr__(self, "templates", tuple(made))

    def encode(self, records: NDArray[np.void]) -> list[tuple[Template, NDArray[np.void]]]:
        """Data records of all flows that had a packet, by template. A uniflow is a record for each direction that had one."""
        version, protocol = records["ip_version"], records["protocol_identifier"]
        kind = (version == 6) + 2 * np.where(version == 6, protocol == _PROTOCOL_ICMP[6], protocol == _PROTOCOL_ICMP[4])
        encoded = []
        for position, template in enumerate(self.templates):
            part = _chosen(records, kind == position)
            has_gone, has_come = part["initiator_packets"] != 0, part["responder_packets"] != 0
            if self.form == "biflow":
                encoded.append((template, _chosen(template.encode(part), has_gone | has_come)))
            else:
                encoded.append((template, _chosen(template.encode(part), has_gone)))
                encoded.append((template, _chosen(template.encode(part, is_back=True), has_come)))
        return [(template, data) for template, data in encoded if len(data)]


def _chosen(rows: NDArray[np.void], is_chosen: NDArray[np.bool_]) -> NDArray[np.void]:
    """Those rows; where all are wanted, which is usual, the array itself."""
    return rows if is_chosen.all() else rows[is_chosen]

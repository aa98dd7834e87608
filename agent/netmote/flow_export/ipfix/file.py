"""IPFIX files (RFC 5655): messages one after another, as over TCP, templates first. Biflows, for a file has one reader: whoever asks."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from netmote.flow_export.ipfix.domain import observation_domain
from netmote.flow_export.ipfix.message import Body, DataSet, Session, one_set, pack
from netmote.flow_export.ipfix.templates import TEMPLATE_SET_ID, FlowTemplates

_MESSAGE_OCTETS = 16_384


class IpfixFile:
    """The messages of one file. Their export time is the latest end of the flows in them, so a capture always gives the same file."""

    def __init__(self) -> None:
        self._templates = FlowTemplates("biflow")
        self._session = Session()
        self._begun: set[int] = set()

    def add(self, interface: str, records: NDArray[np.void]) -> Iterator[bytes]:
        """Messages with these flows (FLOW_DTYPE), after the templates of their observation domain when it is new."""
        if not len(records):
            return
        domain = observation_domain(interface)
        export_time = -(-int(records["flow_end_ns"].max()) // 1_000_000_000)
        sets = [
            DataSet(template.template_id, template.dtype.itemsize, data.tobytes())
            for template, data in self._templates.encode(records)
        ]
        bodies = pack(sets, message_octets=_MESSAGE_OCTETS)
        if domain not in self._begun:
            self._begun.add(domain)
            bodies.insert(0, Body(one_set(TEMPLATE_SET_ID, b"".join(each.record for each in self._templates.templates))))
        for body in bodies:
            yield self._session.message([body], observation_domain=domain, export_time=export_time)
            self._session.sent([body], observation_domain=domain)

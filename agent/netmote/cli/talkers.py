"""Who sends and receives most, out of flow slices. Pure, numpy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from netmote.records.flow import FlowBatch, address_text

_ADDRESS: Final = np.dtype([("high", ">u8"), ("low", ">u8")])


_COLUMNS: Final = (
    "flow_id",
    "source_address",
    "destination_address",
    "initiator_octets",
    "responder_octets",
    "initiator_packets",
    "responder_packets",
)


@dataclass(frozen=True, slots=True)
class Talker:
    """One address over the span looked at."""

    address: str
    sent_octets: int
    received_octets: int
    packets: int  # both directions
    flows: int  # in which it takes part


@dataclass(frozen=True, slots=True)
class Talkers:
    """The largest, by octets of both directions, and the seconds they were summed over."""

    seconds: float
    addresses: int  # in all
    largest: tuple[Talker, ...]


def top_talkers(batches: Sequence[FlowBatch], count: int) -> Talkers:
    """The `count` addresses with most octets. Batches of several interfaces are added up: what crosses two is counted twice."""
    slices = [batch.slices for batch in batches if len(batch.slices)]
    # Panes of several interfaces lie side by side in time.
    seconds = sum(end - start for start, end in {(batch.start_ns, batch.end_ns) for batch in batches}) / 1e9
    if not slices:
        return Talkers(seconds, 0, ())
    rows = np.concatenate([each[list(_COLUMNS)] for each in slices])
    # Concatenated as they are: numpy would turn the octets of a number around.
    ends = np.concatenate([rows["source_address"], rows["destination_address"]]).view(_ADDRESS)
    addresses, position = np.unique(ends, return_inverse=True)

    def total(initiator: str, responder: str) -> Any:
        values = np.concatenate([rows[initiator], rows[responder]]).astype(np.float64)
        return np.bincount(position, weights=values, minlength=len(addresses))

    sent = total("initiator_octets", "responder_octets")
    received = total("responder_octets", "initiator_octets")
    packets = total("initiator_packets", "responder_packets") + total("responder_packets", "initiator_packets")
    pairs = np.unique(np.stack([position, np.tile(rows["flow_id"].astype(np.int64), 2)]), axis=1)
    flows = np.bincount(pairs[0], minlength=len(addresses))
    largest = np.argsort(-(sent + received), kind="stable")[:count]
    return Talkers(
        seconds,
        len(addresses),
        tuple(
            Talker(address_text(addresses[n].tobytes()), int(sent[n]), int(received[n]), int(packets[n]), int(flows[n]))
            for n in largest.tolist()
        ),
    )

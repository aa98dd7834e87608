"""Flow slices to whole Flow Records: the slices of one flow added up when its end comes.

Bounded by the flow table that made them, as long as every slice arrives; where some can be lost on the way, by a bound of its own.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netmote.metering.slices import NO_SLICES
from netmote.records.flow import FLOW_DTYPE, FlowEndReason

_NAMES = FLOW_DTYPE.names or ()
_KEY = (
    "source_address",
    "destination_address",
    "source_transport_port",
    "destination_transport_port",
    "vlan_id",
    "protocol_identifier",
)
_ORED = ("initiator_tcp_control_bits", "responder_tcp_control_bits")
_LARGEST = (
    "flow_end_ns",
    "maximum_ip_total_length",
    "maximum_ttl",
    "initiator_interarrival_max_us",
    "responder_interarrival_max_us",
)
_SMALLEST = ("flow_start_ns", "minimum_ip_total_length", "minimum_ttl")  # where there are packets
_SUMMED = tuple(
    name
    for name in _NAMES
    if name.endswith(("_octets", "_packets", "_count", "_sum_us", "_sum_of_squares", "_millibits")) and name not in _LARGEST
)


class FlowAssembly:
    """Holds the flows of one metering process that have not ended; their number is bounded by its table.

    A record is a slice over the flow's whole life, with its end reason. Counters of 32 bits stop at their largest value.
    """

    def __init__(self, max_flows: int | None = None, *, max_silence_ns: int | None = None) -> None:
        """Where the end of a flow can be lost on its way. What comes of a flow that was ended here is a record of its own.

        Flows silent for more than `max_silence_ns` before the newest packet are ended (FORCED_END): longer than any timeout, it
        says that their meter lives no more. Beyond `max_flows` those silent for longest are ended (LACK_OF_RESOURCES).
        """
        self._open = NO_SLICES
        self._max_flows, self._max_silence_ns = max_flows, max_silence_ns
        self.ended_early = 0
        """Flows ended here since the start."""

    def add(self, slices: NDArray[np.void]) -> NDArray[np.void]:
        """Take the slices of the next pane (FLOW_DTYPE); return the flows that ended in it, in the order of flow id."""
        if not len(slices):
            return NO_SLICES
        joined = np.concatenate((self._open, slices))
        joined = joined[np.argsort(joined["flow_id"], kind="stable")]
        if len(self._open) and _are_of_two_meters(joined):
            # It was begun anew without an end of its flows (its thread failed), and its ids with it.
            forced = self._open
            forced["flow_end_reason"] = FlowEndReason.FORCED_END
            self._open = NO_SLICES
            return np.concatenate((forced, self.add(slices)))
        flows = _added_up(joined)
        is_over = flows["flow_end_reason"] != FlowEndReason.CONTINUES
        if self._max_silence_ns is not None:
            since = int(flows["flow_end_ns"].max()) - self._max_silence_ns
            self._end_early(flows, is_over, np.flatnonzero(~is_over & (flows["flow_end_ns"] < since)), FlowEndReason.FORCED_END)
        excess = 0 if self._max_flows is None else len(flows) - int(np.count_nonzero(is_over)) - self._max_flows
        if excess > 0:
            going_on = np.flatnonzero(~is_over)
            silent = going_on[np.argsort(flows["flow_end_ns"][going_on], kind="stable")[:excess]]
            self._end_early(flows, is_over, silent, FlowEndReason.LACK_OF_RESOURCES)
        self._open = flows[~is_over]
        ended: NDArray[np.void] = flows[is_over]
        return ended

    def finish(self) -> NDArray[np.void]:
        """The flows whose end was never told (a meter that was not flushed)."""
        flows, self._open = self._open, NO_SLICES
        return flows

    def __len__(self) -> int:
        return len(self._open)

    def _end_early(
        self, flows: NDArray[np.void], is_over: NDArray[np.bool_], rows: NDArray[np.int64], reason: FlowEndReason
    ) -> None:
        flows["flow_end_reason"][rows] = reason
        is_over[rows] = True
        self.ended_early += len(rows)


def _are_of_two_meters(slices: NDArray[np.void]) -> bool:
    """Whether one id names flows of different keys. Slices sorted by flow id."""
    again = np.flatnonzero(slices["flow_id"][1:] == slices["flow_id"][:-1])
    if not len(again):
        return False
    one, other = slices[again], slices[again + 1]
    return any(bool((one[name] != other[name]).any()) for name in _KEY)


def _added_up(slices: NDArray[np.void]) -> NDArray[np.void]:
    """Sum slices sorted by flow id and, within one, by time."""
    start = np.flatnonzero(np.append(True, slices["flow_id"][1:] != slices["flow_id"][:-1]))
    if len(start) == len(slices):
        return slices
    flows = slices[start].copy()  # key, class of service, ICMP type: of the first packet
    flows["flow_end_reason"] = slices["flow_end_reason"][np.append(start[1:], len(slices)) - 1]
    for name in _SUMMED:
        total = np.add.reduceat(slices[name].astype("u8"), start)
        flows[name] = np.minimum(total, np.iinfo(FLOW_DTYPE[name]).max)
    for name in _LARGEST:
        flows[name] = np.maximum.reduceat(slices[name], start)
    for name in _ORED:
        flows[name] = np.bitwise_or.reduceat(slices[name], start)
    has_packets = (slices["initiator_packets"] | slices["responder_packets"]) != 0
    for name in _SMALLEST:
        flows[name] = _smallest(slices[name], has_packets, start)
    for side in ("initiator", "responder"):
        packets, name = slices[f"{side}_packets"], f"{side}_interarrival_min_us"
        before = np.cumsum(packets) - packets
        is_later = before > np.repeat(before[start], np.diff(start, append=len(slices)))  # the flow's first packet has no gap
        least = _smallest(slices[name], packets > np.where(is_later, 0, 1), start)
        flows[name] = np.where(flows[f"{side}_packets"] > 1, least, 0)
    return flows


def _smallest(values: NDArray[Any], counts: NDArray[np.bool_], start: NDArray[np.int64]) -> NDArray[Any]:
    """Of each flow, among the slices that count; the largest number where none does."""
    found: NDArray[Any] = np.minimum.reduceat(np.where(counts, values, np.iinfo(values.dtype).max), start)
    return found

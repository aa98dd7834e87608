"""Rows of the flow table to flow slices (FLOW_DTYPE) of one pane."""

from mmap import mmap

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP
from netmote.metering.flow_key import IS_SIX
from netmote.metering.flow_rows import CLASS_BITS, COUNTERS, NO_GAP, RETRANSMISSIONS, FlowRows
from netmote.records.flow import FLOW_DTYPE

NO_SLICES = np.zeros(0, FLOW_DTYPE)
NO_SLICES.flags.writeable = False
_OPAQUE = np.dtype((np.void, FLOW_DTYPE.itemsize))  # moved as one item, not field by field
_MANY_OCTETS = 1 << 22
_CACHED = 8192  # slices filled at once: they stay in the second-level cache while their columns are written one by one


def slices_of(table: FlowRows, rows: NDArray[np.int64], reasons: NDArray[np.uint8]) -> NDArray[np.void]:
    """One slice a row, in the order of `rows`. A slice without packets says when the flow's last packet was, and why it ended."""
    found = _blank(len(rows))
    for start in range(0, len(rows), _CACHED):
        part = slice(start, start + _CACHED)
        _fill(found[part], table, rows[part], reasons[part])
    return found


def _blank(count: int) -> NDArray[np.void]:
    """Slices of zeros. Many are pages of their own: once let go they are the system's again, whatever the heap holds around them."""
    size = count * FLOW_DTYPE.itemsize
    return np.zeros(count, FLOW_DTYPE) if size < _MANY_OCTETS else np.frombuffer(mmap(-1, size), FLOW_DTYPE)


def in_order(
    ended: list[NDArray[np.void]], table: FlowRows, rows: NDArray[np.int64], reasons: NDArray[np.uint8]
) -> NDArray[np.void]:
    """The slices `ended` and those of `rows` (ascending in flow id), one array in the order of flow id.

    `ended` is emptied: each part is let go once it is written, so that hardly more than the result is held at once.
    """
    if not ended:
        return slices_of(table, rows, reasons)
    ids = np.concatenate([*(part["flow_id"] for part in ended), table.flow_id[rows]])
    place = np.empty(len(ids), "i8")
    place[np.argsort(ids, kind="stable")] = np.arange(len(ids))
    found = np.empty(len(ids), FLOW_DTYPE)
    whole = found.view(_OPAQUE)
    begin = 0
    ended.reverse()
    while ended:
        part = ended.pop()
        whole.put(place[begin : begin + len(part)], part.view(_OPAQUE))
        begin += len(part)
    for start in range(0, len(rows), _CACHED):
        chosen = slice(start, start + _CACHED)
        part = slices_of(table, rows[chosen], reasons[chosen])
        whole.put(place[begin + start : begin + start + len(part)], part.view(_OPAQUE))
    return found


def _fill(found: NDArray[np.void], table: FlowRows, rows: NDArray[np.int64], reasons: NDArray[np.uint8]) -> None:
    key, flow = table.take_keys(rows), table.take_flows(rows)
    initiator = key["initiator"].astype("i8")
    ours, theirs = 2 * rows + initiator, 2 * rows + 1 - initiator
    one, other = table.take_halves(ours), table.take_halves(theirs)
    counts = [table.take_counts(half) for half in (ours, theirs)]
    found["flow_id"] = flow["flow_id"]
    found["flow_end_ns"] = np.maximum(one["last"], other["last"])
    found["flow_start_ns"] = np.minimum(flow["first"], found["flow_end_ns"])
    _fill_key(found, key, table.far.take(rows, axis=0), initiator)
    found["ip_class_of_service"] = key["class_of_service"]
    is_icmp = np.flatnonzero(np.isin(found["protocol_identifier"], (PROTOCOL_ICMP, PROTOCOL_ICMPV6)))
    found["icmp_type"][is_icmp] = table.expected[2 * rows[is_icmp]]
    found["icmp_code"][is_icmp] = table.expected[2 * rows[is_icmp] + 1]
    found["flow_end_reason"] = reasons
    has_packets = (counts[0]["packets"] | counts[1]["packets"]) != 0
    found["minimum_ip_total_length"] = np.where(has_packets, flow["minimum"] >> np.uint32(8), 0)
    found["maximum_ip_total_length"] = flow["maximum"] >> np.uint32(8)
    found["minimum_ttl"] = np.where(has_packets, flow["minimum_ttl"], 0)
    found["maximum_ttl"] = flow["maximum_ttl"]
    for side, half, count, position in (("initiator", one, counts[0], ours), ("responder", other, counts[1], theirs)):
        found[f"{side}_tcp_control_bits"] = table.control_bits[position, 0]
        found[f"{side}_octets"] = half["octets"]
        found[f"{side}_packets"] = count["packets"]
        found[f"{side}_octet_sum_of_squares"] = half["squares"]
        found[f"{side}_interarrival_sum_us"] = count["gap_sum"]
        found[f"{side}_interarrival_sum_of_squares"] = half["gap_squares"]
        found[f"{side}_interarrival_min_us"] = np.where(count["gap_minimum"] == NO_GAP, 0, count["gap_minimum"])
        found[f"{side}_interarrival_max_us"] = count["gap_maximum"]
    _fill_counters(found, table.counters.take(rows, axis=0), initiator)


def _fill_counters(found: NDArray[np.void], counters: NDArray[np.uint32], initiator: NDArray[np.int64]) -> None:
    """What few flows have: those that have counted anything, each counter for the protocols that have it."""
    some = np.flatnonzero(counters.any(axis=1))
    counters, protocol = counters[some], found["protocol_identifier"][some]
    has = {protocols: np.isin(protocol, protocols) if protocols else True for _, protocols in COUNTERS.values()}
    for name, (column, protocols) in COUNTERS.items():
        found[name][some] = counters[:, column] * has[protocols]
    tcp = np.flatnonzero(protocol == PROTOCOL_TCP)
    ours = initiator[some[tcp]]
    found["initiator_retransmission_count"][some[tcp]] = counters[tcp, RETRANSMISSIONS + ours]
    found["responder_retransmission_count"][some[tcp]] = counters[tcp, RETRANSMISSIONS + 1 - ours]


def _fill_key(found: NDArray[np.void], key: NDArray[np.void], far: NDArray[np.uint64], initiator: NDArray[np.int64]) -> None:
    """Addresses, ports and class: the endpoint whose half the initiator's is comes first."""
    flow_class = key["flow_class"] & CLASS_BITS
    is_six = (flow_class & IS_SIX) != 0
    low, high = key["low"], key["high"]
    ends = np.zeros((len(key), 2, 2), "u8")  # (row, endpoint, address word)
    ends[:, 0, 1] = low & np.uint64(0xFFFF_FFFF_FFFF_0000)
    ends[:, 1, 1] = high & np.uint64(0xFFFF_FFFF_FFFF_0000)
    ends[is_six, 0, 0], ends[is_six, 0, 1], ends[is_six, 1] = low[is_six], high[is_six], far[is_six]
    ports = np.where(is_six, key["ports"], (low & np.uint64(0xFFFF)) | ((high & np.uint64(0xFFFF)) << np.uint64(16)))
    port = np.ascontiguousarray(ports).view(">u2").reshape(-1, 4)[:, :2]
    number = np.arange(len(key))
    found["source_address"] = ends[number, initiator].copy().view("V16").reshape(-1)
    found["destination_address"] = ends[number, 1 - initiator].copy().view("V16").reshape(-1)
    found["source_transport_port"] = port[number, initiator]
    found["destination_transport_port"] = port[number, 1 - initiator]
    found["protocol_identifier"] = flow_class & np.uint64(0xFF)
    found["ip_version"] = (flow_class >> np.uint64(8)) & np.uint64(0xFF)
    found["vlan_id"] = (flow_class >> np.uint64(16)) & np.uint64(0xFFFF)
    found["dot1q_customer_vlan_id"] = flow_class >> np.uint64(32)

"""One flow batch, aggregated once when it arrives: integer sums per entity and packed keys to be sorted at window close.

An incidence is one slice seen from one entity: the initiator and the responder where the address is ours, and the capture
interface (the segment view, where every initiator is "out"). All arrays of incidences are ordered by entity id.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from netmote.records.flow import CaptureLoss, FlowBatch
from netmote.windows.addresses import ID_BITS, RESERVED, AddressTable

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58  # IANA protocol numbers

# The key of an incidence below the entity: peer (24 bits), responder port + 1 or 0 without ports (17 bits), 1 = out.
PEER_SHIFT, PORT_SHIFT = np.uint64(18), np.uint64(1)
PEER_MASK, PORT_ABOVE_PEER = np.uint64((1 << ID_BITS) - 1), np.uint64(ID_BITS)
PORT_MASK, OUT_MASK = np.uint64(0x1FFFF), np.uint64(1)
KEY_BITS = np.uint64(42)
_PLACE_BITS, _PLACE_MASK = np.uint64(40), np.uint64((1 << 40) - 1)  # above them an entity, 24 bits


class Sum(IntEnum):
    """The columns of the integer sums per entity."""

    OUT_OCTETS = 0
    IN_OCTETS = 1
    OUT_PACKETS = 2
    IN_PACKETS = 3
    FLOWS_OUT = 4
    FLOWS_IN = 5
    LOW_PORT = 6
    SYN = 7
    FIN = 8
    UNREACHABLE = 9
    NO_ANSWER = 10
    RESET = 11
    ESTABLISHED = 12
    TCP_PACKETS = 13
    UDP_PACKETS = 14
    ICMP_PACKETS = 15
    DNS_QUERIES = 16
    DNS_RESPONSES = 17
    DNS_FAILURES = 18
    DNS_QUESTION_OCTETS = 19
    DNS_QUESTION_MILLIBITS = 20


# What is kept of a slice for people to read, 29 bytes.
EVIDENCE_DTYPE = np.dtype(
    [
        ("source", "<u4"),
        ("destination", "<u4"),
        ("source_port", "<u2"),
        ("destination_port", "<u2"),
        ("protocol", "u1"),
        ("octets", "<i8"),
        ("packets", "<i8"),
    ]
)


@dataclass(slots=True, eq=False)
class FlowPart:
    """What windows need of one flow batch. Ids are those of the address table."""

    start_ns: int  # of the pane
    interface: int
    loss: CaptureLoss
    entity: NDArray[np.uint32]  # (incidences,)
    key: NDArray[np.uint64]  # (incidences,)
    out_entity: NDArray[np.uint32]  # (out incidences,)
    out_port: NDArray[np.uint64]  # (out incidences,): responder port + 1 or 0, peer below
    out_start: NDArray[np.uint64]  # ns since the pane began
    out_duration: NDArray[np.uint64]  # ns
    present: NDArray[np.uint32]  # (entities of this part,) ascending
    sums: NDArray[np.int64]  # (entities of this part, len(Sum))
    last_ns: NDArray[np.int64]  # (entities of this part,): last packet
    flows: NDArray[np.void]  # EVIDENCE_DTYPE, one a slice
    unsorted_slices: int  # slices beyond the bound: in the sums alone
    unfollowed_hosts: int  # addresses of ours left out
    is_folded: bool = False  # already part of what is remembered beyond windows

    def renumber(self, remap: NDArray[np.uint32]) -> None:
        """Replace every address id by `remap[id]`, which keeps their order."""
        self.entity, self.out_entity, self.present = remap[self.entity], remap[self.out_entity], remap[self.present]
        low_bits = np.uint64((1 << 18) - 1)
        self.key = (remap[(self.key >> PEER_SHIFT).astype(np.intp)].astype(np.uint64) << PEER_SHIFT) | (self.key & low_bits)
        peer = remap[(self.out_port & PEER_MASK).astype(np.intp)]
        self.out_port = (self.out_port & ~PEER_MASK) | peer
        self.flows["source"], self.flows["destination"] = remap[self.flows["source"]], remap[self.flows["destination"]]

    @property
    def nbytes(self) -> int:
        arrays = (self.entity, self.key, self.out_entity, self.out_port, self.out_start, self.out_duration)
        return sum(array.nbytes for array in (*arrays, self.present, self.sums, self.last_ns, self.flows))


def aggregate(
    batch: FlowBatch, addresses: AddressTable, followed: NDArray[np.int64], *, max_hosts: int, max_slices: int
) -> FlowPart:
    """The part of one batch. Slices without packets are only the end of a flow and do not count.

    A flood must not grow a window without bound. Sums are always over all slices; of a pane with more than `max_slices`, distinct
    counts, gaps and evidence rest on the first ones (in the order of flow_id). Of more than `max_hosts` addresses of ours, those
    that `followed` (ascending ids) does not name and that could not enter the host table by this pane are left out.
    """
    interface = addresses.interface(batch.interface)
    has_packets = (batch.slices["initiator_packets"] + batch.slices["responder_packets"]) > 0
    slices = batch.slices if has_packets.all() else batch.slices[has_packets]
    count = len(slices)
    ids = addresses.intern(np.concatenate([slices["source_address"], slices["destination_address"]]))
    source, destination = ids[:count], ids[count:]

    # A packet read late is metered in the pane that was open: windows take the pane's word for when it was.
    started = np.clip(slices["flow_start_ns"], batch.start_ns, batch.end_ns)
    ended = np.clip(slices["flow_end_ns"], started, batch.end_ns)

    ours_out = np.flatnonzero(addresses.is_local[source])
    ours_in = np.flatnonzero(addresses.is_local[destination] & (source != destination))
    rows = np.concatenate([ours_out, ours_in, np.arange(count)])
    entity = np.concatenate([source[ours_out], destination[ours_in], np.full(count, interface, np.uint32)])
    is_in = np.zeros(rows.size, np.bool_)
    is_in[ours_out.size : ours_out.size + ours_in.size] = True
    # By entity, in the order they stand in: a plain sort of both in one number takes a fraction of a stable argsort.
    ordered = (entity.astype(np.uint64) << _PLACE_BITS) | np.arange(entity.size, dtype=np.uint64)
    ordered.sort()
    order = (ordered & _PLACE_MASK).astype(np.intp)
    rows, entity, is_in = rows[order], (ordered >> _PLACE_BITS).astype(np.uint32), is_in[order]
    starts = np.flatnonzero(np.r_[True, entity[1:] != entity[:-1]]) if entity.size else np.zeros(0, np.intp)
    present, sums = entity[starts], _sums(slices, rows, is_in, starts)
    last_ns = np.maximum.reduceat(ended[rows], starts) if starts.size else np.zeros(0, np.int64)

    keep_entity = _worth_keeping(present, sums, last_ns, addresses, followed=followed, max_hosts=max_hosts)
    if count > max_slices or not keep_entity.all():
        rank = np.empty(count, np.int64)
        rank[np.argsort(slices["flow_id"], kind="stable")] = np.arange(count)
        keep = np.repeat(keep_entity, np.diff(starts, append=entity.size)) & (rank[rows] < max_slices)
        rows, entity, is_in = rows[keep], entity[keep], is_in[keep]
        present, sums, last_ns = present[keep_entity], sums[keep_entity], last_ns[keep_entity]
        shown = np.flatnonzero(rank < max_slices)
    else:
        shown = np.arange(count)

    is_out = ~is_in
    peer = np.where(is_in, source[rows], destination[rows]).astype(np.uint64)
    port = _port_codes(slices)[rows]
    out_rows = rows[is_out]
    return FlowPart(
        start_ns=batch.start_ns,
        interface=interface,
        loss=batch.loss,
        entity=entity,
        key=(peer << PEER_SHIFT) | (port << PORT_SHIFT) | is_out,
        out_entity=entity[is_out],
        out_port=((port << PORT_ABOVE_PEER) | peer)[is_out],
        out_start=(started - batch.start_ns)[out_rows].astype(np.uint64),
        out_duration=(ended - started)[out_rows].astype(np.uint64),
        present=present,
        sums=sums,
        last_ns=last_ns,
        flows=_evidence(slices, source, destination)[shown],
        unsorted_slices=count - shown.size,
        unfollowed_hosts=int(keep_entity.size - np.count_nonzero(keep_entity)),
    )


def _worth_keeping(
    present: NDArray[np.uint32],
    sums: NDArray[np.int64],
    last_ns: NDArray[np.int64],
    addresses: AddressTable,
    *,
    followed: NDArray[np.int64],
    max_hosts: int,
) -> NDArray[np.bool_]:
    keep = np.ones(present.size, np.bool_)
    candidates = np.flatnonzero((present >= RESERVED) & ~np.isin(present, followed))
    if candidates.size > max_hosts:
        ids = present[candidates]
        order = np.lexsort((addresses.low[ids], addresses.high[ids], last_ns[candidates], sums[candidates, Sum.OUT_PACKETS] > 0))
        keep[candidates[order[: candidates.size - max_hosts]]] = False
    return keep


def _port_codes(slices: NDArray[np.void]) -> NDArray[np.uint64]:
    """Responder port + 1 of TCP and UDP, 0 for everything else (others have no ports, so none can be counted)."""
    has_port = (slices["protocol_identifier"] == TCP) | (slices["protocol_identifier"] == UDP)
    return np.where(has_port, slices["destination_transport_port"].astype(np.uint64) + np.uint64(1), np.uint64(0))


def _sums(
    slices: NDArray[np.void], rows: NDArray[np.intp], is_in: NDArray[np.bool_], starts: NDArray[np.intp]
) -> NDArray[np.int64]:
    if not starts.size:
        return np.zeros((0, len(Sum)), np.int64)
    protocol = slices["protocol_identifier"]
    answered = slices["responder_packets"] > 0
    is_reset = slices["tcp_rst_count"] > 0
    packets = (slices["initiator_packets"] + slices["responder_packets"]).astype(np.int64)
    port = slices["destination_transport_port"]
    columns: dict[Sum, NDArray[np.generic]] = {
        Sum.OUT_OCTETS: slices["initiator_octets"],
        Sum.IN_OCTETS: slices["responder_octets"],
        Sum.OUT_PACKETS: slices["initiator_packets"],
        Sum.IN_PACKETS: slices["responder_packets"],
        Sum.LOW_PORT: ((protocol == TCP) | (protocol == UDP)) & (port < 1024),
        Sum.SYN: slices["tcp_syn_count"],
        Sum.FIN: slices["tcp_fin_count"],
        Sum.UNREACHABLE: slices["icmp_unreachable_count"],
        Sum.NO_ANSWER: ~answered & ~is_reset,
        Sum.RESET: is_reset,
        Sum.ESTABLISHED: answered & ~is_reset,
        Sum.TCP_PACKETS: np.where(protocol == TCP, packets, 0),
        Sum.UDP_PACKETS: np.where(protocol == UDP, packets, 0),
        Sum.ICMP_PACKETS: np.where((protocol == ICMP) | (protocol == ICMPV6), packets, 0),
        Sum.DNS_QUERIES: slices["dns_query_count"],
        Sum.DNS_RESPONSES: slices["dns_response_count"],
        Sum.DNS_FAILURES: slices["dns_failure_count"],
        Sum.DNS_QUESTION_OCTETS: slices["dns_question_octets"],
        Sum.DNS_QUESTION_MILLIBITS: slices["dns_question_entropy_millibits"],
    }
    table = np.zeros((len(Sum), rows.size), np.int64)
    for column, values in columns.items():
        # Brought together first: a slice is wide, and every look at one of them would fetch a line of its own.
        table[column] = np.ascontiguousarray(values)[rows]
    for sent, received in ((Sum.OUT_OCTETS, Sum.IN_OCTETS), (Sum.OUT_PACKETS, Sum.IN_PACKETS)):
        # What the initiator sent, its responder received.
        table[sent], table[received] = (
            np.where(is_in, table[received], table[sent]),
            np.where(is_in, table[sent], table[received]),
        )
    table[Sum.FLOWS_OUT], table[Sum.FLOWS_IN] = ~is_in, is_in
    table[Sum.LOW_PORT] *= ~is_in
    return np.ascontiguousarray(np.add.reduceat(table, starts, axis=1).T)


def _evidence(slices: NDArray[np.void], source: NDArray[np.uint32], destination: NDArray[np.uint32]) -> NDArray[np.void]:
    flows = np.zeros(len(slices), EVIDENCE_DTYPE)
    flows["source"], flows["destination"] = source, destination
    flows["source_port"] = slices["source_transport_port"]
    flows["destination_port"] = slices["destination_transport_port"]
    flows["protocol"] = slices["protocol_identifier"]
    flows["octets"] = slices["initiator_octets"] + slices["responder_octets"]
    flows["packets"] = slices["initiator_packets"] + slices["responder_packets"]
    return flows

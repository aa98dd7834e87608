"""The Metering Process (RFC 7011 section 2) of one observation point: packet columns in, panes of flow slices out.

Panes. Event time is cut into panes aligned to the epoch. The running maximum of the packets' timestamps closes panes: a packet of
a later pane closes the open one before it is metered; a packet older than the open pane is accounted in the open pane. So results
depend on the order of packets alone, never on how they were cut into blocks. A pane without packets is emitted as an empty batch:
that is the watermark.

Silence. When time jumps, at most an hour of empty panes is emitted, and enough to end every flow by its timeout; a longer silence
then resumes with the pane of the next packet. (A damaged timestamp would else make millions of batches.)

Flows. A flow's first packet names the initiator, except that a SYN with ACK makes its receiver the initiator: its opening was not
seen. Flow ids increase in the order of first packets. A flow that outlives the active timeout is ended and begun anew with its next
packet, its direction kept. Ends are decided where panes end, but for one: a SYN without ACK to a connection that has closed (FIN from
both sides, or RST) ends it (END_OF_FLOW) and begins a new flow at once; at most a quarter of the table's size in one pane, so that
who opens and resets all day cannot grow memory; beyond that such a SYN is one more packet of the old flow.

A full table. `refuse`: packets of flows that find no room are counted as refused. `evict`: the quarter of the flows that was
idle longest is ended (LACK_OF_RESOURCES; unfinished openings first), at most the table's size in one pane, so that a flood cannot
grow memory; beyond that the pane refuses.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from netmote.capture.packets import PacketColumns, Undecodable
from netmote.metering.accounting import Accounting
from netmote.metering.events import count_events
from netmote.metering.flow_key import MOST_PACKETS, FlowHash, GroupedPackets, Keys, group
from netmote.metering.flow_rows import FlowRows
from netmote.metering.flow_table import FlowTable
from netmote.metering.reduction import add_packets
from netmote.metering.reopening import Reopenings, reopenings, split
from netmote.metering.retransmissions import count_retransmissions
from netmote.metering.slices import in_order, slices_of
from netmote.metering.timeouts import Timeouts, end_reasons, longest_idle
from netmote.records.flow import PANE_NS, TCP_ACK, TCP_SYN, FlowBatch, FlowEndReason

if TYPE_CHECKING:
    from netmote.metering.config import MeteringConfig

LONGEST_SILENCE_NS = 3_600_000_000_000
_NOWHERE = np.zeros(0, "i8")
_NO_IDS = np.zeros(0, "u8")
_NOTHING: Mapping[str, int] = MappingProxyType({})


class FlowMeter:
    """Meters one interface. Not thread-safe: one capture-and-metering thread owns it.

    `source` and `interface` go into every batch. `idle_timeouts_ns` are those of single protocols (tcp, tcp_opening, udp, icmp, sctp,
    other), `idle_timeout_ns` all others'. `hash_seed` (tests) fixes the hash; it never changes what is emitted.
    """

    def __init__(
        self,
        *,
        source: str,
        interface: str,
        max_flows: int,
        active_timeout_ns: int,
        idle_timeout_ns: int,
        when_full: Literal["refuse", "evict"],
        pane_ns: int = PANE_NS,
        hash_seed: int | None = None,
        idle_timeouts_ns: Mapping[str, int] = _NOTHING,
    ) -> None:
        self.source = source
        self.interface = interface
        self._timeouts = Timeouts.of(active_timeout_ns, idle_timeout_ns, idle_timeouts_ns)
        self._when_full = when_full
        self._pane_ns = pane_ns
        self._most_empty_panes = (
            max(LONGEST_SILENCE_NS, min(active_timeout_ns, self._timeouts.longest_ns) + 2 * pane_ns) // pane_ns
        )
        self._hash = FlowHash(hash_seed)
        self._table = FlowTable(max_flows, self._hash)
        self._pane: int | None = None  # number of the open pane since the epoch
        self._earliest_pane = 0  # panes below were emitted
        self._loss = Accounting()  # of the open pane
        self._totals = Accounting()  # of the panes closed
        self._ended: list[NDArray[np.void]] = []  # slices of the open pane whose flows gave way or were opened anew
        self._evicted_in_pane = 0
        self._reopened_in_pane = 0
        self.flows_begun = 0
        """Flows since the start, which is the newest flow id."""
        self.flows_evicted = 0
        """Flows ended for LACK_OF_RESOURCES since the start."""
        self.collisions = 0
        """Blocks in which two flows of one version shared 46 hash bits and were told apart by their keys."""

    @classmethod
    def configured(cls, config: "MeteringConfig", *, source: str, interface: str) -> "FlowMeter":
        """The meter of one interface as the document describes it."""
        return cls(source=source, interface=interface, **config.meter_arguments())

    @property
    def flows_held(self) -> int:
        """Rows of the table in use."""
        return len(self._table)

    @property
    def memory_bytes(self) -> int:
        """The table, allocated once, and slices that wait for the pane to close (at most one and a quarter table's worth)."""
        return self._table.memory_bytes + sum(part.nbytes for part in self._ended)

    @property
    def accounting(self) -> Accounting:
        """Every packet since the start, by what became of it."""
        totals = Accounting()
        totals.add(self._totals)
        totals.add(self._loss)
        return totals

    @property
    def open_pane_start_ns(self) -> int | None:
        """Where the open pane begins; None before the first packet and after `flush`."""
        return None if self._pane is None else self._pane * self._pane_ns

    def meter(self, packets: PacketColumns, *, dropped: int = 0, dropped_by: Mapping[str, int] = _NOTHING) -> list[FlowBatch]:
        """Account a block and return the panes it closed.

        `dropped` packets (the ring's `take_dropped`, a file's `packets.dropped`) are told of the pane that is open after the block.
        `dropped_by` are others, by where they were lost: interface, ring, softnet. The pane's `dropped` is the sum of both.
        """
        batches: list[FlowBatch] = []
        if packets.received:
            times, is_row = _arrivals(packets)
            start = 0
            for stop, pane in self._segments(times):
                batches += self._open(pane)
                self._account(packets, is_row, start, stop)
                start = stop
        self._loss.drop(dropped, dropped_by)
        return batches

    def advance(self, event_time_ns: int) -> list[FlowBatch]:
        """Close the panes that end at or before `event_time_ns` (the clock minus lateness) and return them.

        Call it only when no packet is waiting, or a packet that is merely late to be read would land in a later pane.
        """
        return self._open(event_time_ns // self._pane_ns)

    def flush(self) -> list[FlowBatch]:
        """End of input: close the open pane and end all flows (FORCED_END, or what was due)."""
        if self._pane is None:
            return []
        batch = self._close(is_final=True)
        self._earliest_pane = self._pane + 1
        self._pane = None
        return [batch]

    def _segments(self, times: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Cut a block where the running maximum of time enters another pane: (end of the segment, pane)."""
        opened = self._earliest_pane if self._pane is None else self._pane
        if self._pane is not None and int(times.max()) < (opened + 1) * self._pane_ns:
            return [(len(times), opened)]
        pane = np.maximum(np.maximum.accumulate(times // self._pane_ns), opened)
        stops = np.append(np.flatnonzero(pane[1:] != pane[:-1]) + 1, len(pane))
        return [(int(stop), int(pane[stop - 1])) for stop in stops]

    def _open(self, pane: int) -> list[FlowBatch]:
        """Make `pane` the open one, closing those before it. An earlier pane changes nothing."""
        if self._pane is None:
            self._pane = max(pane, self._earliest_pane)
            return []
        batches: list[FlowBatch] = []
        while self._pane < pane and len(batches) <= self._most_empty_panes:
            batches.append(self._close(is_final=False))
            self._pane += 1
        self._pane = max(pane, self._pane)
        return batches

    def _close(self, *, is_final: bool) -> FlowBatch:
        assert self._pane is not None
        start, end = self._pane * self._pane_ns, (self._pane + 1) * self._pane_ns
        slices = self._take_slices(end, is_final=is_final)
        loss = self._loss.as_loss()
        if not self._loss.is_empty:
            self._totals.add(self._loss)
            self._loss = Accounting()
        return FlowBatch(self.source, start, end, self.interface, slices, loss)

    def _take_slices(self, end_ns: int, *, is_final: bool) -> NDArray[np.void]:
        """The open pane's slices in the order of flow id; ended flows leave the table, the others begin a pane."""
        table = self._table
        ended = [part for part in self._ended if len(part)]
        self._ended, self._evicted_in_pane, self._reopened_in_pane = [], 0, 0
        rows = table.live()
        rows = rows[np.argsort(table.flow_id[rows], kind="stable")]
        reasons = end_reasons(table, rows, end_ns, self._timeouts)
        is_anew = table.flow_id[rows] == 0  # ended by the active timeout, nothing since
        reasons[is_anew & (reasons == FlowEndReason.ACTIVE_TIMEOUT)] = FlowEndReason.CONTINUES
        if is_final:
            reasons[reasons == FlowEndReason.CONTINUES] = FlowEndReason.FORCED_END
        packets = table.counts["packets"]
        has_packets = (packets[2 * rows] | packets[2 * rows + 1]) != 0
        told = ~is_anew & (has_packets | (reasons != FlowEndReason.CONTINUES))
        slices = in_order(ended, table, rows[told], reasons[told])
        table.begin_pane(rows[has_packets])
        table.begin_anew(rows[reasons == FlowEndReason.ACTIVE_TIMEOUT])
        gone = (reasons != FlowEndReason.CONTINUES) & (is_final | (reasons != FlowEndReason.ACTIVE_TIMEOUT))
        table.delete(rows[gone])
        return slices

    def _account(self, packets: PacketColumns, is_row: NDArray[np.bool_] | None, start: int, stop: int) -> None:
        """Account arrivals `start` to `stop` in the open pane."""
        if is_row is not None:
            first, last = (int(np.count_nonzero(is_row[:bound])) for bound in (start, stop))
            for reason in packets.undecodable_reason[start - first : stop - last].tolist():
                self._loss.undecodable[Undecodable(reason).reason] += 1
            start, stop = first, last
        if len(packets.coalesced):
            first, last = np.searchsorted(packets.coalesced.position, (start, stop))
            self._loss.coalesced += int(last - first)
        while start < stop:
            end = min(stop, start + MOST_PACKETS)
            is_whole = start == 0 and end == len(packets)
            start += self._meter(packets if is_whole else packets.between(start, end))

    def _meter(self, packets: PacketColumns) -> int:
        """Meter packets of one pane; returns how many, which is fewer when flows had to give way first."""
        keys = self._hash.keys(packets)
        grouping, collided = group(keys)
        self.collisions += collided
        first = grouping.first_packet
        flow_keys = keys.at(first)
        row, slot = self._table.find(flow_keys)
        new = (row < 0).nonzero()[0]
        if len(new):
            new = new[np.argsort(first[new])]
        if len(new) > self._table.free:
            if self._may_evict():
                kept = int(first[new[self._table.free]])  # packets before the flow that found no room
                if kept == 0:
                    self._evict()
                    return 0
                return self._meter(packets.between(0, kept))
            new = new[: self._table.free]
        if len(new):
            row[new] = self._begin(packets, keys.at(first[new]), slot[new], first[new])
        block = GroupedPackets.of(packets, grouping)
        is_held = row >= 0
        if not is_held.all():
            flow = grouping.flow_of.take(grouping.half_of)
            place = np.flatnonzero(is_held.take(flow))
            self._loss.refused += len(packets) - len(place)
            if not len(place):
                return len(packets)
            part = block.part(place, flow.take(place))
            block, row, first = part.block, row.take(part.flow), first.take(part.flow)
        found = reopenings(self._table, block, row, most=self._quarter() - self._reopened_in_pane)
        if found is None:
            self._reduce(block, row, first, _NOWHERE)
        else:
            self._reopen(block, row, first, found)
        return len(packets)

    def _reopen(self, block: GroupedPackets, row: NDArray[np.int64], first: NDArray[np.int64], found: Reopenings) -> None:
        """Add packets among which connections begin anew: up to the first such packet of each flow, then what each of them began."""
        table, packets, grouping = self._table, block.packets, block.grouping
        number, at = np.arange(len(found)), found.position
        earlier, later = split(block, found)
        ids = self._next_ids(at) if earlier is None else self._reduce(earlier.block, row[earlier.flow], first[earlier.flow], at)
        rows, is_last = row[found.flow], found.is_last
        self._end(table, rows[np.append(True, is_last[:-1])], FlowEndReason.END_OF_FLOW)
        begun = FlowRows(len(found))
        begun.keys[:], begun.far[:] = table.take_keys(rows), table.far[rows]
        begun.begin(
            number,
            initiator=grouping.half_reversed[block.half_of_packets()[at]] != 0,
            traits=(packets.ip_class_of_service[at], packets.icmp_type[at], packets.icmp_code[at]),
        )
        flows = begun.take_flows(number)
        flows["flow_id"], flows["start"] = ids, packets.timestamp_ns[at]
        self._add(begun, flows, later, number)
        self._end(begun, number[~is_last], FlowEndReason.END_OF_FLOW)
        table.adopt(rows[is_last], begun, number[is_last])
        self._reopened_in_pane += len(found)

    def _begin(self, packets: PacketColumns, keys: Keys, slot: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows for new flows, whose first packets are at `first`."""
        is_answer = (packets.tcp_control_bits[first] & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)
        is_answer &= ~_is_to_itself(keys)
        traits = (packets.ip_class_of_service[first], packets.icmp_type[first], packets.icmp_code[first])
        return self._table.insert(keys, slot, initiator=keys.is_reversed ^ is_answer, traits=traits)

    def _reduce(
        self, block: GroupedPackets, row: NDArray[np.int64], first: NDArray[np.int64], reopened: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        """Add the packets to the rows of their flows.

        Flows that begin (new, or anew after the active timeout) get their ids, in the order of their first packets (`first`, positions
        in the block), and so do those that will begin at the positions `reopened`: returned.
        """
        flows = self._table.take_flows(row)
        begun = (flows["flow_id"] == 0).nonzero()[0]
        ids = _NO_IDS
        if len(begun) or len(reopened):
            ids = self._next_ids(np.concatenate((first[begun], reopened)))
            flows["flow_id"][begun] = ids[: len(begun)]
            flows["start"][begun] = block.packets.timestamp_ns[block.grouping.first_packet[begun]]
        self._add(self._table, flows, block, row)
        return ids[len(begun) :]

    def _next_ids(self, position: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Flow ids of flows that begin at these positions of a block, in the order of these."""
        ids = np.empty(len(position), "u8")
        ids[np.argsort(position)] = np.arange(self.flows_begun + 1, self.flows_begun + 1 + len(position), dtype="u8")
        self.flows_begun += len(position)
        return ids

    def _add(self, table: FlowRows, flows: NDArray[np.void], block: GroupedPackets, row: NDArray[np.int64]) -> None:
        """Add the packets to `flows` (flows,) FLOW_ROW, and all to the rows `row` of `table`; account them."""
        half_flow_row = row.take(block.grouping.flow_of)
        half_row = 2 * half_flow_row
        half_row += block.grouping.half_reversed
        add_packets(table, flows, block, half_row)
        count_retransmissions(table, block.packets, block.grouping, half_row)
        table.put_flows(row, flows)
        count_events(table, block, half_flow_row)
        self._loss.metered += len(block.grouping.order)

    def _end(self, table: FlowRows, rows: NDArray[np.int64], reason: FlowEndReason) -> int:
        """Keep the slices of flows that end before their pane does, until it does; returns how many flows that are."""
        told = rows[table.flow_id[rows] != 0]
        self._ended.append(slices_of(table, told, np.full(len(told), reason, "u1")))
        return len(told)

    def _quarter(self) -> int:
        return max(1, self._table.capacity // 4)

    def _may_evict(self) -> bool:
        return self._when_full == "evict" and self._evicted_in_pane + self._quarter() <= self._table.capacity

    def _evict(self) -> None:
        table = self._table
        rows = longest_idle(table, self._quarter())
        self.flows_evicted += self._end(table, rows, FlowEndReason.LACK_OF_RESOURCES)
        table.delete(rows)
        self._evicted_in_pane += len(rows)


def _is_to_itself(keys: Keys) -> NDArray[np.bool_]:
    """Both endpoints are the same: such a flow has one direction."""
    same: NDArray[np.bool_] = keys.low == keys.high
    six, far = keys.six_position, keys.six_far
    if len(six):
        is_one = (keys.low[six] == far[0]) & (keys.high[six] == far[1])
        same[six] = is_one & ((far[2] & np.uint64(0xFFFF)) == (far[2] >> np.uint64(16)))
    return same


def _arrivals(packets: PacketColumns) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
    """Timestamps of rows and undecodable packets in the order of arrival, and which are rows (None: all)."""
    if not len(packets.undecodable_position):
        return packets.timestamp_ns, None
    times = np.insert(packets.timestamp_ns, packets.undecodable_position, packets.undecodable_timestamp_ns)
    is_row = np.insert(np.ones(len(packets), "?"), packets.undecodable_position, np.zeros(len(packets.undecodable_position), "?"))
    return times, is_row

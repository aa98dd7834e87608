"""A flow meter in plain Python, packet by packet over a dictionary: what the vectorised one must equal. Slow and obvious on purpose."""

from dataclasses import dataclass, field

import numpy as np

from netmote.capture.packets import PacketColumns, Undecodable
from netmote.records.flow import FLOW_DTYPE

SECOND = 1_000_000_000


@dataclass
class Half:
    octets: int = 0
    packets: int = 0
    squares: int = 0
    gap_sum: int = 0
    gap_squares: int = 0
    gap_max: int = 0
    gaps: list = field(default_factory=list)
    bits: int = 0
    again: int = 0


@dataclass
class Flow:
    flow_id: int
    key: tuple
    source: tuple  # (address, port) of the initiator
    destination: tuple
    start: int
    tos: int
    icmp: tuple
    halves: list = field(default_factory=lambda: [Half(), Half()])
    latest: list = field(default_factory=lambda: [None, None])
    life_bits: list = field(default_factory=lambda: [0, 0])
    expected: list = field(default_factory=lambda: [0, 0])
    first: int | None = None
    lengths: list = field(default_factory=list)
    ttls: list = field(default_factory=list)
    counts: dict = field(default_factory=dict)

    @property
    def last(self) -> int:
        return self.start if self.flow_id == 0 else max(time for time in self.latest if time is not None)

    def begin_pane(self) -> None:
        self.halves, self.first, self.lengths, self.ttls, self.counts = [Half(), Half()], None, [], [], {}

    def begin_anew(self) -> None:
        self.start = self.last
        self.flow_id, self.latest = 0, [None, None]


class DictionaryMeter:
    """The rules of FlowMeter's docstring, `refuse` and `evict`."""

    def __init__(
        self, *, max_flows: int, active: int, idle: int, when_full: str, pane: int = 5 * SECOND, **idle_by_name: int
    ) -> None:
        self.idle_by_name = idle_by_name  # tcp, tcp_opening, udp, icmp, other
        self.max_flows, self.active, self.idle, self.when_full, self.pane_ns = max_flows, active, idle, when_full, pane
        self.flows: dict[tuple, Flow] = {}
        self.open: int | None = None
        self.next_id = 1
        self.ended: list = []
        self.evicted_in_pane = 0
        self.reopened_in_pane = 0
        self.out: list[tuple[int, list]] = []  # panes: start, slices in the order of flow id
        self.count = {"metered": 0, "refused": 0, "undecodable": {}, "coalesced": 0}

    def meter(self, packets: PacketColumns) -> None:
        source, destination = packets.source_address, packets.destination_address
        dns = {int(position): row for row, position in enumerate(packets.dns.position)}
        joined = {int(position): row for row, position in enumerate(packets.coalesced.position)}
        lost = list(
            zip(
                packets.undecodable_position.tolist(),
                packets.undecodable_timestamp_ns.tolist(),
                packets.undecodable_reason.tolist(),
                strict=True,
            )
        )
        for row in range(len(packets) + 1):
            while lost and lost[0][0] == row:
                _, time, reason = lost.pop(0)
                self._open(time)
                name = Undecodable(reason).reason
                self.count["undecodable"][name] = self.count["undecodable"].get(name, 0) + 1
            if row == len(packets):
                break
            time = int(packets.timestamp_ns[row])
            self._open(time)
            ends = (
                (source[row].tobytes(), int(packets.source_port[row])),
                (destination[row].tobytes(), int(packets.destination_port[row])),
            )
            self.count["coalesced"] += row in joined
            self._packet(packets, row, ends, dns.get(row), joined.get(row))

    def _open(self, time: int) -> None:
        pane = time // self.pane_ns
        if self.open is None:
            self.open = pane
        emitted, most = (
            0,
            max(3600 * SECOND, min(self.active, max(self.idle, *self.idle_by_name.values(), 0)) + 2 * self.pane_ns)
            // self.pane_ns,
        )
        while self.open < pane and emitted <= most:
            self._close()
            self.open += 1
            emitted += 1
        self.open = max(self.open, pane)

    def _packet(self, packets, row, ends, dns_row, joined_row) -> None:
        time = int(packets.timestamp_ns[row])
        flow_class = int(packets.flow_class[row])
        bits = int(packets.tcp_control_bits[row])
        key = (*sorted(ends), flow_class)
        flow = self.flows.get(key)
        is_again = flow is not None and bits & 0x12 == 0x02 and self._is_closed(flow)
        if is_again and self.reopened_in_pane < max(1, self.max_flows // 4):
            self.reopened_in_pane += 1
            if flow.flow_id:
                self.ended.append(self._slice(flow, 3))
            del self.flows[key]
            flow = None
        if flow is None:
            if len(self.flows) >= self.max_flows:
                quarter = max(1, self.max_flows // 4)
                if self.when_full == "refuse" or self.evicted_in_pane + quarter > self.max_flows:
                    self.count["refused"] += 1
                    return
                self._evict(quarter)
            source, destination = ends if bits & 0x12 != 0x12 else ends[::-1]
            flow = Flow(
                0, key, source, destination, 0, int(packets.ip_class_of_service[row]),
                (int(packets.icmp_type[row]), int(packets.icmp_code[row])),
            )  # fmt: skip
            self.flows[key] = flow
        if flow.flow_id == 0:
            flow.flow_id, flow.start = self.next_id, time
            self.next_id += 1
        self.count["metered"] += 1
        side = 0 if ends[0] == flow.source else 1
        half, length = flow.halves[side], int(packets.ip_total_length[row])
        half.packets += 1
        half.octets += length
        half.squares += length * length
        half.bits |= bits
        flow.life_bits[side] |= bits
        flow.lengths.append(length)
        flow.ttls.append(int(packets.time_to_live[row]))
        payload, joined, more = int(packets.tcp_payload_octets[row]), packets.coalesced, 0
        if joined_row is not None:
            more = int(joined.extra_packets[joined_row])
            half.packets += more
            half.gaps.append(0)
            half.octets += int(joined.extra_octets[joined_row])
            half.squares += int(joined.extra_squares[joined_row])
            flow.lengths.append(int(joined.smallest[joined_row]))
            if payload:
                payload += max(0, int(joined.extra_octets[joined_row]) - more * (length - payload))
        if payload:
            self._sequence(flow, side, int(packets.tcp_sequence[row]), payload, 1 + more)
        before = flow.latest[side]
        if before is not None:
            gap = max(0, time - before) // 1000
            half.gap_sum = min(half.gap_sum + gap, 2**32 - 1)
            half.gaps.append(min(gap, 2**32 - 2))
            half.gap_squares += gap * gap
            half.gap_max = max(half.gap_max, min(gap, 2**32 - 1))
        flow.latest[side] = time if before is None else max(before, time)
        flow.first = time if flow.first is None else min(flow.first, time)
        self._count_events(flow, packets, row, bits, dns_row)

    @staticmethod
    def _sequence(flow, side, sequence, payload, weight) -> None:
        """What comes before the highest next expected number is there again, but for an octet just before it: a keep-alive."""
        expected, end = flow.expected[side], (sequence + payload) % 2**32
        ahead = (sequence - expected) % 2**32
        if expected and ahead >= 2**31 and not (payload == 1 and ahead == 2**32 - 1):
            flow.halves[side].again += weight
        if not expected or (end - expected) % 2**32 < 2**31:
            flow.expected[side] = end

    @staticmethod
    def _count_events(flow, packets, row, bits, dns_row) -> None:
        def add(name, amount=1):
            flow.counts[name] = flow.counts.get(name, 0) + amount

        if bits & 0x12 == 0x02:
            add("tcp_syn_count")
        if bits & 1:
            add("tcp_fin_count")
        if bits & 4:
            add("tcp_rst_count")
        if (int(packets.protocol_identifier[row]), int(packets.icmp_type[row])) in ((1, 3), (58, 1)):
            add("icmp_unreachable_count")
        if packets.is_fragment[row]:
            add("fragment_count")
        if dns_row is not None:
            dns = packets.dns
            if dns.is_response[dns_row]:
                add("dns_response_count")
                add("dns_failure_count", int(dns.response_code[dns_row] != 0))
            else:
                add("dns_query_count")
                add("dns_question_octets", int(dns.question_octets[dns_row]))
                add("dns_question_entropy_millibits", int(dns.question_entropy_millibits[dns_row]))

    def _evict(self, quarter: int) -> None:
        def rank(flow: Flow) -> tuple:
            is_tcp = flow.key[2] & 0xFF == 6
            is_opening = not flow.life_bits[0] & 0x10 if is_tcp else flow.start == flow.last and flow.flow_id != 0
            return (not is_opening, flow.last, flow.flow_id)

        victims = sorted(self.flows.values(), key=rank)[:quarter]
        for flow in victims:
            if flow.flow_id:
                self.ended.append(self._slice(flow, 5))
            del self.flows[flow.key]
        self.evicted_in_pane += len(victims)

    @staticmethod
    def _is_closed(flow: Flow) -> bool:
        one, other = flow.life_bits
        return bool((one | other) & 4 or one & other & 1)

    def _reason(self, flow: Flow, now: int) -> int:
        if self._is_closed(flow) and flow.last <= now - SECOND:
            return 3
        if flow.last <= now - self._idle_of(flow):
            return 1
        return 2 if flow.start <= now - self.active else 0

    def _idle_of(self, flow: Flow) -> int:
        name = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp"}.get(flow.key[2] & 0xFF, "other")
        idle = self.idle_by_name.get(name, self.idle)
        if name == "tcp" and not flow.life_bits[0] & 0x10:
            return self.idle_by_name.get("tcp_opening", idle)
        return idle

    def _close(self, final: bool = False) -> None:
        end = (self.open + 1) * self.pane_ns
        slices, self.ended, self.evicted_in_pane, self.reopened_in_pane = self.ended, [], 0, 0
        for flow in list(self.flows.values()):
            reason = self._reason(flow, end)
            if flow.flow_id == 0 and reason == 2:
                reason = 0
            if final and reason == 0:
                reason = 4
            if flow.flow_id and (flow.first is not None or reason):
                slices.append(self._slice(flow, reason))
            flow.begin_pane()
            if reason == 2:
                flow.begin_anew()
            if reason and (final or reason != 2):
                del self.flows[flow.key]
        slices.sort(key=lambda one: int(one["flow_id"]))
        self.out.append((self.open * self.pane_ns, slices))

    def flush(self) -> None:
        if self.open is not None:
            self._close(final=True)

    @staticmethod
    def _slice(flow: Flow, reason: int) -> np.void:
        one = np.zeros(1, FLOW_DTYPE)[0]
        flow_class = flow.key[2]
        values = {
            "flow_id": flow.flow_id,
            "flow_end_ns": flow.last,
            "flow_start_ns": flow.last if flow.first is None else min(flow.first, flow.last),
            "source_address": np.void(flow.source[0]),
            "destination_address": np.void(flow.destination[0]),
            "source_transport_port": flow.source[1],
            "destination_transport_port": flow.destination[1],
            "vlan_id": flow_class >> 16 & 0xFFFF,
            "dot1q_customer_vlan_id": flow_class >> 32,
            "protocol_identifier": flow_class & 0xFF,
            "ip_version": flow_class >> 8 & 0xFF,
            "ip_class_of_service": flow.tos,
            "icmp_type": flow.icmp[0],
            "icmp_code": flow.icmp[1],
            "flow_end_reason": reason,
            "minimum_ip_total_length": min(flow.lengths, default=0),
            "maximum_ip_total_length": max(flow.lengths, default=0),
            "minimum_ttl": min(flow.ttls, default=0),
            "maximum_ttl": max(flow.ttls, default=0),
            **flow.counts,
        }
        for side, half in zip(("initiator", "responder"), flow.halves, strict=True):
            values |= {
                f"{side}_tcp_control_bits": half.bits,
                f"{side}_octets": half.octets,
                f"{side}_packets": half.packets,
                f"{side}_octet_sum_of_squares": half.squares,
                f"{side}_interarrival_sum_us": half.gap_sum,
                f"{side}_interarrival_sum_of_squares": half.gap_squares % 2**64,
                f"{side}_interarrival_min_us": min(half.gaps, default=0),
                f"{side}_interarrival_max_us": half.gap_max,
                f"{side}_retransmission_count": half.again,
            }
        for name, value in values.items():
            one[name] = value
        return one

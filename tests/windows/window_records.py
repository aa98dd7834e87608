"""Builds records for tests of windows: only what a test says, everything else zero."""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

import numpy as np

from netmote.records.device import DeviceRecord
from netmote.records.entity import Entity, EntityKind
from netmote.records.flow import FLOW_DTYPE, PANE_NS, CaptureLoss, FlowBatch
from netmote.records.host import HOST_GAUGES, HostRecord
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch

SECOND = 1_000_000_000
ORIGIN = 1_700_000_040 * SECOND  # a whole minute


@dataclass(frozen=True)
class Slice:
    """One flow within one pane, in seconds after the origin and plain text."""

    start: float
    source: str
    destination: str
    source_port: int = 40_000
    port: int = 443
    protocol: int = 6
    duration: float = 0.0
    out_octets: int = 100
    in_octets: int = 200
    out_packets: int = 1
    in_packets: int = 2
    syn: int = 0
    fin: int = 0
    rst: int = 0
    unreachable: int = 0
    queries: int = 0
    responses: int = 0
    failures: int = 0
    question_octets: int = 0
    question_millibits: int = 0
    flow_id: int = 0

    @property
    def pane(self) -> int:
        return int(self.start // 5)


def packed(address: str) -> bytes:
    parsed = ip_address(address)
    return (IPv6Address(f"::ffff:{address}") if parsed.version == 4 else parsed).packed


def flow_array(slices: list[Slice]) -> np.ndarray:
    array = np.zeros(len(slices), FLOW_DTYPE)
    for row, one in zip(array, slices, strict=True):
        start = ORIGIN + round(one.start * SECOND)
        row["flow_id"] = one.flow_id
        row["flow_start_ns"], row["flow_end_ns"] = start, start + round(one.duration * SECOND)
        row["source_address"], row["destination_address"] = packed(one.source), packed(one.destination)
        row["source_transport_port"], row["destination_transport_port"] = one.source_port, one.port
        row["protocol_identifier"], row["ip_version"] = one.protocol, ip_address(one.source).version
        row["initiator_octets"], row["responder_octets"] = one.out_octets, one.in_octets
        row["initiator_packets"], row["responder_packets"] = one.out_packets, one.in_packets
        row["tcp_syn_count"], row["tcp_fin_count"], row["tcp_rst_count"] = one.syn, one.fin, one.rst
        row["icmp_unreachable_count"] = one.unreachable
        row["dns_query_count"], row["dns_response_count"], row["dns_failure_count"] = one.queries, one.responses, one.failures
        row["dns_question_octets"], row["dns_question_entropy_millibits"] = one.question_octets, one.question_millibits
    return array


def pane_batch(pane: int, slices: list[Slice], *, interface: str = "eth0", loss: CaptureLoss | None = None) -> FlowBatch:
    """One pane; `pane` counts 5 s panes after the origin."""
    start = ORIGIN + pane * PANE_NS
    packets = sum(one.out_packets + one.in_packets for one in slices)
    loss = loss or CaptureLoss(received=packets, metered=packets)
    return FlowBatch(f"capture:{interface}", start, start + PANE_NS, interface, flow_array(slices), loss)


def panes(slices: list[Slice], count: int, *, interface: str = "eth0") -> list[FlowBatch]:
    """The first `count` panes with these slices, empty ones too."""
    return [pane_batch(pane, [one for one in slices if one.pane == pane], interface=interface) for pane in range(count)]


def interface_batch(
    start: float,
    end: float,
    ports: dict[str, dict[str, int]],
    *,
    device: str = "sw1",
    invalid: dict[tuple[str, str], int] | None = None,
    speed: int = 1_000,
    oper: dict[str, int] | None = None,
    duration: float | None = None,
) -> InterfaceBatch:
    """Differences by port and counter; a counter not named is 0 and valid. `invalid` gives reasons by (port, counter)."""
    names = sorted(ports)
    deltas = np.array([[ports[name].get(counter, 0) for counter in INTERFACE_COUNTERS] for name in names], np.int64)
    reasons = np.array([[(invalid or {}).get((name, counter), 0) for counter in INTERFACE_COUNTERS] for name in names], np.uint8)
    deltas = np.where(reasons == 0, deltas, 0)
    return InterfaceBatch(
        source=f"snmp:{device}",
        start_ns=ORIGIN + round(start * SECOND),
        end_ns=ORIGIN + round(end * SECOND),
        device=Entity(EntityKind.DEVICE, device),
        interfaces=tuple(Entity(EntityKind.INTERFACE, f"{device}/{name}") for name in names),
        duration_ns=round((end - start if duration is None else duration) * SECOND),
        deltas=deltas.reshape(len(names), len(INTERFACE_COUNTERS)),
        invalid=reasons.reshape(len(names), len(INTERFACE_COUNTERS)),
        if_index=np.arange(1, len(names) + 1),
        if_type=np.full(len(names), 6),
        if_high_speed=np.full(len(names), speed),
        if_admin_status=np.ones(len(names), np.uint8),
        if_oper_status=np.array([(oper or {}).get(name, 1) for name in names], np.uint8),
        if_alias=("",) * len(names),
    )


def device_record(
    end: float,
    *,
    device: str = "sw1",
    is_reachable: bool = True,
    round_trip: float | None = 0.002,
    up: float | None = 1000.0,
    requests: int = 10,
    timeouts: int = 0,
) -> DeviceRecord:
    end_ns = ORIGIN + round(end * SECOND)
    return DeviceRecord(
        source=f"snmp:{device}",
        start_ns=end_ns - SECOND // 10,
        end_ns=end_ns,
        device=Entity(EntityKind.DEVICE, device),
        is_reachable=is_reachable,
        round_trip_ns=None if round_trip is None else round(round_trip * SECOND),
        sys_up_time=None if up is None else round(up * 100),
        requests=requests,
        timeouts=timeouts,
    )


def host_record(start: float, end: float, gauges: dict[str, float]) -> HostRecord:
    """Gauges not named are NaN: this machine lacks them."""
    return HostRecord(
        "host",
        ORIGIN + round(start * SECOND),
        ORIGIN + round(end * SECOND),
        Entity(EntityKind.SENSOR, "s1"),
        {name: gauges.get(name, float("nan")) for name in HOST_GAUGES},
    )


def vector(batch, entity: str) -> dict[str, float | None]:
    """One row by feature name; None where it is not present."""
    row = [str(one) for one in batch.entities].index(entity)
    return {
        name: float(batch.values[row, column]) if batch.present[row, column] else None
        for name, column in batch.schema.index.items()
    }

"""What collectors hand on, made by hand: panes with a port scan or with ordinary traffic, readings of the host, facts."""

from ipaddress import IPv6Address

import numpy as np

from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.records.flow import FLOW_DTYPE, PANE_NS, CaptureLoss, FlowBatch
from netmote.records.host import HOST_GAUGES, HostRecord

SECOND = 1_000_000_000
ORIGIN = 1_700_000_040 * SECOND  # a whole minute
SCANNER, TARGET = "10.0.0.66", "10.0.0.1"
DEVICE = Entity(EntityKind.DEVICE, "sw1")


def _packed(address: str) -> bytes:
    return IPv6Address(f"::ffff:{address}").packed


def pane(number: int, *, ports: int = 0, interface: str = "eth0", origin_ns: int = ORIGIN, base: int = 1) -> FlowBatch:
    """Pane `number` after the origin: one answered exchange, and SYNs to `ports` ports of TARGET that nobody answers."""
    start_ns = origin_ns + number * PANE_NS
    slices = np.zeros(ports + 1, FLOW_DTYPE)
    slices["flow_id"] = np.arange(len(slices)) + number * 100_000
    slices["flow_start_ns"] = slices["flow_end_ns"] = start_ns + np.arange(len(slices)) * 1000
    slices["source_address"] = np.void(_packed(SCANNER))
    slices["destination_address"] = np.void(_packed(TARGET))
    slices["source_transport_port"] = 40_000
    slices["destination_transport_port"] = base + np.arange(len(slices))
    slices["protocol_identifier"], slices["ip_version"] = 6, 4
    slices["initiator_packets"], slices["initiator_octets"], slices["tcp_syn_count"] = 1, 44, 1
    answered = slices[0]
    answered["destination_transport_port"], answered["flow_id"] = 443, 1
    answered["initiator_packets"], answered["initiator_octets"], answered["tcp_syn_count"] = 10, 1500, 0
    answered["responder_packets"], answered["responder_octets"] = 12, 9000
    packets = int(slices["initiator_packets"].sum() + slices["responder_packets"].sum())
    return FlowBatch(
        f"capture:{interface}", start_ns, start_ns + PANE_NS, interface, slices, CaptureLoss(received=packets, metered=packets)
    )


def reading(number: int, *, origin_ns: int = ORIGIN, interval: int = 10) -> HostRecord:
    """The host over interval `number` after the origin: nothing of note."""
    start_ns = origin_ns + number * interval * SECOND
    gauges = dict.fromkeys(HOST_GAUGES, 0.1) | {"process_resident_bytes": 1e8, "load_1m": 0.2, "processes": 100.0}
    return HostRecord("host", start_ns, start_ns + interval * SECOND, Entity(EntityKind.SENSOR, "s1"), gauges)


def unreachable(seconds: float, value: float = 1.0, *, origin_ns: int = ORIGIN, device: Entity = DEVICE) -> FactBatch:
    """`device_unreachable` begins (1) or ends (0)."""
    time_ns = origin_ns + round(seconds * SECOND)
    return FactBatch(f"snmp:{device.name}", time_ns, time_ns, (Fact(device, "device_unreachable", time_ns, value),))


def scan_story(panes: int = 24, *, at: int = 6, ports: int = 400, origin_ns: int = ORIGIN) -> list[FlowBatch | HostRecord]:
    """Two minutes of quiet traffic with a scan in pane `at`, and the host beside it, in the order of their ends."""
    flows = [pane(number, ports=ports if number == at else 0, origin_ns=origin_ns) for number in range(panes)]
    host = [reading(number, origin_ns=origin_ns) for number in range(panes // 2)]
    return sorted([*flows, *host], key=lambda batch: (batch.end_ns, batch.source))

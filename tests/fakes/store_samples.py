"""Small real alerts and batches for the tests of the store."""

import uuid
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from netmote.alerts.alert import Alert, AlertState
from netmote.records.device import DeviceRecord
from netmote.records.entity import Entity, EntityKind
from netmote.records.fact import Fact, FactBatch
from netmote.records.flow import FLOW_DTYPE, PANE_NS, CaptureLoss, FlowBatch
from netmote.records.host import HOST_GAUGES, HostRecord
from netmote.records.interface import INTERFACE_COUNTERS, InterfaceBatch
from netmote.scoring.finding import Contributor, Severity
from netmote.windows.vector import FlowEvidence, Quality, WindowEvidence

SECOND = 1_000_000_000
T0 = 1_700_000_000_000_000_000


def alert(number=1, revision=1, *, state=AlertState.FIRING, severity=Severity.WARNING, is_silenced=False, **changes):
    """One revision of the alert of that number."""
    base = Alert(
        alert_id=str(uuid.UUID(int=number)),
        revision=revision,
        fingerprint=f"{number:032x}",
        state=state,
        group="port_scan",
        detector="rule",
        entity=Entity(EntityKind.HOST, "192.0.2.7"),
        severity=severity,
        title="192.0.2.7 tried 900 ports",
        score=0.999,
        surprise=3.0,
        started_at_ns=T0,
        fired_at_ns=T0 + SECOND,
        last_seen_ns=T0 + revision * SECOND,
        resolved_at_ns=T0 + 9 * SECOND if state is AlertState.RESOLVED else None,
        count=revision,
        window_start_ns=T0,
        window_end_ns=T0 + 60 * SECOND,
        contributors=(Contributor("responder_ports", "ports", 900.0, 3.5, 12.0, None),),
        technique="T1046",
        check="Is this a scanner of yours?",
        quality=Quality.PARTIAL | Quality.LOSS,
        coverage=0.5,
        loss_ratio=0.125,
        evidence=WindowEvidence(
            (FlowEvidence("192.0.2.7", 40000, "198.51.100.1", 22, 6, 60, 1, 1),), (("198.51.100.1", 900),), ((22, 1), (23, 1))
        ),
        labels=MappingProxyType({"site": "møllevej"}),
        is_silenced=is_silenced,
    )
    return replace(base, **changes)


def flow_batch(start_ns=T0, rows=100, *, seed=1, source="capture:eth0"):
    """A pane of plausible flow slices."""
    rng = np.random.default_rng(seed)
    slices = np.zeros(rows, FLOW_DTYPE)
    slices["flow_id"] = np.arange(rows)
    slices["flow_start_ns"] = start_ns + rng.integers(0, PANE_NS, rows)
    slices["flow_end_ns"] = slices["flow_start_ns"] + rng.integers(0, 1000, rows)
    for name in ("source_address", "destination_address"):
        octets = np.zeros((rows, 16), np.uint8)
        octets[:, 10:12] = 0xFF
        octets[:, 12:] = rng.integers(0, 256, (rows, 4))
        slices[name] = octets.view("V16").reshape(rows)
    slices["ip_version"] = 4
    slices["protocol_identifier"] = rng.choice([6, 17], rows)
    slices["destination_transport_port"] = rng.choice([53, 80, 443], rows)
    slices["source_transport_port"] = rng.integers(1024, 65536, rows)
    slices["initiator_packets"] = rng.integers(1, 20, rows)
    slices["initiator_octets"] = slices["initiator_packets"] * 90
    slices["responder_packets"] = rng.integers(0, 20, rows)
    slices["responder_octets"] = slices["responder_packets"] * 900
    return FlowBatch(
        source, start_ns, start_ns + PANE_NS, source.partition(":")[2], slices, CaptureLoss(500, 490, 6, (("short", 4),), 10)
    )


def interface_batch(start_ns=T0, ports=3, *, device="core"):
    """One poll interval of a device's ports; the second port has an invalid cell."""
    deltas = np.arange(ports * len(INTERFACE_COUNTERS), dtype=np.int64).reshape(ports, len(INTERFACE_COUNTERS)) * 1000
    invalid = np.zeros(deltas.shape, np.uint8)
    if ports > 1:
        deltas[1, 0], invalid[1, 0] = 0, 4
    return InterfaceBatch(
        source=f"snmp:{device}",
        start_ns=start_ns,
        end_ns=start_ns + 30 * SECOND,
        device=Entity(EntityKind.DEVICE, device),
        interfaces=tuple(Entity(EntityKind.INTERFACE, f"{device}/Gi0/{port}") for port in range(ports)),
        duration_ns=30 * SECOND + 17,
        deltas=deltas,
        invalid=invalid,
        if_index=np.arange(1, ports + 1, dtype=np.int64),
        if_type=np.full(ports, 6, np.int64),
        if_high_speed=np.full(ports, 1000, np.int64),
        if_admin_status=np.ones(ports, np.uint8),
        if_oper_status=np.ones(ports, np.uint8),
        if_alias=tuple("uplink" if port == 0 else "" for port in range(ports)),
    )


def device_record(start_ns=T0, *, is_reachable=True):
    return DeviceRecord(
        source="snmp:core",
        start_ns=start_ns,
        end_ns=start_ns + SECOND,
        device=Entity(EntityKind.DEVICE, "core"),
        is_reachable=is_reachable,
        round_trip_ns=1_500_000 if is_reachable else None,
        sys_up_time=123456 if is_reachable else None,
        requests=7,
        timeouts=0 if is_reachable else 3,
        gauges=MappingProxyType({"cpu_utilization_ratio": 0.25, "memory_used_ratio": float("nan")}),
    )


def host_record(start_ns=T0):
    gauges = MappingProxyType({name: float("nan") if name == "load_1m" else index / 7 for index, name in enumerate(HOST_GAUGES)})
    return HostRecord("host", start_ns, start_ns + 10 * SECOND, Entity(EntityKind.SENSOR, "edge"), gauges)


def fact_batch(start_ns=T0):
    facts = (
        Fact(
            Entity(EntityKind.INTERFACE, "core/Gi0/1"),
            "interface_down",
            start_ns + 5,
            1.0,
            MappingProxyType({"if_alias": "uplink"}),
        ),
        Fact(Entity(EntityKind.SENSOR, "edge"), "clock_step", start_ns + 6, -0.0),
    )
    return FactBatch("snmp:core", start_ns, start_ns + SECOND, facts)


def one_of_each(start_ns=T0):
    """A batch of every kind."""
    return [flow_batch(start_ns), interface_batch(start_ns), device_record(start_ns), host_record(start_ns), fact_batch(start_ns)]

"""Something certain at an instant: no model is needed to believe it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from netmote.records.entity import Entity

# The vocabulary. A name ending in a state is a condition: value 1 begins it, 0 ends it. The others happen once (value free).
CONDITIONS = (
    "interface_down",  # ifOperStatus left up while ifAdminStatus is up
    "device_unreachable",  # neither its SNMP agent nor its host answers
    "snmp_broken",  # the host is there, and nothing of use can be read from its agent
    "bgp_peer_down",  # a BGP peer of a router that is wanted and was established is not; annotations name all of them
    "counters_stuck",  # nothing in a device's table of counters moves, though its agent runs on
    "capture_interface_gone",
    "capture_unavailable",
    "capture_link_down",  # of a captured interface: nothing can be observed, which is not a silent wire
    "time_unsynchronised",
    "degraded_to_rules",  # the sensor's own ladder: no usable model
    "degraded_to_collect",  # analysis does not run
    "degraded_to_ledger",  # telemetry is not stored
)
OCCURRENCES = (
    "device_restarted",  # sysUpTime began anew; value: seconds up
    "agent_restarted",  # the SNMP agent, not the device
    "counter_discontinuity",
    "device_replaced",  # another device answers under the same name: another serial number, or another engine id and other addresses
    "interface_renumbered",
    "interface_ambiguous",  # it cannot be told that a port is the one it was; it is a new one
    "interface_appeared",
    "interface_vanished",
    "new_listener",  # a local port began to listen; value: the port
    "clock_step",  # value: seconds
    "snmp_authentication_failure",  # a device refuses our credentials
    "snmp_foreign_authentication_failure",  # a device says that it refused someone's (authenticationFailure, RFC 3418)
    "snmp_notification",  # any other trap or inform of a polled device; its OID and varbinds are annotations
    "capture_worker_restarted",  # one of the processes that share an interface; value: its number
    "address_conflict",  # two hardware addresses claim one IP address
    "neighbour_changed",  # an IP address is claimed by another hardware address than just before
    "lldp_neighbour_changed",  # another device, or another of its ports, is at the other end of a port
    "bgp_session_reset",  # BGP sessions were lost and came back between two readings; value: how many
    "duplex_mismatch_suspected",  # the errors of a port are those of one end of a duplex mismatch
    "dhcp_server",  # one more DHCP server answers on a segment; value: how many that makes
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One certain event of one entity."""

    entity: Entity
    name: str
    time_ns: int  # event time, UTC
    value: float = 1.0
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.name not in CONDITIONS and self.name not in OCCURRENCES:
            raise ValueError(f"{self.name!r} is not a fact; known: {', '.join(CONDITIONS + OCCURRENCES)}")


@dataclass(frozen=True, slots=True)
class FactBatch:
    """Facts of one source over an interval; empty ones carry the watermark."""

    source: str
    start_ns: int
    end_ns: int
    facts: tuple[Fact, ...]

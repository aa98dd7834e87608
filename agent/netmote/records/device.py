"""How one polled device answered over one interval."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from netmote.records.entity import Entity


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """One poll cycle of one device, answered or not."""

    source: str  # "snmp:<device>"
    start_ns: int  # UTC, when the cycle began
    end_ns: int  # when it ended
    device: Entity
    is_reachable: bool
    round_trip_ns: int | None  # of the first answer
    sys_up_time: int | None  # hundredths of a second
    requests: int
    timeouts: int
    gauges: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

"""What the sensor's own machine did over one interval."""

from collections.abc import Mapping
from dataclasses import dataclass

from netmote.records.entity import Entity

# Base units; ratios are 0..1. Every reading has exactly these keys; one that the machine lacks is NaN.
HOST_GAUGES = (
    "cpu_utilization_ratio",
    "cpu_iowait_ratio",
    "cpu_steal_ratio",
    "load_1m",
    "memory_used_ratio",
    "swap_used_ratio",
    "disk_used_ratio",  # of the filesystem that holds the state directory
    "disk_read_bytes_per_second",
    "disk_written_bytes_per_second",
    "processes",
    "tcp_connections",
    "process_resident_bytes",  # netmote itself
    "process_cpu_ratio",  # netmote itself, of one core
)


@dataclass(frozen=True, slots=True)
class HostRecord:
    """One reading of this machine; rates and ratios are over the interval."""

    source: str  # "host"
    start_ns: int
    end_ns: int
    sensor: Entity
    gauges: Mapping[str, float]

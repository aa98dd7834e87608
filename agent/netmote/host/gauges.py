"""The machine's own gauges: psutil counters at two instants to the rates and ratios of HOST_GAUGES.

Owns: what is read and the arithmetic between two readings. Refuses: schedules, clocks, facts.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from netmote.records.host import HOST_GAUGES

# tcpCurrEstab counts connections in ESTABLISHED or CLOSE-WAIT (RFC 4022).
_ESTABLISHED = (psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT)


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters since boot; NaN where the machine has none. Differences of two of them make the rates."""

    cpu_total: float  # seconds over all CPUs, idle included
    cpu_idle: float  # idle and iowait
    cpu_iowait: float
    cpu_steal: float
    disk_read_bytes: float
    disk_written_bytes: float
    process_cpu: float  # seconds of this process


def read_totals(process: psutil.Process) -> Totals:
    """Counters now. Blocks for well under a millisecond."""
    cpu = psutil.cpu_times()
    # guest and guest_nice are already inside user and nice (proc_stat(5)).
    total = sum(cpu) - getattr(cpu, "guest", 0.0) - getattr(cpu, "guest_nice", 0.0)
    iowait = getattr(cpu, "iowait", math.nan)
    disk = psutil.disk_io_counters()
    own = process.cpu_times()
    return Totals(
        cpu_total=total,
        cpu_idle=cpu.idle + (0.0 if math.isnan(iowait) else iowait),
        cpu_iowait=iowait,
        cpu_steal=getattr(cpu, "steal", math.nan),
        disk_read_bytes=math.nan if disk is None else float(disk.read_bytes),
        disk_written_bytes=math.nan if disk is None else float(disk.write_bytes),
        process_cpu=own.user + own.system,
    )


def rates(earlier: Totals, later: Totals, seconds: float) -> dict[str, float]:
    """Rates and ratios between two instants `seconds` apart (> 0); NaN where a counter is absent or went back."""
    cpu_seconds = later.cpu_total - earlier.cpu_total
    return {
        "cpu_utilization_ratio": 1.0 - _ratio(later.cpu_idle - earlier.cpu_idle, cpu_seconds),
        "cpu_iowait_ratio": _ratio(later.cpu_iowait - earlier.cpu_iowait, cpu_seconds),
        "cpu_steal_ratio": _ratio(later.cpu_steal - earlier.cpu_steal, cpu_seconds),
        "disk_read_bytes_per_second": _rate(later.disk_read_bytes - earlier.disk_read_bytes, seconds),
        "disk_written_bytes_per_second": _rate(later.disk_written_bytes - earlier.disk_written_bytes, seconds),
        "process_cpu_ratio": _rate(later.process_cpu - earlier.process_cpu, seconds),
    }


def _ratio(part: float, whole: float) -> float:
    """Clipped to 0..1: idle and iowait of single CPUs may go back a tick (proc_stat(5))."""
    return min(1.0, max(0.0, part / whole)) if whole > 0 and not math.isnan(part) else math.nan


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds if amount >= 0 else math.nan


def read_levels(process: psutil.Process, state_dir: Path) -> dict[str, float]:
    """Gauges that need no earlier reading, without `tcp_connections` (which comes with the listeners)."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    try:
        disk = psutil.disk_usage(str(state_dir)).percent / 100.0
    except OSError:  # the state directory is gone: the reading says so by NaN
        disk = math.nan
    return {
        "load_1m": os.getloadavg()[0],
        "memory_used_ratio": 1.0 - memory.available / memory.total,
        "swap_used_ratio": swap.used / swap.total if swap.total else math.nan,
        "disk_used_ratio": disk,
        "processes": float(len(psutil.pids())),
        "process_resident_bytes": float(process.memory_info().rss),
    }


def established_connections(states: list[str]) -> float:
    """Value of tcpCurrEstab, from the states of all TCP sockets."""
    return float(sum(state in _ESTABLISHED for state in states))


def in_order(gauges: dict[str, float]) -> dict[str, float]:
    """Exactly the keys of HOST_GAUGES, in their order. Raises KeyError when a reading lacks one: a bug."""
    return {name: gauges[name] for name in HOST_GAUGES}

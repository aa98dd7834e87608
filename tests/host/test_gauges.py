"""The machine's gauges: arithmetic of two readings, and one real reading."""

import math
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from netmote.host.gauges import Totals, established_connections, in_order, rates, read_levels, read_totals
from netmote.records.host import HOST_GAUGES

START = Totals(1_000.0, 800.0, 10.0, 5.0, 1e6, 2e6, 30.0)


def test_rates_are_shares_of_the_interval() -> None:
    """Ten seconds of two CPUs: a quarter busy, 5 % waiting, 1 % stolen; bytes and own CPU per second."""
    later = Totals(1_020.0, 815.0, 11.0, 5.2, 1e6 + 500, 2e6 + 1_000, 30.5)
    assert rates(START, later, 10.0) == {
        "cpu_utilization_ratio": pytest.approx(0.25),
        "cpu_iowait_ratio": pytest.approx(0.05),
        "cpu_steal_ratio": pytest.approx(0.01),
        "disk_read_bytes_per_second": pytest.approx(50.0),
        "disk_written_bytes_per_second": pytest.approx(100.0),
        "process_cpu_ratio": pytest.approx(0.05),
    }


def test_what_went_back_or_is_absent_is_not_a_number() -> None:
    """A disk that was unplugged, a machine without disks, no time at all: NaN, never 0 or negative."""
    unplugged = rates(START, replace(START, disk_read_bytes=5.0, cpu_total=1_010.0), 10.0)
    assert math.isnan(unplugged["disk_read_bytes_per_second"])
    diskless = rates(replace(START, disk_read_bytes=math.nan), START, 10.0)
    assert math.isnan(diskless["disk_read_bytes_per_second"])
    assert math.isnan(rates(START, START, 10.0)["cpu_utilization_ratio"])


def test_ratios_stay_within_bounds() -> None:
    """Iowait of a CPU may go back a tick; a ratio never leaves 0..1."""
    later = replace(START, cpu_total=1_020.0, cpu_idle=825.0, cpu_iowait=9.0)
    computed = rates(START, later, 10.0)
    assert computed["cpu_utilization_ratio"] == 0.0
    assert computed["cpu_iowait_ratio"] == 0.0


def test_a_real_reading_has_every_gauge(tmp_path: Path) -> None:
    """This machine's own figures, in the order of HOST_GAUGES and within their bounds."""
    process = psutil.Process()
    before = read_totals(process)
    sum(range(3_000_000))
    gauges = read_levels(process, tmp_path) | rates(before, read_totals(process), 1.0) | {"tcp_connections": 0.0}
    assert tuple(in_order(gauges)) == HOST_GAUGES
    for name, value in gauges.items():
        if name.endswith("_ratio") and not math.isnan(value):
            assert value >= 0.0
            assert value <= 1.0 or name == "process_cpu_ratio"
    assert gauges["process_resident_bytes"] > 1e6
    assert gauges["process_cpu_ratio"] > 0
    assert gauges["processes"] >= 1


def test_a_state_directory_that_is_gone_is_not_a_number(tmp_path: Path) -> None:
    """The reading goes on without it."""
    assert math.isnan(read_levels(psutil.Process(), tmp_path / "gone")["disk_used_ratio"])


def test_connections_are_established_ones() -> None:
    """What tcpCurrEstab counts: ESTABLISHED and CLOSE-WAIT."""
    assert established_connections(["ESTABLISHED", "CLOSE_WAIT", "LISTEN", "TIME_WAIT", "SYN_SENT"]) == 2.0

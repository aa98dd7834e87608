"""The sensor's own interfaces: real ones, and differences of made-up readings."""

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from netmote.host.network_interfaces import NicReading, interface_batch, read_nics
from netmote.records.entity import Entity, EntityKind
from netmote.records.interface import INTERFACE_COUNTERS, AdminStatus, InvalidReason, OperStatus

IN_OCTETS = INTERFACE_COUNTERS.index("if_hc_in_octets")
MULTICAST = INTERFACE_COUNTERS.index("if_hc_in_multicast_pkts")


def nic(octets: int, *, if_index: int = 2, oper: OperStatus = OperStatus.UP) -> NicReading:
    counters: list[int | None] = [None] * len(INTERFACE_COUNTERS)
    counters[IN_OCTETS] = octets
    return NicReading(if_index, 6, 1_000, AdminStatus.UP, oper, "uplink", tuple(counters))


def test_loopback_is_read_as_linux_shows_it() -> None:
    """Its index, type and state in the words of IF-MIB, and counters that are those of /proc/net/dev."""
    lo = read_nics()["lo"]
    assert lo.if_type == 24
    assert lo.oper_status is OperStatus.UNKNOWN
    assert lo.admin_status is AdminStatus.UP
    assert lo.counters[MULTICAST] is None
    before = lo.counters[IN_OCTETS]
    subprocess.run(["true"], check=True)
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    assert before is not None
    assert before <= int(line.split(":")[1].split()[0])


def test_what_linux_does_not_tell_is_unknown(tmp_path: Path) -> None:
    """A speed of -1 and an unknown operstate are 0, and an interface without sysfs entry is left out."""
    (tmp_path / "lo").mkdir()
    for name, text in {
        "ifindex": "1",
        "flags": "0x8",
        "speed": "-1",
        "type": "772",
        "operstate": "odd",
        "carrier_changes": "x",
    }.items():
        (tmp_path / "lo" / name).write_text(f"{text}\n")
    readings = read_nics(tmp_path)
    assert list(readings) == ["lo"]
    lo = readings["lo"]
    assert (lo.if_high_speed, lo.oper_status, lo.admin_status) == (0, OperStatus.NOT_KNOWN, AdminStatus.DOWN)
    assert lo.counters[INTERFACE_COUNTERS.index("carrier_transitions")] is None


def test_differences_are_exact_or_have_their_reason() -> None:
    """Growth, a reset driver, a new interface, one that was made anew, and what Linux does not count."""
    earlier = {"eth0": nic(1_000), "eth1": nic(5_000), "tun0": nic(10)}
    later = {"eth0": nic(4_000), "eth1": nic(17), "eth2": nic(9), "tun0": nic(50, if_index=9)}
    batch = interface_batch(earlier, later, sensor="s", start_ns=0, end_ns=10, duration_ns=10)
    assert [entity.name for entity in batch.interfaces] == ["s/eth0", "s/eth1", "s/eth2", "s/tun0"]
    assert batch.device == Entity(EntityKind.DEVICE, "s")
    assert batch.source == "host"
    assert batch.deltas[:, IN_OCTETS].tolist() == [3_000, 0, 0, 0]
    assert [InvalidReason(reason) for reason in batch.invalid[:, IN_OCTETS]] == [
        InvalidReason.VALID,
        InvalidReason.DECREASED,
        InvalidReason.FIRST,
        InvalidReason.DISCONTINUITY,
    ]
    assert (batch.invalid[:, MULTICAST] == InvalidReason.ABSENT).all()


def test_states_are_those_of_the_later_reading() -> None:
    """The batch shows where the interval ended."""
    batch = interface_batch(
        {"eth0": nic(1)}, {"eth0": replace(nic(1), oper_status=OperStatus.DOWN)}, sensor="s", start_ns=0, end_ns=1, duration_ns=1
    )
    assert batch.if_oper_status.tolist() == [OperStatus.DOWN]
    assert batch.if_high_speed.tolist() == [1_000]
    assert batch.if_alias == ("uplink",)


def settled(name: str, *wanted: OperStatus) -> NicReading:
    """The interface once the kernel's link watch has caught up (it may take a second)."""
    deadline = time.monotonic() + 5
    while (reading := read_nics()[name]).oper_status not in wanted:
        assert time.monotonic() < deadline, reading
        time.sleep(0.02)
    return reading


@pytest.mark.root
def test_a_veth_pair_going_down_shows_in_sysfs() -> None:
    """A real link: up with carrier, then without, with its transitions counted."""
    space, near, far = "nmhost", "nmhost0", "nmhost1"

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)

    run("ip", "netns", "add", space)
    try:
        run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", space)
        run("ip", "link", "set", near, "up")
        run("ip", "netns", "exec", space, "ip", "link", "set", far, "up")
        up = settled(near, OperStatus.UP)
        run("ip", "netns", "exec", space, "ip", "link", "set", far, "down")
        down = settled(near, OperStatus.DOWN, OperStatus.LOWER_LAYER_DOWN)
        carrier = INTERFACE_COUNTERS.index("carrier_transitions")
        assert (up.oper_status, up.admin_status, up.if_type) == (OperStatus.UP, AdminStatus.UP, 53)
        assert up.if_high_speed == 10_000
        assert (down.counters[carrier] or 0) > (up.counters[carrier] or 0)
    finally:
        run("ip", "netns", "del", space)
        subprocess.run(["ip", "link", "del", near], check=False, capture_output=True)

"""The sensor's own network interfaces: sysfs and psutil readings to an InterfaceBatch.

Owns: what Linux tells of a NIC in the words of IF-MIB, and the differences of two readings. Refuses: schedules, clocks, facts.
Linux counters are 64 bits wide and never wrap in service: a decrease is a reset of the driver, never a wrap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from netmote.records.entity import Entity, EntityKind
from netmote.records.interface import INTERFACE_COUNTERS, AdminStatus, InterfaceBatch, InvalidReason, OperStatus

SYS_CLASS_NET = Path("/sys/class/net")

# /sys/class/net/<if>/operstate (Documentation/ABI/testing/sysfs-class-net) uses the names of ifOperStatus.
_OPER_STATUS = {
    "up": OperStatus.UP,
    "down": OperStatus.DOWN,
    "testing": OperStatus.TESTING,
    "unknown": OperStatus.UNKNOWN,
    "dormant": OperStatus.DORMANT,
    "notpresent": OperStatus.NOT_PRESENT,
    "lowerlayerdown": OperStatus.LOWER_LAYER_DOWN,
}
_IFF_UP = 0x1  # netdevice(7)
# ARPHRD_* of linux/if_arp.h to IANAifType: ETHER to ethernetCsmacd, LOOPBACK to softwareLoopback, PPP to ppp.
_IF_TYPE = {1: 6, 772: 24, 512: 23}
_IF_TYPE_VIRTUAL = 53  # propVirtual: no device behind it (veth, bridge, tun)
_IF_TYPE_OTHER = 1

# The columns Linux has; the others are ABSENT. rx_packets counts multicast too, which psutil does not tell apart.
_COLUMN = {name: INTERFACE_COUNTERS.index(name) for name in INTERFACE_COUNTERS}


@dataclass(frozen=True, slots=True)
class NicReading:
    """One interface at one instant. `counters` has a value per column of INTERFACE_COUNTERS, None where Linux has none."""

    if_index: int
    if_type: int
    if_high_speed: int
    admin_status: AdminStatus
    oper_status: OperStatus
    if_alias: str
    counters: tuple[int | None, ...]


def read_nics(root: Path = SYS_CLASS_NET) -> dict[str, NicReading]:
    """All interfaces of this network namespace by name. An interface that vanishes while it is read is left out."""
    readings: dict[str, NicReading] = {}
    for name, io in sorted(psutil.net_io_counters(pernic=True, nowrap=False).items()):
        directory = root / name
        if_index, flags = _number(directory / "ifindex"), _number(directory / "flags")
        if if_index is None or flags is None:
            continue
        counters: list[int | None] = [None] * len(INTERFACE_COUNTERS)
        for column, value in (
            ("if_hc_in_octets", io.bytes_recv),
            ("if_hc_out_octets", io.bytes_sent),
            ("if_hc_in_ucast_pkts", io.packets_recv),
            ("if_hc_out_ucast_pkts", io.packets_sent),
            ("if_in_discards", io.dropin),
            ("if_out_discards", io.dropout),
            ("if_in_errors", io.errin),
            ("if_out_errors", io.errout),
            ("carrier_transitions", _number(directory / "carrier_changes")),
        ):
            counters[_COLUMN[column]] = value
        speed = _number(directory / "speed")  # EINVAL while down, -1 or 2^32 - 1 when unknown
        hardware = _IF_TYPE.get(_number(directory / "type") or 0, _IF_TYPE_OTHER)
        is_physical = hardware == _IF_TYPE[772] or (directory / "device").exists()
        readings[name] = NicReading(
            if_index=if_index,
            if_type=hardware if is_physical else _IF_TYPE_VIRTUAL,
            if_high_speed=speed if speed is not None and 0 < speed < 2**31 else 0,
            admin_status=AdminStatus.UP if flags & _IFF_UP else AdminStatus.DOWN,
            oper_status=_OPER_STATUS.get(_text(directory / "operstate"), OperStatus.NOT_KNOWN),
            if_alias=_text(directory / "ifalias"),
            counters=tuple(counters),
        )
    return readings


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:  # EINVAL: the kernel has no such value for this interface now
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    try:
        return int(text, 0) if text else None
    except ValueError:
        return None


def interface_batch(
    earlier: Mapping[str, NicReading],
    later: Mapping[str, NicReading],
    *,
    sensor: str,
    start_ns: int,
    end_ns: int,
    duration_ns: int,
) -> InterfaceBatch:
    """Differences of two readings. An interface not in `earlier` is FIRST; one that was re-created is a DISCONTINUITY."""
    names = sorted(later)
    shape = (len(names), len(INTERFACE_COUNTERS))
    deltas = np.zeros(shape, dtype=np.int64)
    invalid = np.full(shape, InvalidReason.ABSENT, dtype=np.uint8)
    for row, name in enumerate(names):
        now, before = later[name], earlier.get(name)
        for column, value in enumerate(now.counters):
            if value is None:
                continue
            previous = None if before is None else before.counters[column]
            if before is None or previous is None:
                invalid[row, column] = InvalidReason.FIRST
            elif before.if_index != now.if_index:
                invalid[row, column] = InvalidReason.DISCONTINUITY
            elif value < previous:
                invalid[row, column] = InvalidReason.DECREASED
            else:
                invalid[row, column] = InvalidReason.VALID
                deltas[row, column] = value - previous
    nics = [later[name] for name in names]
    return InterfaceBatch(
        source="host",
        start_ns=start_ns,
        end_ns=end_ns,
        device=Entity(EntityKind.DEVICE, sensor),
        interfaces=tuple(Entity(EntityKind.INTERFACE, f"{sensor}/{name}") for name in names),
        duration_ns=duration_ns,
        deltas=deltas,
        invalid=invalid,
        if_index=np.array([nic.if_index for nic in nics], dtype=np.int64),
        if_type=np.array([nic.if_type for nic in nics], dtype=np.int64),
        if_high_speed=np.array([nic.if_high_speed for nic in nics], dtype=np.int64),
        if_admin_status=np.array([nic.admin_status for nic in nics], dtype=np.uint8),
        if_oper_status=np.array([nic.oper_status for nic in nics], dtype=np.uint8),
        if_alias=tuple(nic.if_alias for nic in nics),
    )

"""What the numbers of a device's answers say, as `DeviceReader.read` gives it. Pure.

Owns noticing that rows, types or the agent's life are not those that were learnt. Refuses differences and what is in flight.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netmote.clock import NANOSECONDS_PER_SECOND
from netmote.records.interface import INTERFACE_COUNTERS
from netmote.snmp import mib
from netmote.snmp.counters import WRAP, CounterSample, Instant
from netmote.snmp.growth import is_plain_kind
from netmote.snmp.passenger import Passenger
from netmote.snmp.reading import BITS_OF_TAG, OVERTAKING_TICKS, STEADY_COUNTERS, DeviceReading, PortTable
from netmote.snmp.steady_answers import TAG_OF_KIND
from netmote.snmp.steady_questions import ZERO_CELL

_COUNTERS = len(INTERFACE_COUNTERS)


class Numbers(NamedTuple):
    """Of one device."""

    values: NDArray[np.uint64]  # (ports, counters)
    states: NDArray[np.uint64]  # (3, ports): ifAdminStatus, ifOperStatus, ifCounterDiscontinuityTime
    first: Sequence[int]  # of the first answer, scalars in front
    up_times: Sequence[int]  # sysUpTime of the first and the last answer


def reading_of(passenger: Passenger, whole: Numbers, now: float, now_ns: int) -> DeviceReading | None:
    """What the answers say, as `DeviceReader.read` gives it; None when the rows or their types are to be learnt again."""
    before = passenger.history.last_reading
    assert before is not None
    hr_system_uptime, signature = _scalars(passenger, whole.first)
    first, last = whole.up_times
    if signature != passenger.steady.signature or OVERTAKING_TICKS < (first - last) % WRAP < WRAP // 2:
        return None
    if not passenger.polls and not (bits_of(passenger) == passenger.bits).all():
        return None
    instant = Instant(passenger.first_at, passenger.first_at - passenger.first_sent_at, first, hr_system_uptime)
    ports = before.ports
    admin, oper, discontinuity = whole.states
    if (ports.if_admin_status != np.where(admin <= 3, admin, 0)).any() or (
        ports.if_oper_status != np.where(oper <= 7, oper, 0)
    ).any():
        ports = PortTable(
            if_index=ports.if_index,
            if_name=ports.if_name,
            if_descr=ports.if_descr,
            if_alias=ports.if_alias,
            if_admin_status=np.where(admin <= 3, admin, 0).astype(np.uint8),
            if_oper_status=np.where(oper <= 7, oper, 0).astype(np.uint8),
            if_last_change=ports.if_last_change,
            if_phys_address=ports.if_phys_address,
        )
    counters = before.counters
    since = counters.discontinuity if (counters.discontinuity == discontinuity).all() else discontinuity.astype(np.int64)
    return DeviceReading(
        wall_ns=now_ns - round((now - passenger.first_at) * NANOSECONDS_PER_SECOND),
        instant=instant,
        round_trip_seconds=instant.round_trip,
        system=before.system,
        ports=ports,
        counters=CounterSample(whole.values, counters.bits, since, counters.if_type, counters.if_high_speed),
        refused_columns=before.refused_columns,
    )


def is_plain_reading(reading: DeviceReading) -> bool:
    """Whether each port has every counter that is read, of the usual widths, and every state."""
    bits = reading.counters.bits
    return is_plain_kind(bits) and bool((bits[:, STEADY_COUNTERS] != 0).all() and (reading.counters.discontinuity >= 0).all())


def bits_of(passenger: Passenger) -> NDArray[np.uint8]:
    """Widths of the counters as the forms of the answers say."""
    cells = passenger.cells
    tags = TAG_OF_KIND[passenger.forms.reshape(-1)[cells.counters] >> 4].reshape(cells.ports, _COUNTERS)
    bits: NDArray[np.uint8] = BITS_OF_TAG[tags]
    bits[:, cells.counters.reshape(cells.ports, _COUNTERS)[0] == ZERO_CELL] = 0
    return bits


def _scalars(passenger: Passenger, first: Sequence[int]) -> tuple[int | None, tuple[int | None, int | None]]:
    """HrSystemUptime and the signature of the rows, as the first answer has them."""
    found = {name: int(number) for name, number in zip(passenger.steady.scalars, first, strict=False)}
    return found.get(mib.HR_SYSTEM_UPTIME[:-1]), (found.get(mib.IF_NUMBER[:-1]), found.get(mib.IF_TABLE_LAST_CHANGE[:-1]))

"""Differences of the IF-MIB counters of one device's ports over one interval (RFC 2863), columnar over the ports.

A difference that cannot be trusted is invalid with a reason; it is never a number. The value under an invalid cell is 0
and means nothing.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from netmote.records.entity import Entity

# Order of the columns of `InterfaceBatch.deltas`. `carrier_transitions` is not of IF-MIB: Linux carrier_changes,
# Cisco carrier-transitions; absent elsewhere.
INTERFACE_COUNTERS = (
    "if_hc_in_octets",
    "if_hc_out_octets",
    "if_hc_in_ucast_pkts",
    "if_hc_out_ucast_pkts",
    "if_hc_in_multicast_pkts",
    "if_hc_out_multicast_pkts",
    "if_hc_in_broadcast_pkts",
    "if_hc_out_broadcast_pkts",
    "if_in_discards",
    "if_out_discards",
    "if_in_errors",
    "if_out_errors",
    "if_in_unknown_protos",
    "carrier_transitions",
)


class InvalidReason(IntEnum):
    """Why a counter has no difference over an interval; 0 is valid."""

    VALID = 0
    ABSENT = 1  # the device has no such object for this port (noSuchInstance)
    FIRST = 2  # nothing to compare with yet
    RESTART = 3  # the agent restarted: sysUpTime began anew
    DISCONTINUITY = 4  # ifCounterDiscontinuityTime changed
    DECREASED = 5  # a Counter64 went back, or a Counter32 across a restart
    AMBIGUOUS_WRAP = 6  # a Counter32 may have wrapped more than once at this line speed and interval
    IMPLAUSIBLE = 7  # above the line speed
    CLOCK_JUMP = 8  # the device's clock moved against ours
    LOST_POLL = 9  # this poll got no answer
    MALFORMED = 10  # the answer held another type
    NOT_REFRESHED = 11  # the agent has not read its counters anew since; a later interval tells of this time too


class OperStatus(IntEnum):
    """ifOperStatus; 0 is ours: not known."""

    NOT_KNOWN = 0
    UP = 1
    DOWN = 2
    TESTING = 3
    UNKNOWN = 4
    DORMANT = 5
    NOT_PRESENT = 6
    LOWER_LAYER_DOWN = 7


class AdminStatus(IntEnum):
    """ifAdminStatus; 0 is ours: not known."""

    NOT_KNOWN = 0
    UP = 1
    DOWN = 2
    TESTING = 3


def is_link_fault(admin_status: int, oper_status: int) -> bool | None:
    """Whether a port is down although it should be up (RFC 2863 section 3.1.12); None when its state does not say.

    Dormant waits for an event by design; testing and unknown tell nothing. A port switched off on purpose is no fault.
    """
    if oper_status == OperStatus.UP or admin_status == AdminStatus.DOWN:
        return False
    if admin_status == AdminStatus.UP and oper_status in (OperStatus.DOWN, OperStatus.NOT_PRESENT, OperStatus.LOWER_LAYER_DOWN):
        return True
    return None


@dataclass(frozen=True, slots=True, eq=False)
class InterfaceBatch:
    """All ports of one device over one poll interval, in the order of `interfaces`."""

    source: str  # "snmp:<device>" or "host"
    start_ns: int  # UTC, our clock: the earlier poll
    end_ns: int  # the later poll
    device: Entity
    interfaces: tuple[Entity, ...]
    duration_ns: int  # by the agent's own sysUpTime where it can be trusted; divide by this, not by end - start
    deltas: NDArray[np.int64]  # (ports, len(INTERFACE_COUNTERS))
    invalid: NDArray[np.uint8]  # same shape, InvalidReason
    if_index: NDArray[np.int64]
    if_type: NDArray[np.int64]
    if_high_speed: NDArray[np.int64]  # 1,000,000 bit/s; 0 = unknown
    if_admin_status: NDArray[np.uint8]
    if_oper_status: NDArray[np.uint8]
    if_alias: tuple[str, ...]

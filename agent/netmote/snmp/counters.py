"""Differences of IF-MIB counters between two polls: what may be believed, and why the rest may not. Pure.

Owns the classification of two instants and the rules for Counter32 and Counter64; vectorised over ports.
Refuses guessing: a difference is exact or invalid with a reason. The order of the reasons is the order of the checks here.

sysUpTime (TimeTicks, hundredths of a second modulo 2^32, RFC 3418) is read in the same PDU as the counters, so poll jitter
costs nothing; our monotonic clock is the check on it.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from netmote.records.interface import INTERFACE_COUNTERS, InvalidReason
from netmote.snmp.mib import ETHERNET_CSMACD, VIRTUAL_IF_TYPES

TICKS_PER_SECOND = 100
WRAP = 1 << 32  # of TimeTicks and Counter32
# How far sysUpTime and our clock may part between two polls: agents cache sysUpTime, both clocks drift.
SLACK_SECONDS = 2.0
SLACK_RATIO = 0.02
# Above this share of the line speed a rate is a fault of the counter, not traffic (short bursts from buffers stay below).
PLAUSIBLE_RATIO = 1.1
# Octets of the smallest packet: Ethernet's minimal frame (IEEE 802.3 clause 4.4.2), elsewhere an IPv4 header (RFC 791).
MIN_ETHERNET_FRAME_OCTETS, MIN_PACKET_OCTETS = 64, 20

NARROW, WIDE = 32, 64  # `bits` of a counter cell; 0 is absent
MALFORMED_BITS = 255

_OCTETS = np.array([name.endswith("octets") for name in INTERFACE_COUNTERS])
# Discards are packets that came from elsewhere and errors may be counted twice: no line speed bounds them.
_UNBOUNDED = np.array([name.endswith(("discards", "errors", "protos", "transitions")) for name in INTERFACE_COUNTERS])


class Epoch(Enum):
    """How the later of two polls stands to the earlier one."""

    FIRST = "first"  # there is no earlier one
    SAME = "same"  # the agent ran on (also through the 497-day wrap of sysUpTime)
    AGENT_RESTART = "agent_restart"  # sysUpTime began anew, hrSystemUptime ran on: the counters are the kernel's and go on
    REBOOT = "reboot"  # sysUpTime began anew: the counters did too
    CLOCK_JUMP = "clock_jump"  # neither: the agent's clock moved against ours
    UNTIMED = "untimed"  # the agent tells no sysUpTime: time is ours, and a decrease is never taken for a wrap


@dataclass(frozen=True, slots=True)
class Instant:
    """The clocks of one poll. Ticks are hundredths of a second modulo 2^32."""

    monotonic: float  # ours, when the answer came; seconds
    round_trip: float  # seconds
    sys_up_time: int | None
    hr_system_uptime: int | None = None


def classify(earlier: Instant | None, later: Instant) -> tuple[Epoch, float]:
    """How `later` follows `earlier`, and the seconds between them by the clock that can be trusted (0 for FIRST).

    The slack covers jitter of the answer, agents that cache sysUpTime and the drift of both clocks.
    """
    if earlier is None:
        return Epoch.FIRST, 0.0
    elapsed = later.monotonic - earlier.monotonic
    if earlier.sys_up_time is None or later.sys_up_time is None:
        return Epoch.UNTIMED, elapsed
    slack = SLACK_SECONDS + earlier.round_trip + later.round_trip + SLACK_RATIO * elapsed
    ticked = ticks_between(earlier.sys_up_time, later.sys_up_time)
    if abs(ticked - elapsed) <= slack:
        return Epoch.SAME, ticked if ticked > 0 else elapsed
    if later.sys_up_time / TICKS_PER_SECOND <= elapsed + slack:  # younger than the gap: it began within it
        host_ticked = _host_ticked(earlier, later)
        if host_ticked is not None and abs(host_ticked - elapsed) <= slack:
            return Epoch.AGENT_RESTART, host_ticked or elapsed  # the device's own clock: our jitter costs nothing here either
        return Epoch.REBOOT, elapsed
    return Epoch.CLOCK_JUMP, elapsed


def ticks_between(earlier: int, later: int) -> float:
    """Seconds from one TimeTicks value to a later one, modulo 2^32."""
    return ((later - earlier) % WRAP) / TICKS_PER_SECOND


def _host_ticked(earlier: Instant, later: Instant) -> float | None:
    """Seconds by hrSystemUptime (HOST-RESOURCES-MIB), which an agent's restart leaves alone; None where it is not told."""
    if earlier.hr_system_uptime is None or later.hr_system_uptime is None:
        return None
    return ticks_between(earlier.hr_system_uptime, later.hr_system_uptime)


@dataclass(frozen=True, slots=True, eq=False)
class CounterSample:
    """All counters of one device at one poll, columnar: rows are ports, columns INTERFACE_COUNTERS."""

    values: NDArray[np.uint64]  # (ports, counters)
    bits: NDArray[np.uint8]  # same shape: 0 absent, NARROW, WIDE, MALFORMED_BITS
    discontinuity: NDArray[np.int64]  # (ports,): ifCounterDiscontinuityTime; -1 absent
    if_type: NDArray[np.int64]
    if_high_speed: NDArray[np.int64]  # 1,000,000 bit/s, 0 unknown

    def aligned(self, rows: NDArray[np.intp]) -> "CounterSample":
        """The given rows in the given order; -1 gives a row of absent cells (a port not seen then)."""
        is_known = rows >= 0
        bits = np.where(is_known[:, None], self.bits[rows], 0).astype(np.uint8) if len(self.bits) else _absent(len(rows))
        return CounterSample(
            values=self.values[rows] if len(self.values) else np.zeros((len(rows), len(INTERFACE_COUNTERS)), np.uint64),
            bits=bits,
            discontinuity=np.where(is_known, self.discontinuity[rows], -1) if len(self.bits) else np.full(len(rows), -1),
            if_type=self.if_type[rows] if len(self.bits) else np.zeros(len(rows), np.int64),
            if_high_speed=self.if_high_speed[rows] if len(self.bits) else np.zeros(len(rows), np.int64),
        )


def _absent(ports: int) -> NDArray[np.uint8]:
    return np.zeros((ports, len(INTERFACE_COUNTERS)), np.uint8)


def high_speed(if_speed: int | None, if_high_speed: int | None) -> int:
    """Line speed in 1,000,000 bit/s; 0 = unknown.

    ifSpeed saturates at 2^32 - 1 and then only says "more": ifHighSpeed is the one to use (RFC 2863 section 3.1.5). Where that
    is absent or rounds to 0 (below 500,000 bit/s), ifSpeed is all there is.
    """
    speed = 0 if if_speed is None or if_speed >= WRAP - 1 else if_speed
    if if_high_speed:
        return if_high_speed
    return max(1, round(speed / 1_000_000)) if speed > 0 else 0


def differences(
    earlier: CounterSample, later: CounterSample, epoch: Epoch, seconds: float
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """What every counter of `later` grew by since `earlier`, whose rows are aligned with it (see `CounterSample.aligned`).

    Returns deltas int64 (ports, counters), 0 where invalid, and InvalidReason uint8 of the same shape.
    """
    invalid = np.zeros(later.values.shape, np.uint8)
    if epoch in _WHOLE or seconds <= 0:
        invalid[:] = _WHOLE.get(epoch, InvalidReason.FIRST)
        return np.zeros(later.values.shape, np.int64), _mark_missing(invalid, later)
    limit = _line_limit(later) * seconds  # (ports, counters), infinite where nothing bounds it

    is_decrease = later.values < earlier.values
    is_narrow = later.bits == NARROW
    is_wrap = is_decrease & is_narrow & (epoch is Epoch.SAME) & (later.values < WRAP) & (earlier.values < WRAP)
    growth = np.where(is_wrap, later.values + np.uint64(WRAP) - earlier.values, later.values - earlier.values)
    may_alias = np.where(np.isfinite(limit), limit >= WRAP, is_wrap & ~_UNBOUNDED)
    is_implausible = growth.astype(np.float64) > np.where(_UNBOUNDED, np.inf, PLAUSIBLE_RATIO * limit + 1.0)
    # Counters no line speed bounds: a wrap is believed only when it is small, since 2^31 errors in an interval are no errors.
    is_odd_wrap = is_wrap & _UNBOUNDED & (growth >= WRAP // 2)

    # Later assignments win: from the weakest reason to the strongest.
    invalid[is_implausible | (growth > np.iinfo(np.int64).max)] = InvalidReason.IMPLAUSIBLE
    invalid[is_narrow & ((may_alias & ~_UNBOUNDED) | is_odd_wrap)] = InvalidReason.AMBIGUOUS_WRAP
    invalid[is_decrease & ~is_wrap] = InvalidReason.DECREASED
    is_broken = (earlier.discontinuity != later.discontinuity) & (earlier.discontinuity >= 0) & (later.discontinuity >= 0)
    invalid[is_broken] = InvalidReason.DISCONTINUITY
    invalid[earlier.bits != later.bits] = InvalidReason.FIRST  # not seen, unreadable or of another width before
    _mark_missing(invalid, later)
    deltas = np.where(invalid == InvalidReason.VALID, growth, 0).astype(np.int64)
    return deltas, invalid


def _mark_missing(invalid: NDArray[np.uint8], sample: CounterSample) -> NDArray[np.uint8]:
    invalid[sample.bits == MALFORMED_BITS] = InvalidReason.MALFORMED
    invalid[sample.bits == 0] = InvalidReason.ABSENT
    return invalid


# Epochs in which no counter of the device can be compared.
_WHOLE = {
    Epoch.FIRST: InvalidReason.FIRST,
    Epoch.REBOOT: InvalidReason.RESTART,
    Epoch.CLOCK_JUMP: InvalidReason.CLOCK_JUMP,
}


def line_octets(sample: CounterSample) -> NDArray[np.float64]:
    """(ports,): octets a second that each line can carry; infinite where that is not known."""
    octets = sample.if_high_speed.astype(np.float64) * 125_000.0
    octets[(sample.if_high_speed <= 0) | np.isin(sample.if_type, VIRTUAL_IF_TYPES)] = np.inf
    return octets


def smallest_packets(sample: CounterSample) -> NDArray[np.int64]:
    """(ports,): octets of the smallest packet of each."""
    return np.where(sample.if_type == ETHERNET_CSMACD, MIN_ETHERNET_FRAME_OCTETS, MIN_PACKET_OCTETS)


def unbounded() -> NDArray[np.bool_]:
    """(counters,): those that no line speed bounds."""
    return _UNBOUNDED.copy()


def _line_limit(sample: CounterSample) -> NDArray[np.float64]:
    """Units per second that the line can carry at most: octets, or the smallest packets; infinite where it is not known."""
    octets = line_octets(sample)
    limit = np.where(_OCTETS[None, :], octets[:, None], (octets / smallest_packets(sample))[:, None])
    limit[:, _UNBOUNDED] = np.inf
    return np.asarray(limit, np.float64)

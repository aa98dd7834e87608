"""What the counters of many devices grew by, all at once: the same arithmetic as `counters.differences`, where nothing is in doubt. Pure, numpy.

Owns telling which devices are plain: no counter went back, none is above its line, none began anew. Refuses all others, whom
`counters.differences` judges one by one, and every reason.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netmote.records.interface import INTERFACE_COUNTERS
from netmote.snmp.counters import NARROW, PLAUSIBLE_RATIO, WIDE, CounterSample, line_octets, smallest_packets, unbounded

_OCTETS: Final = slice(0, 2)  # of INTERFACE_COUNTERS
_PACKETS: Final = slice(2, 8)
_UCAST: Final = slice(2, 4)
_TOP_BIT: Final = np.uint64(63)
assert all(name.endswith("octets") for name in INTERFACE_COUNTERS[_OCTETS])
assert all(name.endswith("pkts") for name in INTERFACE_COUNTERS[_PACKETS])
assert all("ucast" in name for name in INTERFACE_COUNTERS[_UCAST])
assert unbounded()[8:].all()


class Growth(NamedTuple):
    """Of one device."""

    deltas: NDArray[np.int64]  # (ports, counters), in the order of the reading
    has_moved: bool  # any counter
    packets: int  # the most that a port counted of unicast, in or out
    has_port_up: bool


def line_rates(sample: CounterSample) -> NDArray[np.float64]:
    """(2, ports): octets and packets a second that the lines can carry at most; infinite where that is not known."""
    octets = line_octets(sample)
    return np.stack([octets, octets / smallest_packets(sample)])


def is_plain_kind(bits: NDArray[np.uint8]) -> bool:
    """Whether counters of these widths can be plain: what a line bounds is 64 bits wide, or absent; no cell is malformed."""
    return bool(np.isin(bits[:, :8], (0, WIDE)).all() and np.isin(bits[:, 8:], (0, NARROW, WIDE)).all())


def grown(
    earlier: NDArray[np.uint64], later: NDArray[np.uint64], rates: NDArray[np.float64], seconds: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Deltas of devices alike: counters (devices, ports, counters), `rates` (devices, 2, ports) of `line_rates`, `seconds` (devices,).

    Returns deltas of the same shape, and (devices,) each: which of them are plain, which moved, and their packets as in Growth.
    """
    devices = len(later)
    growth = later - earlier
    flat = growth.reshape(devices, -1)
    all_bits = np.bitwise_or.reduce(flat, axis=1)
    is_plain = (all_bits >> _TOP_BIT) == 0  # beyond int64
    decreased = later < earlier
    if decreased.any():
        is_plain &= ~decreased.reshape(devices, -1).any(axis=1)
    # In the order of `counters.differences`, so that the last bit is the same.
    limits = PLAUSIBLE_RATIO * (rates * seconds[:, None, None]) + 1.0
    for columns, limit in ((_OCTETS, limits[:, 0]), (_PACKETS, limits[:, 1])):
        is_above = growth[..., columns].max(axis=2) > limit
        if is_above.any():
            is_plain &= ~is_above.any(axis=1)
    deltas = growth.view(np.int64)
    packets = deltas[..., _UCAST].max(axis=(1, 2), initial=0)
    return deltas, is_plain, all_bits != 0, packets

"""What the kernel's clock discipline says of this machine's time: whether something keeps it, and how far off it is held to be.

Read from adjtimex(2), which changes nothing with `modes` 0. A sandbox may refuse that call (systemd's ProtectClock= does): then
systemd-timesyncd's mark is looked for, which says yes or nothing. What is not known is None, never a guess.
"""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# linux/timex.h
_STA_UNSYNC, _STA_NANO = 0x0040, 0x2000
_TIMESYNC_MARK = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd.service(8), "Files"


class Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("fraction", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    )


@dataclass(frozen=True, slots=True)
class KernelClock:
    """The discipline's own estimates."""

    offset_seconds: float | None  # local minus reference; None while nothing keeps the clock
    is_synchronised: bool | None


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _adjtimex(state: Timex) -> int:
    if _library().adjtimex(ctypes.byref(state)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return 0


def read_kernel_clock(adjtimex: Callable[[Timex], int] = _adjtimex, *, mark: Path = _TIMESYNC_MARK) -> KernelClock:
    """The present state. `adjtimex` fills the structure it is given, or raises OSError."""
    state = Timex()
    try:
        adjtimex(state)
    except (OSError, AttributeError):  # refused, or a C library without it
        return KernelClock(None, True if mark.exists() else None)
    if state.status & _STA_UNSYNC:
        return KernelClock(None, is_synchronised=False)
    # The kernel keeps what is still to be added to the local clock (ntp_adjtime: "phase offset"): the other sign of ours.
    return KernelClock(-state.offset / (1e9 if state.status & _STA_NANO else 1e6), is_synchronised=True)

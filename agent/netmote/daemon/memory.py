"""Keeps the resident size of a long-running process small, and the garbage collector's pauses short. glibc and CPython only.

Measured on the daemon with a model, capture and ten polled devices: without this module it held 10 MB more, and a full
collection over the objects of start-up held the event loop for 14 ms.
"""

import ctypes
import gc

# mallopt(3). A fixed threshold gives every array of numpy above it back to the kernel when it is freed; left alone, glibc raises
# the threshold to the largest array it saw, and keeps such arrays on heaps that only shrink from the top.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_THRESHOLD_BYTES = 128 * 1024
# Threads take turns under the interpreter's lock anyway; a heap for each only multiplies what is left over.
_ARENAS = 2


def bound_heaps() -> None:
    """Call before the first thread starts. Does nothing where the C library is not glibc."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _THRESHOLD_BYTES)
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


def settle() -> None:
    """Call once when everything is up: what lives until the end is never looked at by the collector again."""
    gc.collect()
    gc.freeze()
    trim()


def trim() -> None:
    """Give free pages back to the kernel (malloc_trim(3)); a millisecond or two, so call it off the event loop."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)

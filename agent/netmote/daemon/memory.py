"""Keeps the resident size of a long-running process small, and the garbage collector's pauses short. glibc and CPython only.

Measured on the daemon with a model, capture and ten polled devices: without this module it held 10 MB more, and a full
collection over the objects of start-up held the event loop for 14 ms.
"""

import ctypes
import gc

# mallopt(3). A fixed threshold gives every array of numpy above it back to the kernel when it is freed; left alone, glibc raises
# the threshold to the largest array it saw, and keeps such arrays on heaps that only shrink from the top. What is mapped anew is
# faulted in anew: at 128 KiB for both bounds, where most columns of a block of packets lie above, decoding and metering cost 630 ns
# a packet instead of 240, and a ring read at full rate lost packets. At these the heap keeps the memory of one block for the next,
# and the daemon holds no more (footprint bench: 121 MB either way). To trim at 1 MiB costs 20 to 60 ns a packet with the default
# ring. A ring of 64 MB is read in blocks five times as large: trimmed at 2 MiB they fault some 1,100 pages anew each, and a packet
# costs 160 ns instead of 122; so who gives a ring that much memory gives its blocks an eighth of it, 8 MiB at most.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MMAP_BYTES, _TRIM_BYTES, _MOST_TRIM_BYTES = 1 << 20, 2 << 20, 8 << 20
# Threads take turns under the interpreter's lock anyway; a heap for each only multiplies what is left over. One costs no time.
_ARENAS = 1


def bound_heaps(ring_bytes: int = 0) -> None:
    """Call before the first thread starts, and again once `ring_bytes` of a capture ring are known. Without glibc, nothing is done."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, max(_TRIM_BYTES, min(ring_bytes // 8, _MOST_TRIM_BYTES)))
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


def settle() -> None:
    """What lives by now is never looked at by the collector again. Takes 60 ms over the imports: call it before anything waits."""
    gc.collect()
    gc.freeze()
    trim()


def trim() -> None:
    """Give free pages back to the kernel (malloc_trim(3)); a millisecond or two, so call it off the event loop."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)

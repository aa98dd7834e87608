"""Which file this is, as the filesystem knows it: a copy under the same name is another one. Linux only, like all of netmote."""

import ctypes
import os
import struct
from pathlib import Path

# statx(2), linux/stat.h: the time of birth, which Python's os.stat does not tell.
_AT_FDCWD, _STATX_BTIME = -100, 0x800
_SIZE, _MASK_AT, _BTIME_AT = 256, 0, 80


def file_identity(path: Path) -> dict[str, int]:
    """Inode number, and where the filesystem keeps it the time of birth in ns: a deleted file's inode number is soon used again.

    Raises OSError when there is no such file.
    """
    identity = {"inode": path.stat().st_ino}
    born_ns = _born_ns(path)
    return identity if born_ns is None else {**identity, "born_ns": born_ns}


def _born_ns(path: Path) -> int | None:
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "statx"):  # a C library older than glibc 2.28
        return None
    answer = ctypes.create_string_buffer(_SIZE)
    if library.statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, answer) < 0:  # refused by a sandbox: not known
        return None
    (mask,) = struct.unpack_from("=I", answer, _MASK_AT)
    seconds, nanoseconds = struct.unpack_from("=qI", answer, _BTIME_AT)
    return seconds * 1_000_000_000 + nanoseconds if mask & _STATX_BTIME else None

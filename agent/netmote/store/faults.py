"""Errors of SQLite and of the filesystem, translated at the border of the room into what the caller must do."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from netmote.errors import Permanent, Retryable


class StoreFull(Retryable):
    """No room: the free-space floor, the file's quota or the disk itself. Nothing of the batch was stored."""


class StoreDamaged(Retryable):
    """The file is not a sound database any more. Opening the store again sets it aside and begins a new one."""


class StoreInUse(Retryable):
    """Another process holds the state directory; the message names its pid."""


# Primary result codes (https://www.sqlite.org/rescode.html): the low byte of an extended one.
_FULL = {sqlite3.SQLITE_FULL}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_DAMAGED_EXTENDED = {sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
_RETRYABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
}
# A full disk shows itself as an I/O error where SQLite grows its shared memory or shortens a file.
_FULL_EXTENDED = {sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP}


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the error says that the file is no sound database, rather than that it cannot be reached just now."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF in _DAMAGED or code in _DAMAGED_EXTENDED)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise our errors for SQLite's and the filesystem's. A programming error (a constraint, a wrong statement) stays a bug."""
    try:
        yield
    except OSError as error:
        message = f"{what}: {error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(message) from error
        raise Retryable(message) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & 0xFF
        message = f"{what}: {error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
        if primary in _FULL or code in _FULL_EXTENDED:
            raise StoreFull(message) from error
        if is_damage(error):
            raise StoreDamaged(message) from error
        if primary in _RETRYABLE:
            raise Retryable(message) from error
        if primary == sqlite3.SQLITE_TOOBIG:
            raise Permanent(message) from error
        raise

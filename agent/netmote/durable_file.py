"""A small file replaced whole or not at all, and there after a power cut. Blocks for as long as the disk takes."""

import os
from pathlib import Path


def replace_durably(path: Path, content: bytes, *, mode: int = 0o666, owned_like: Path | None = None) -> None:
    """Put `content` in the place of the file at `path`; on return it is on the disk. Raises OSError; then the old file stands.

    The new one is written beside it as `<name>.new`. `mode` is cut by the umask. `owned_like`: when root writes, the file belongs to
    whoever owns that one, so that a command does not take it from the daemon's user.
    """
    beside = path.with_name(path.name + ".new")
    try:
        # Never one that lies there: its mode and its owner would be somebody else's.
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            if owned_like is not None and os.geteuid() == 0:
                owner = owned_like.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to the disk: without it a power cut can take a new name, or give an old one back."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

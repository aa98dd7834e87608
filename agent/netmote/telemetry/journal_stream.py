"""Whether a descriptor of this process leads to the systemd journal, so that native fields may be written beside it."""

import os


def leads_to_journal(descriptor: int, journal_stream: str) -> bool:
    """Compare a descriptor with $JOURNAL_STREAM (`device:inode`, systemd.exec(5)). False when it is empty or malformed."""
    device, _, inode = journal_stream.partition(":")
    if not (device.isdigit() and inode.isdigit()):
        return False
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == (int(device), int(inode))

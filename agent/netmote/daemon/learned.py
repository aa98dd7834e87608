"""What the detectors learned (baselines, calibration), kept in a file of its own.

It is large and can be learned anew, so it is not part of the ledger: written at a clean stop and every ten minutes, replaced
atomically, and put aside when it cannot be read.
"""

import errno
import hashlib
import logging
import os
from pathlib import Path

from netmote.analysis.analysis import Analysis
from netmote.durable_file import replace_durably

log = logging.getLogger(__name__)

_MAGIC = b"netmote-learned-1\n"
_DIGEST_BYTES = 32
MAX_BYTES = 256 * 2**20


class LearnedFile:
    """`learned.bin` of the state directory: magic, SHA-256 of the body, body."""

    def __init__(self, path: Path, *, free_space_floor: int = 0) -> None:
        """Not written where it would leave less free space than `free_space_floor`: that room is for alerts."""
        self.path = path
        self._free_space_floor = free_space_floor

    def load_into(self, analysis: Analysis) -> None:
        """Restore what was learned; without a sound file the detectors begin cold, which is said in the log."""
        try:
            if self.path.stat().st_size > MAX_BYTES:
                raise ValueError(f"is larger than {MAX_BYTES} bytes")
            content = self.path.read_bytes()
            body = content[len(_MAGIC) + _DIGEST_BYTES :]
            if not content.startswith(_MAGIC) or hashlib.sha256(body).digest() != content[len(_MAGIC) :][:_DIGEST_BYTES]:
                raise ValueError("does not have the checksum it was written with")
            analysis.restore_learned(body)
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("what was learned cannot be read, the detectors begin cold: %s", error)
        except Exception as error:  # noqa: BLE001 (the file may be of another version: whatever it does to us, we begin without it)
            log.warning("what was learned is lost, the detectors begin cold: %s: %s %s", self.path, type(error).__name__, error)
            self._put_aside()

    def save(self, body: bytes) -> None:
        """Write atomically. A full disk costs only this copy."""
        try:
            status = os.statvfs(self.path.parent)
            if status.f_bavail * status.f_frsize < len(body) + self._free_space_floor:
                raise OSError(errno.ENOSPC, "the room that is left is for alerts")
            replace_durably(self.path, _MAGIC + hashlib.sha256(body).digest() + body)
        except OSError as error:
            log.warning("what was learned is not saved: %s", error)

    def _put_aside(self) -> None:
        try:
            self.path.replace(self.path.with_suffix(".bad"))
        except OSError:
            log.warning("%s cannot be put aside", self.path)

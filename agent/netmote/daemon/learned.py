"""What the detectors learned (baselines, calibration), kept in a file of its own.

It is large and can be learned anew, so it is not part of the ledger: written at a clean stop and every ten minutes, replaced
atomically, and put aside when it cannot be read.
"""

import hashlib
import logging
import os
from pathlib import Path

from netmote.analysis.analysis import Analysis

log = logging.getLogger(__name__)

_MAGIC = b"netmote-learned-1\n"
_DIGEST_BYTES = 32
MAX_BYTES = 256 * 2**20


class LearnedFile:
    """`learned.bin` of the state directory: magic, SHA-256 of the body, body."""

    def __init__(self, path: Path) -> None:
        self.path = path

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
        except (OSError, ValueError) as error:
            log.warning("what was learned is lost, the detectors begin cold: %s %s", self.path, error)
            self._put_aside()

    def save_from(self, analysis: Analysis) -> None:
        """Write atomically. A full disk costs only this copy."""
        body = analysis.learned()
        beside = self.path.with_suffix(".new")
        try:
            with beside.open("wb") as stream:
                stream.write(_MAGIC + hashlib.sha256(body).digest() + body)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(self.path)
        except OSError as error:
            log.warning("what was learned is not saved: %s", error)
            beside.unlink(missing_ok=True)

    def _put_aside(self) -> None:
        try:
            self.path.replace(self.path.with_suffix(".bad"))
        except OSError:
            log.warning("%s cannot be put aside", self.path)

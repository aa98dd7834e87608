"""A small file beside the ledger that says which ledger belongs here: by it an older copy, or one from elsewhere, is known.

`(ledger_epoch, seq)` must never name two alerts. A ledger that is put back from a backup would give its last numbers a second
time, so at each start it is held against this mark; when they disagree, the epoch is renewed (docs/decisions/0006). The mark holds

    epoch      of the ledger                     another: a ledger from before a reflash
    openings   token(s) of the last opening,     not among them: a copy from an earlier run
               which the ledger holds as well
    seq        a number surely given             beyond the ledger's last: a copy from earlier in the same run
    file       of ledger.db (`file_identity`)    another: the file was copied
    machine    hashes of what tells machines apart: another: a cloned card in a second machine

Refuses to decide what is done about it, and never keeps a start from succeeding: a mark that cannot be written stays as it was.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from netmote.durable_file import replace_durably
from netmote.store.file_identity import file_identity

MARK_NAME = "ledger.mark"

# World-readable, so that the daemon's user and root see the same; a fact that is absent is not compared. machine-id(5);
# the serial number of a board with a device tree (https://www.devicetree.org, "serial-number" of the root node).
_MACHINE_FACTS = {
    "machine_id": Path("/etc/machine-id"),
    "board_serial": Path("/sys/firmware/devicetree/base/serial-number"),
}


@dataclass(frozen=True, slots=True)
class LedgerIdentity:
    """What the ledger says of itself."""

    epoch: str
    opening: str  # "" when it was never opened with a mark: it is new, saved from damage, or of version 1
    last_seq: int


def machine_facts(sources: Mapping[str, Path] = _MACHINE_FACTS) -> dict[str, str]:
    """Hashes of what tells this machine from others, by name; what cannot be read is left out."""
    facts = {}
    for name, path in sources.items():
        try:
            octets = path.read_bytes().strip(b"\0\n ")
        except OSError:  # no such thing on this machine
            continue
        if octets and octets != b"uninitialized":
            # machine-id(5) asks that the id itself be kept confidential.
            facts[name] = hashlib.sha256(b"netmote " + octets).hexdigest()[:16]
    return facts


class LedgerMark:
    """The file. Values given to `write` are remembered, so that `advance` only moves the number."""

    def __init__(self, state_dir: Path, ledger: Path, machine: Mapping[str, str]) -> None:
        self._path, self._ledger, self._machine = state_dir / MARK_NAME, ledger, dict(machine)
        self._identity: tuple[str, tuple[str, ...]] | None = None
        self._written_seq = -1

    def disagreement(self, ledger: LedgerIdentity) -> str | None:
        """Why this ledger cannot be the one that was used here last; None when it is, or when it is new."""
        if not ledger.opening:
            return None
        try:
            mark = json.loads(self._path.read_bytes())
            checks = (
                (mark["epoch"] != ledger.epoch, "it is another ledger than the one used here last"),
                (ledger.opening not in mark["openings"], "it is a copy from an earlier run"),
                (ledger.last_seq < int(mark["seq"]), f"it ends at number {ledger.last_seq}, but {mark['seq']} was given already"),
                (bool(_differing(mark["file"], file_identity(self._ledger))), "the file is a copy"),
                (bool(_differing(mark["machine"], self._machine)), "it was used on another machine"),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"{MARK_NAME} cannot be read ({type(error).__name__}): the ledger may come from elsewhere"
        return next((reason for is_so, reason in checks if is_so), None)

    def write(self, epoch: str, openings: tuple[str, ...], seq: int) -> bool:
        """Replace the mark, durably. False when the disk does not let us: then the old one still stands."""
        self._identity = epoch, openings
        document = {"epoch": epoch, "openings": list(openings), "seq": seq, "machine": self._machine}
        try:
            document["file"] = file_identity(self._ledger)
            replace_durably(self._path, json.dumps(document).encode() + b"\n", mode=0o640, owned_like=self._ledger)
        except OSError:
            # A full or read-only disk: an older mark is still true (the number in it was given), it only sees less.
            self._written_seq = -1
            return False
        self._written_seq = seq
        return True

    def advance(self, seq: int) -> bool:
        """Note that this number was given, if it is news. False as `write`, and before the first `write`."""
        if self._identity is None:
            return False
        return seq == self._written_seq or self.write(*self._identity, seq)


def _differing(known: Mapping[str, object], present: Mapping[str, object]) -> list[str]:
    """Names of facts known then and now that are not the same."""
    return [name for name, value in present.items() if known.get(name, value) != value]

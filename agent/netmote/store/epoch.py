"""The epoch under which the ledger goes on: its own, or a new one when the mark beside it says that its numbers may have been given already."""

import asyncio
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from netmote.store import alert_ledger, delivery_ledger
from netmote.store.connection import Connection
from netmote.store.ledger_mark import LedgerMark
from netmote.store.ledger_schema import LEDGER_NAME


class Epoch:
    """Of one state directory. `settle` at each opening, `advance` as numbers are given."""

    def __init__(self, state_dir: Path, machine: Callable[[], Mapping[str, str]]) -> None:
        self._state_dir, self._machine = state_dir, machine
        self._mark: LedgerMark | None = None
        self._opening = ""
        self.value = ""
        self.renewal = ""  # why it was renewed at the last opening; empty when it was not

    async def settle(self, connection: Connection) -> None:
        """Hold the ledger against its mark; afterwards both know this opening."""
        ledger = await connection.read(alert_ledger.ledger_identity)
        mark = LedgerMark(self._state_dir, self._state_dir / LEDGER_NAME, self._machine())
        # The system's randomness on purpose: two openings must never draw alike, not even from one seed.
        opening, disagreement = secrets.token_hex(8), mark.disagreement(ledger)
        self._mark, self.value, self._opening = mark, ledger.epoch, ledger.opening

        def settle(connection: sqlite3.Connection) -> str:
            epoch = ledger.epoch
            if disagreement is not None:
                epoch = alert_ledger.renew_epoch(connection)
                for sink in delivery_ledger.all_sinks(connection):
                    delivery_ledger.withhold_settled(connection, sink)
            alert_ledger.note_opening(connection, opening)
            return epoch

        # First the mark with both tokens, then the ledger, then the mark with the new one: a crash in between is no disagreement.
        both = (ledger.opening, opening)
        if disagreement is None and not await asyncio.to_thread(mark.write, ledger.epoch, both, ledger.last_seq):
            return
        # A new epoch is in the ledger before the mark knows of it: after a crash in between they disagree again.
        self.value = await connection.write(settle)
        self.renewal, self._opening = disagreement or "", opening
        await asyncio.to_thread(mark.write, self.value, (opening,), ledger.last_seq)

    async def advance(self, seq: int) -> None:
        """Note that this number was given."""
        if self._mark is not None:
            await asyncio.to_thread(self._mark.advance, seq)

    async def moved(self, seq: int) -> None:
        """The ledger is another file now, and the same ledger."""
        if self._mark is not None:
            await asyncio.to_thread(self._mark.write, self.value, (self._opening,), seq)

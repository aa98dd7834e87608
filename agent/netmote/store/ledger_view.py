"""The ledger for the command line: synchronous, read-only, whether the daemon runs or not.

Never locks, never checkpoints, never writes. On a live ledger it reads one instant of the log the daemon is writing; on
a read-only directory, where SQLite cannot make its shared memory, it reads the file as it stands, which is whole when
the daemon was stopped in good order.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from netmote.alerts.alert import AlertState, Committed, Silence
from netmote.clock import Clock, SystemClock
from netmote.errors import Retryable
from netmote.store import alert_ledger, delivery_ledger, silence_rows
from netmote.store.alert_rows import RowsRead
from netmote.store.catalog import log_of
from netmote.store.connection import connect_reader
from netmote.store.delivery_ledger import SinkOutbox
from netmote.store.faults import translated
from netmote.store.ledger_schema import LEDGER_NAME
from netmote.store.position import Gap

T = TypeVar("T")


class LedgerView:
    """Opens the ledger with its first question; `close` when done. `damaged` counts the rows that failed their check."""

    def __init__(self, state_dir: Path, *, clock: Clock | None = None) -> None:
        self._path = state_dir / LEDGER_NAME
        self._clock = clock or SystemClock()
        self._connection: sqlite3.Connection | None = None
        self._damaged: set[int] = set()

    @property
    def exists(self) -> bool:
        """Whether there is a ledger at all."""
        return self._path.is_file()

    @property
    def damaged(self) -> int:
        """Rows met so far that failed their check and were left out."""
        return len(self._damaged)

    def alerts(self, *, state: AlertState | None = None, since_ns: int | None = None, limit: int = 100) -> list[Committed]:
        """The latest revision of each alert, newest first; `since_ns` is event time last seen."""
        return self._sound(
            self._ask(lambda connection: alert_ledger.recent_rows(connection, limit, state=state, since_ns=since_ns))
        )

    def alert(self, alert_id_or_prefix: str) -> list[Committed]:
        """All revisions of the alerts whose id begins so, in order of id and revision."""
        return self._sound(self._ask(lambda connection: alert_ledger.revision_rows(connection, alert_id_or_prefix)))

    def silences(self) -> list[Silence]:
        """Every stored silence, ended ones too."""
        return self._ask(silence_rows.silences)

    def outbox(self) -> list[SinkOutbox]:
        """The books of every sink."""
        return self._ask(lambda connection: delivery_ledger.outbox(connection, self._clock.now_ns()))

    def gaps(self) -> list[Gap]:
        """Every gap of the telemetry that was met."""
        return self._ask(alert_ledger.gaps)

    @property
    def ledger_epoch(self) -> str:
        """Random hexadecimal per ledger."""
        return self._ask(alert_ledger.ledger_epoch)

    def close(self) -> None:
        """Safe without a question asked, safe twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _sound(self, rows: RowsRead) -> list[Committed]:
        self._damaged.update(rows.damaged)
        return rows.sound

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        with translated(LEDGER_NAME):
            connection = self._open()
            connection.execute("BEGIN")
            try:
                return question(connection)
            finally:
                connection.execute("ROLLBACK")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        if not self.exists:
            raise Retryable(f"there is no ledger at {self._path}")
        connection = self._connect_somehow()
        try:
            alert_ledger.require_current(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect_somehow(self) -> sqlite3.Connection:
        connection = connect_reader(self._path)
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError:
            connection.close()
            log = log_of(self._path)
            if log.exists() and log.stat().st_size:
                raise  # the file alone would be an older state, and presented as the present one
            return connect_reader(self._path, immutable=True)
        except BaseException:
            connection.close()
            raise
        return connection

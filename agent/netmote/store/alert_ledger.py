"""The alert ledger's statements: alerts and their checkpoint in, alerts out. Plain functions of a connection, one transaction each.

Refuses: to decide what is announced, to know a sink's protocol, to open files.
"""

import secrets
import sqlite3
import zlib
from collections.abc import Sequence

from netmote.alerts.alert import Alert, AlertState, Committed
from netmote.errors import Permanent, Retryable
from netmote.store.alert_rows import SELECT_ROW, RowsRead, insert_row, read_rows
from netmote.store.ledger_mark import LedgerIdentity
from netmote.store.ledger_schema import LEDGER_MIGRATIONS
from netmote.store.migrations import migrate, schema_version
from netmote.store.position import Checkpoint, Gap, Position

_NO_NEWER_REVISION = "NOT EXISTS (SELECT 1 FROM alert_revision n WHERE n.alert_id = r.alert_id AND n.revision > r.revision)"


def begin_ledger(connection: sqlite3.Connection, now_ns: int) -> str:
    """Bring the schema up and return the epoch: random per ledger, so that a restored copy counts as another sensor's life."""
    migrate(connection, LEDGER_MIGRATIONS, now_ns)
    # The system's randomness on purpose: two ledgers must never draw alike, not even from one seed.
    connection.execute(
        "INSERT INTO ledger(only, epoch, created_total, running_ns) VALUES(1, ?, 0, 0) ON CONFLICT DO NOTHING",
        (secrets.token_hex(8),),
    )
    return ledger_epoch(connection)


def require_current(connection: sqlite3.Connection) -> None:
    """For who only reads a ledger: refuse one of another version.

    Raises Retryable when it is of an older netmote (the daemon brings it up when it starts), Permanent when of a newer one.
    """
    present, known = schema_version(connection), len(LEDGER_MIGRATIONS)
    if present < known:
        raise Retryable(
            f"the ledger is of an older netmote (schema {present}, not {known}): the daemon brings it up when it starts"
        )
    if present > known:
        raise Permanent(f"the ledger is of a newer netmote (schema {present}, not {known})")


def ledger_epoch(connection: sqlite3.Connection) -> str:
    """Random hexadecimal, drawn when the ledger was begun."""
    (epoch,) = connection.execute("SELECT epoch FROM ledger").fetchone()
    return str(epoch)


def last_seq(connection: sqlite3.Connection) -> int:
    """The last number ever given in this ledger; 0 before the first."""
    (last,) = connection.execute("SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'alert_revision'), 0)").fetchone()
    return int(last)


def ledger_identity(connection: sqlite3.Connection) -> LedgerIdentity:
    """What is held against the mark beside the file."""
    epoch, opening = connection.execute("SELECT epoch, opening FROM ledger").fetchone()
    return LedgerIdentity(str(epoch), str(opening), last_seq(connection))


def note_opening(connection: sqlite3.Connection, opening: str) -> None:
    """Write down the token of this opening."""
    connection.execute("UPDATE ledger SET opening = ?", (opening,))


def renew_epoch(connection: sqlite3.Connection) -> str:
    """Begin another epoch; numbers go on. Whatever is withheld under the old one is no longer noted: the caller notes it anew."""
    epoch = secrets.token_hex(8)
    connection.execute("UPDATE ledger SET epoch = ?", (epoch,))
    connection.execute("DELETE FROM withheld")
    connection.execute("DELETE FROM withheld_floor")
    return epoch


def running_ns(connection: sqlite3.Connection) -> int:
    """Nanoseconds the agent has run under this ledger, as last written down."""
    (running,) = connection.execute("SELECT running_ns FROM ledger").fetchone()
    return int(running)


def note_running(connection: sqlite3.Connection, running: int) -> None:
    """Write down how long the agent has run; it never goes back."""
    connection.execute("UPDATE ledger SET running_ns = max(running_ns, ?)", (running,))


def commit_alerts(
    connection: sqlite3.Connection,
    alerts: Sequence[Alert],
    checkpoint: Checkpoint | None,
    *,
    sensor: str,
    now_ns: int,
    running: int,
    is_clock_synchronised: bool | None = None,
) -> list[Committed]:
    """Store revisions and the checkpoint they came with. A revision already stored keeps its first number and time."""
    epoch = ledger_epoch(connection)
    committed, created = [], 0
    for alert in alerts:
        found = connection.execute(
            "SELECT seq, sensor, committed_at_ns, is_clock_synchronised FROM alert_revision WHERE alert_id = ? AND revision = ?",
            (alert.alert_id, alert.revision),
        ).fetchone()
        if found is None:
            seq = insert_row(
                connection,
                alert,
                sensor=sensor,
                committed_at_ns=now_ns,
                running_ns=running,
                is_clock_synchronised=is_clock_synchronised,
            )
            found = (seq, sensor, now_ns, is_clock_synchronised)
            created += not alert.is_silenced
        seq, its_sensor, committed_at_ns, synchronised = found
        committed.append(
            Committed(its_sensor, epoch, seq, committed_at_ns, alert, None if synchronised is None else bool(synchronised))
        )
    connection.execute("UPDATE ledger SET created_total = created_total + ?, running_ns = max(running_ns, ?)", (created, running))
    if checkpoint is not None:
        write_checkpoint(connection, checkpoint)
    return committed


def write_checkpoint(connection: sqlite3.Connection, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint, inside the caller's transaction."""
    position = checkpoint.position
    connection.execute(
        "INSERT OR REPLACE INTO checkpoint(only, file_uuid, batch_id, event_time_ns, state, crc) VALUES(1, ?, ?, ?, ?, ?)",
        (
            None if position is None else position.file_uuid,
            None if position is None else position.batch_id,
            checkpoint.event_time_ns,
            checkpoint.state,
            checkpoint_crc(checkpoint),
        ),
    )


def read_checkpoint(connection: sqlite3.Connection) -> tuple[Checkpoint | None, bool]:
    """The checkpoint, and whether one was there but failed its check (then None: analysis starts cold)."""
    row = connection.execute("SELECT file_uuid, batch_id, event_time_ns, state, crc FROM checkpoint").fetchone()
    if row is None:
        return None, False
    uuid, batch_id, event_time_ns, state, crc = row
    if not isinstance(state, bytes):  # damage can change a value's type
        return None, True
    checkpoint = Checkpoint(None if uuid is None else Position(uuid, batch_id), event_time_ns, state)
    return (checkpoint, False) if checkpoint_crc(checkpoint) == crc else (None, True)


def checkpoint_crc(checkpoint: Checkpoint) -> int:
    """CRC-32 over all of a checkpoint."""
    return zlib.crc32(checkpoint.state, zlib.crc32(f"{checkpoint.position}|{checkpoint.event_time_ns}|".encode()))


def active_rows(connection: sqlite3.Connection) -> RowsRead:
    """The latest revision of each alert that is firing, oldest number first."""
    query = SELECT_ROW + f"WHERE r.state = ? AND {_NO_NEWER_REVISION} ORDER BY r.seq"
    return read_rows(connection.execute(query, (AlertState.FIRING.value,)), ledger_epoch(connection))


def recent_rows(
    connection: sqlite3.Connection, limit: int, *, state: AlertState | None = None, since_ns: int | None = None
) -> RowsRead:
    """The latest revision of each alert, newest number first; `since_ns` is event time last seen."""
    query = SELECT_ROW + (
        f"WHERE {_NO_NEWER_REVISION} AND (:state IS NULL OR r.state = :state) AND (:since IS NULL OR r.last_seen_ns >= :since)"
        " ORDER BY r.seq DESC LIMIT :limit"
    )
    parameters = {"state": None if state is None else state.value, "since": since_ns, "limit": limit}
    return read_rows(connection.execute(query, parameters), ledger_epoch(connection))


def revision_rows(connection: sqlite3.Connection, alert_id_prefix: str) -> RowsRead:
    """All revisions of the alerts whose id begins so, in order of id and revision."""
    # A range instead of LIKE: no wildcard has to be escaped, and the index serves it.
    query = SELECT_ROW + "WHERE r.alert_id >= ? AND r.alert_id < ? ORDER BY r.alert_id, r.revision"
    return read_rows(connection.execute(query, (alert_id_prefix, alert_id_prefix + "\U0010ffff")), ledger_epoch(connection))


def add_gap(connection: sqlite3.Connection, gap: Gap) -> None:
    """Write a gap down once, however often it is met."""
    connection.execute(
        "INSERT INTO telemetry_gap(file_uuid, batch_id, detected_at_ns, reason) VALUES(?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (gap.position.file_uuid, gap.position.batch_id, gap.detected_at_ns, gap.reason),
    )


def gaps(connection: sqlite3.Connection) -> list[Gap]:
    """Every gap written down, oldest first."""
    rows = connection.execute("SELECT file_uuid, batch_id, detected_at_ns, reason FROM telemetry_gap ORDER BY detected_at_ns")
    return [Gap(Position(uuid, batch_id), detected_at_ns, reason) for uuid, batch_id, detected_at_ns, reason in rows]

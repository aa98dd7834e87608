"""Alert revisions to and from rows of the ledger, each guarded by a CRC over everything that is read back."""

import sqlite3
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from netmote.alerts.alert import Alert, Committed
from netmote.alerts.encoding import decode_alert, encode_alert
from netmote.store.withheld import EVERY_SINK, SILENCED, withhold

# Every query that reads rows begins so; `decode_row` takes them apart.
SELECT_ROW = (
    "SELECT r.seq, r.sensor, r.alert_id, r.revision, r.committed_at_ns, r.is_clock_synchronised, r.body, r.crc"
    " FROM alert_revision r "
)

AlertRow = tuple[int, str | bytes | None, str | bytes | None, int, int, int | None, bytes | str | None, int]


@dataclass(slots=True)
class RowsRead:
    """What a query gave: the sound rows in its order, and the numbers of those that failed their check."""

    sound: list[Committed] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)  # seq


def row_crc(
    seq: int, *, sensor: str, alert_id: str, revision: int, committed_at_ns: int, is_clock_synchronised: bool | None, body: bytes
) -> int:
    """CRC-32 over what makes the row: a flipped bit in the number or the time is found as well as one in the body.

    A row that knows nothing of the clock has the check it had before there was anything to know.
    """
    clock = "" if is_clock_synchronised is None else f"{int(is_clock_synchronised)}|"
    head = f"{seq}|{sensor}|{alert_id}|{revision}|{committed_at_ns}|{clock}".encode("utf-8", "surrogatepass")
    return zlib.crc32(body, zlib.crc32(head))


def read_rows(rows: Iterable[AlertRow], epoch: str) -> RowsRead:
    """Check and decode rows of `SELECT_ROW`."""
    result = RowsRead()
    for seq, sensor, alert_id, revision, committed_at_ns, synchronised, body, crc in rows:
        if not (isinstance(sensor, str) and isinstance(alert_id, str) and isinstance(body, bytes)):
            result.damaged.append(seq)  # damage can change a value's type
            continue
        is_clock_synchronised = None if synchronised is None else bool(synchronised)
        expected = row_crc(
            seq,
            sensor=sensor,
            alert_id=alert_id,
            revision=revision,
            committed_at_ns=committed_at_ns,
            is_clock_synchronised=is_clock_synchronised,
            body=body,
        )
        if crc != expected:
            result.damaged.append(seq)
            continue
        try:
            alert = decode_alert(body)
        except ValueError:  # written by a version we do not understand: as unreadable as a damaged one, and counted like it
            result.damaged.append(seq)
            continue
        result.sound.append(Committed(sensor, epoch, seq, committed_at_ns, alert, is_clock_synchronised))
    return result


def insert_row(
    connection: sqlite3.Connection,
    alert: Alert,
    *,
    sensor: str,
    committed_at_ns: int,
    running_ns: int,
    is_clock_synchronised: bool | None,
    seq: int | None = None,
) -> int:
    """Store one revision and return its number: the next one unless it is given. A silenced one's number is withheld from every sink.

    The number is in the CRC, so it is fixed first; the transaction is ours alone.
    """
    if seq is None:
        (last,) = connection.execute(
            "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'alert_revision'), 0)"
        ).fetchone()
        seq = int(last) + 1
    body = encode_alert(alert)
    crc = row_crc(
        seq,
        sensor=sensor,
        alert_id=alert.alert_id,
        revision=alert.revision,
        committed_at_ns=committed_at_ns,
        is_clock_synchronised=is_clock_synchronised,
        body=body,
    )
    connection.execute(
        "INSERT INTO alert_revision(seq, sensor, alert_id, revision, state, severity, is_silenced, last_seen_ns,"
        " committed_at_ns, running_ns, body, crc, is_clock_synchronised) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            seq,
            sensor,
            alert.alert_id,
            alert.revision,
            alert.state.value,
            int(alert.severity),
            int(alert.is_silenced),
            alert.last_seen_ns,
            committed_at_ns,
            running_ns,
            body,
            crc,
            None if is_clock_synchronised is None else int(is_clock_synchronised),
        ),
    )
    if alert.is_silenced:
        withhold(connection, EVERY_SINK, [seq], SILENCED)
    return seq

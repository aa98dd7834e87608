"""Table walks above the seam: several columns row by row in each GETBULK, guarded against agents that lie.

Owns cursors, the loop guard, bounds and what tooBig and genErr cost. Refuses meaning: cells are raw (tag, bytes).
Every request also asks for scalars as non-repeaters, sysUpTime first, so that each answer carries the agent's own time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from netmote.snmp.mib import AUTHORIZATION_ERROR, END_OF_MIB_VIEW, ERROR_STATUS, EXCEPTIONS, NO_SUCH_NAME, TOO_BIG
from netmote.snmp.oid import decode_arcs
from netmote.snmp.session import AccessDenied, AgentError, Reply, SnmpSession, UnreadableAnswer, Varbind, WalkLooped

# About 1,400 bytes of IF-MIB varbinds, so that an answer is not fragmented; pysnmp decodes that many in 5 ms.
MAX_VARBINDS = 56
MAX_ROWS = 10_000  # bound on one walk; the largest recordings have hundreds of ports, chassis have thousands


class Cell(NamedTuple):
    """One value of a table as it came."""

    tag: int
    value: bytes


@dataclass(slots=True)
class Walk:
    """What a walk found. A column whose cell is absent in a row has no entry in `cells` for that row."""

    cells: dict[bytes, dict[tuple[int, ...], Cell]]  # column -> index -> cell
    scalars: dict[bytes, Cell] = field(default_factory=dict)  # as asked (without the instance) -> value of the first answer
    last_scalars: dict[bytes, Cell] = field(default_factory=dict)  # the same of the last answer
    failed: dict[bytes, str] = field(default_factory=dict)  # column -> error-status that the device gives for it
    known_indexes: dict[bytes, tuple[int, ...]] = field(default_factory=dict)  # as their octets came
    max_repetitions: int = 0  # what the device was found to bear
    round_trip_seconds: float = 0.0  # of the first answer
    first_at: float = 0.0  # monotonic seconds of the first and the last answer
    last_at: float = 0.0

    @property
    def indexes(self) -> list[tuple[int, ...]]:
        """Every index seen in any column, in order."""
        return sorted(set().union(*(cells.keys() for cells in self.cells.values())))


@dataclass(slots=True)
class _Cursor:
    column: bytes
    at: bytes  # the OID to continue from
    index: tuple[int, ...] = ()
    is_done: bool = False


async def get_cells(session: SnmpSession, oids: Sequence[bytes]) -> tuple[dict[bytes, Cell], float]:
    """GET of scalars: what the device has of them, and the round trip in seconds.

    An object that the device refuses by an error-status (agents of v1 descent) costs only itself. Raises AgentError,
    AccessDenied and what the session raises.
    """
    asked = list(oids)
    while asked:
        reply = await session.get(asked)
        if not reply.error_status:
            cells = {varbind.oid: Cell(varbind.tag, varbind.value) for varbind in reply.varbinds if varbind.tag not in EXCEPTIONS}
            return cells, reply.round_trip_seconds
        if reply.error_status == AUTHORIZATION_ERROR:
            raise AccessDenied("the device's access control refuses this user or community (authorizationError)")
        if not 1 <= reply.error_index <= len(asked):
            raise AgentError(f"the device answers {_status_name(reply.error_status)} to a GET")
        del asked[reply.error_index - 1]
    return {}, reply.round_trip_seconds


async def walk_columns(
    session: SnmpSession,
    columns: Sequence[bytes],
    *,
    monotonic: Callable[[], float],
    scalars: Sequence[bytes] = (),
    max_repetitions: int = 20,
    max_rows: int = MAX_ROWS,
    last_index: tuple[int, ...] | None = None,
    expected_rows: int | None = None,
) -> Walk:
    """Walk `columns` of one table.

    `scalars` are objects without their instance (GETBULK non-repeaters are GETNEXT). With `last_index`, the walk ends there
    instead of asking what follows, and `expected_rows` keeps the last request from asking beyond it: an agent pays dearly
    for rows past the end. Raises WalkLooped, AgentError, AccessDenied, UnreadableAnswer and what the session raises.
    """
    walk = Walk({column: {} for column in columns}, max_repetitions=max_repetitions)
    cursors = [_Cursor(column, column) for column in columns]
    width = len(cursors)
    while live := [cursor for cursor in cursors if not cursor.is_done]:
        # The columns furthest behind go first, so that groups of columns advance together.
        group = sorted(live, key=lambda cursor: cursor.index)[:width]
        repetitions = _repetitions(walk, group, len(scalars), expected_rows)
        reply = await session.bulk(scalars, [cursor.at for cursor in group], repetitions)
        if reply.error_status == TOO_BIG:
            if repetitions > 1:
                walk.max_repetitions = repetitions // 2
            elif len(group) > 1:
                width = len(group) // 2
            else:
                raise AgentError("the device answers tooBig to a single column of a single row")
            continue
        if reply.error_status:
            _drop_refused(walk, reply, group, len(scalars))
            continue
        _take(walk, reply, scalars, monotonic())
        _advance(walk, reply.varbinds[len(scalars) :], group, last_index, max_rows)
    return walk


def _repetitions(walk: Walk, group: Sequence[_Cursor], scalars: int, expected_rows: int | None) -> int:
    wanted = min(walk.max_repetitions, (MAX_VARBINDS - scalars) // len(group))
    if expected_rows is not None:
        wanted = min(wanted, expected_rows - min(len(walk.cells[cursor.column]) for cursor in group))
    return max(1, wanted)


def _drop_refused(walk: Walk, reply: Reply, group: Sequence[_Cursor], scalars: int) -> None:
    """A column that the device refuses costs only itself; without a culprit the whole walk fails."""
    status = _status_name(reply.error_status)
    if reply.error_status == AUTHORIZATION_ERROR:
        raise AccessDenied("the device's access control refuses this user or community (authorizationError)")
    position = reply.error_index - 1 - scalars
    if not 0 <= position < len(group):
        raise AgentError(f"the device answers {status} to a table walk")
    cursor = group[position]
    cursor.is_done = True
    if reply.error_status != NO_SUCH_NAME:  # noSuchName is how agents of v1 descent say "nothing more"
        walk.failed[cursor.column] = status


def _take(walk: Walk, reply: Reply, scalars: Sequence[bytes], now: float) -> None:
    if len(reply.varbinds) <= len(scalars):
        raise UnreadableAnswer("the device answers a table walk without any variable")
    found = {
        asked: Cell(got.tag, got.value)
        for asked, got in zip(scalars, reply.varbinds, strict=False)
        if got.oid.startswith(asked) and got.tag not in EXCEPTIONS
    }
    if not walk.first_at:
        walk.scalars, walk.round_trip_seconds, walk.first_at = found, reply.round_trip_seconds, now
    walk.last_scalars, walk.last_at = found, now


def _advance(
    walk: Walk, varbinds: Sequence[Varbind], group: Sequence[_Cursor], last_index: tuple[int, ...] | None, max_rows: int
) -> None:
    """Put each cell under its own column and index: position in the answer only says which column was asked.

    The innermost loop of polling: a column at a time, each index decoded once for all columns.
    """
    known, new = walk.known_indexes, tuple.__new__
    for position, cursor in enumerate(group):
        column, cells, index, at = cursor.column, walk.cells[cursor.column], cursor.index, cursor.at
        arcs_from = len(column)
        for oid, tag, value in varbinds[position :: len(group)]:
            if tag == END_OF_MIB_VIEW or not oid.startswith(column):
                cursor.is_done = True
                break
            octets = oid[arcs_from:]
            following = known.get(octets)
            if following is None:
                following = known[octets] = _index(octets)
            if following <= index:
                raise WalkLooped(f"the device's OIDs do not increase: .{_text(following)} after .{_text(index)}")
            index, at = following, oid
            if tag not in EXCEPTIONS:
                cells[index] = new(Cell, (tag, value))
            if last_index is not None and index >= last_index:
                cursor.is_done = True
                break
        cursor.index, cursor.at = index, at
        if len(cells) > max_rows:
            raise WalkLooped(f"the device's table has more than {max_rows} rows")


def _index(octets: bytes) -> tuple[int, ...]:
    try:
        return decode_arcs(octets)
    except ValueError as error:
        raise UnreadableAnswer(f"the device answers with a broken OID: {error}") from error


def _status_name(error_status: int) -> str:
    return ERROR_STATUS[error_status] if 0 <= error_status < len(ERROR_STATUS) else f"error-status {error_status}"


def _text(index: tuple[int, ...]) -> str:
    return ".".join(map(str, index))

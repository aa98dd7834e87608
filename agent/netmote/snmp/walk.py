"""Table walks above the seam: several columns row by row in each GETBULK, guarded against agents that lie.

Owns cursors, the loop guard, bounds and what tooBig and genErr cost. Refuses meaning: cells are raw (tag, bytes).
Every request also asks for scalars as non-repeaters, sysUpTime first, so that each answer carries the agent's own time.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from netmote.snmp.mib import AUTHORIZATION_ERROR, END_OF_MIB_VIEW, ERROR_STATUS, EXCEPTIONS, NO_SUCH_NAME, TOO_BIG
from netmote.snmp.oid import decode_arcs, encode_arcs
from netmote.snmp.session import (
    AccessDenied,
    AgentError,
    Reply,
    RequestTimedOut,
    SnmpSession,
    UnreadableAnswer,
    Varbind,
    WalkLooped,
    WalkUnordered,
)

# About 1,400 bytes of IF-MIB varbinds, so that an answer is not fragmented; pysnmp decodes that many in 5 ms.
MAX_VARBINDS = 56
# Requests to one device at once: a round trip of 100 ms would make a chassis of 500 ports take 17 s one by one.
REQUESTS_IN_FLIGHT = 4
SHARED_ROWS = 512  # sets of rows that are kept for other devices
MAX_ROWS = 10_000  # bound on one walk; the largest recordings have hundreds of ports, chassis have thousands


Cell = Varbind
"""One value of a table, as it came."""


class Rows(NamedTuple):
    """The rows of a table as a whole walk found them, in order."""

    indexes: list[tuple[int, ...]]
    octets: list[bytes]  # of each index

    @classmethod
    def of(cls, indexes: list[tuple[int, ...]]) -> "Rows":
        """Rows of the same indexes are the same object, as far as SHARED_ROWS goes: devices of one kind number their ports alike."""
        return _rows(tuple(indexes))


@lru_cache(SHARED_ROWS)
def _rows(indexes: tuple[tuple[int, ...], ...]) -> Rows:
    return Rows(list(indexes), [encode_arcs(index) for index in indexes])


@dataclass(slots=True)
class Walk:
    """What a walk found. A column whose cell is absent in a row has no entry in `cells` for that row."""

    cells: dict[bytes, dict[tuple[int, ...], Cell]]  # column -> index -> cell
    scalars: dict[bytes, Cell] = field(default_factory=dict)  # as asked (without the instance) -> value of the first answer
    last_scalars: dict[bytes, Cell] = field(default_factory=dict)  # the same of the last answer
    failed: dict[bytes, str] = field(default_factory=dict)  # column -> error-status that the device gives for it
    known_indexes: dict[bytes, tuple[int, ...]] = field(default_factory=dict)  # as their octets came
    max_repetitions: int = 0  # what the device was found to bear
    requests_in_flight: int = 1
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
            cells = {varbind.oid: varbind for varbind in reply.varbinds if varbind.tag not in EXCEPTIONS}
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
    requests_in_flight: int = REQUESTS_IN_FLIGHT,
    max_rows: int = MAX_ROWS,
    rows: Rows | None = None,
    is_ordered: bool = True,
) -> Walk:
    """Walk `columns` of one table.

    `scalars` are objects without their instance (GETBULK non-repeaters are GETNEXT). With `rows`, the walk ends at the last of
    them instead of asking what follows, and asks for no more than there are: an agent pays dearly for rows past the end. It then
    has `requests_in_flight`, unless the device loses some of them: then it goes on one by one. Raises WalkLooped, AgentError, AccessDenied, UnreadableAnswer and what the session raises.

    Not `is_ordered`: rows may come in any order, each once. Such a walk takes no `rows`.
    """
    walk = Walk({column: {} for column in columns}, max_repetitions=max_repetitions, requests_in_flight=requests_in_flight)
    cursors = [_Cursor(column, column) for column in columns]
    width = len(cursors)
    if rows is not None and requests_in_flight > 1:
        await _ask_side_by_side(session, walk, cursors, scalars, rows, monotonic=monotonic)
    while live := [cursor for cursor in cursors if not cursor.is_done]:
        # The columns furthest behind go first, so that groups of columns advance together.
        group = sorted(live, key=lambda cursor: cursor.index)[:width]
        repetitions = _repetitions(walk, group, len(scalars), rows)
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
        _advance(walk, reply.varbinds[len(scalars) :], group, rows, max_rows, is_ordered=is_ordered)
    return walk


async def _ask_side_by_side(
    session: SnmpSession,
    walk: Walk,
    cursors: Sequence[_Cursor],
    scalars: Sequence[bytes],
    rows: Rows,
    *,
    monotonic: Callable[[], float],
) -> None:
    """Ask for known rows, several requests at a time, and take answers in order for as long as rows are where they were.

    Where they are not, or the device refuses or is overburdened, it ends, and the walk goes on one by one from there.
    """
    step = _repetitions(walk, cursors, len(scalars), rows)

    async def ask(begin: int) -> tuple[Reply, float]:
        before = rows.octets[begin - 1] if begin else b""
        columns = [cursor.column + before for cursor in cursors]
        reply = await session.bulk(scalars, columns, min(step, len(rows.indexes) - begin))
        return reply, monotonic()

    begins = range(0, len(rows.indexes), step)
    for first in range(0, len(begins), walk.requests_in_flight):
        # Not a TaskGroup: that of Python 3.11 leaves its owner marked as cancelled when a child fails, or forgets that it was.
        asked = (ask(begin) for begin in begins[first : first + walk.requests_in_flight])
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(outcome, RequestTimedOut):
                walk.requests_in_flight = 1  # small agents read one request and lose the others
                return
            if isinstance(outcome, BaseException):
                raise outcome
            reply, at = outcome
            if reply.error_status:
                return
            _take(walk, reply, scalars, at)
            varbinds = reply.varbinds[len(scalars) :]
            if not _take_known(walk, varbinds, cursors, rows):
                return
            if len(varbinds) < min(step, len(rows.indexes)) * len(cursors) and not cursors[0].is_done:
                walk.max_repetitions = len(varbinds) // len(cursors)  # all that fits, or all that version 1 gives
                return


def _repetitions(walk: Walk, group: Sequence[_Cursor], scalars: int, rows: Rows | None) -> int:
    wanted = min(walk.max_repetitions, (MAX_VARBINDS - scalars) // len(group))
    if rows is not None:
        wanted = min(wanted, len(rows.indexes) - min(len(walk.cells[cursor.column]) for cursor in group))
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
        asked: got
        for asked, got in zip(scalars, reply.varbinds, strict=False)
        if got.oid.startswith(asked) and got.tag not in EXCEPTIONS
    }
    if not walk.first_at:
        walk.scalars, walk.round_trip_seconds, walk.first_at = found, reply.round_trip_seconds, now
    walk.last_scalars, walk.last_at = found, now


def _advance(
    walk: Walk, varbinds: Sequence[Varbind], group: Sequence[_Cursor], rows: Rows | None, max_rows: int, *, is_ordered: bool
) -> None:
    """Put each cell under its own column and index: position in the answer only says which column was asked.

    The innermost loop of polling: a column at a time. Rows that are where they were are taken together; for others each index is
    decoded once for all columns.
    """
    if rows is not None and _take_known(walk, varbinds, group, rows):
        return
    known = walk.known_indexes
    last_index = rows.indexes[-1] if rows is not None else None
    for position, cursor in enumerate(group):
        column, cells, index, at = cursor.column, walk.cells[cursor.column], cursor.index, cursor.at
        arcs_from = len(column)
        for varbind in varbinds[position :: len(group)]:
            oid, tag, _ = varbind
            if tag == END_OF_MIB_VIEW or not oid.startswith(column):
                cursor.is_done = True
                break
            octets = oid[arcs_from:]
            following = known.get(octets)
            if following is None:
                following = known[octets] = _index(octets)
            if following <= index and (is_ordered or following == index):
                kind = WalkLooped if following == index or following in cells else WalkUnordered
                raise kind(f"the device's OIDs do not increase: .{_text(following)} after .{_text(index)}")
            if not is_ordered and following in cells:
                raise WalkLooped(f"the device's table comes back to .{_text(following)}")
            index, at = following, oid
            if tag not in EXCEPTIONS:
                cells[index] = varbind
            if last_index is not None and index >= last_index:
                cursor.is_done = True
                break
        cursor.index, cursor.at = index, at
        if len(cells) > max_rows:
            raise WalkLooped(f"the device's table has more than {max_rows} rows")


def _take_known(walk: Walk, varbinds: Sequence[Varbind], group: Sequence[_Cursor], rows: Rows) -> bool:
    """Take an answer whole when its rows are the very ones that were there before, in all columns, each cell with a value."""
    width = len(group)
    begin = len(walk.cells[group[0].column])
    end = begin + len(varbinds) // width
    before = rows.indexes[begin - 1] if begin else ()
    if end == begin or end > len(rows.indexes) or len(varbinds) % width:
        return False
    if any(cursor.index != before or len(walk.cells[cursor.column]) != begin for cursor in group):
        return False
    columns = [cursor.column for cursor in group]
    if [column + octets for octets in rows.octets[begin:end] for column in columns] != [varbind.oid for varbind in varbinds]:
        return False
    if not EXCEPTIONS.isdisjoint([varbind.tag for varbind in varbinds]):
        return False
    indexes = rows.indexes[begin:end]
    for position, cursor in enumerate(group):
        walk.cells[cursor.column].update(zip(indexes, varbinds[position::width], strict=True))
        cursor.index, cursor.at = indexes[-1], varbinds[position - width].oid
        cursor.is_done = end == len(rows.indexes)
    return True


def _index(octets: bytes) -> tuple[int, ...]:
    try:
        return decode_arcs(octets)
    except ValueError as error:
        raise UnreadableAnswer(f"the device answers with a broken OID: {error}") from error


def _status_name(error_status: int) -> str:
    return ERROR_STATUS[error_status] if 0 <= error_status < len(ERROR_STATUS) else f"error-status {error_status}"


def _text(index: tuple[int, ...]) -> str:
    return ".".join(map(str, index))

"""Tables with names: value columns at every reading, the column of names only when rows came or with the hour."""

from collections.abc import Callable, Sequence

from netmote.snmp.details.values import text
from netmote.snmp.session import SnmpSession, WalkUnordered
from netmote.snmp.walk import Walk, walk_columns

MAX_TABLE_ROWS = 2000
_REPETITIONS = 25
_NAMES_SECONDS = 3600.0


class NamedTable:
    """Columns of one table, and the column that names its rows (of this table, or of another with the same index)."""

    def __init__(self, columns: Sequence[bytes], names: bytes | None, *, monotonic: Callable[[], float]) -> None:
        self._columns, self._names, self._monotonic = tuple(columns), names, monotonic
        self._rows: frozenset[tuple[int, ...]] = frozenset()
        self._learnt_at = 0.0
        self.labels: dict[tuple[int, ...], str] = {}

    async def read(self, session: SnmpSession) -> Walk:
        """The columns; `labels` then holds the names of their rows. Raises what `walk_columns` does."""
        walk = await table(session, self._columns, self._monotonic)
        if self._names is not None:
            rows, now = frozenset(walk.indexes), self._monotonic()
            if not rows <= self._rows or now - self._learnt_at >= _NAMES_SECONDS:
                names = await table(session, (self._names,), self._monotonic)
                self.labels = {index: text(cell) for index, cell in names.cells[self._names].items() if index in rows}
                self._rows, self._learnt_at = rows, now
        return walk


async def table(session: SnmpSession, columns: Sequence[bytes], monotonic: Callable[[], float]) -> Walk:
    """Columns of a table of bounded length, one request at a time: there is no hurry. A table out of order is walked again as one."""
    try:
        return await _walk(session, columns, monotonic, is_ordered=True)
    except WalkUnordered:
        return await _walk(session, columns, monotonic, is_ordered=False)


async def _walk(session: SnmpSession, columns: Sequence[bytes], monotonic: Callable[[], float], *, is_ordered: bool) -> Walk:
    return await walk_columns(
        session,
        columns,
        monotonic=monotonic,
        max_repetitions=_REPETITIONS,
        requests_in_flight=1,
        max_rows=MAX_TABLE_ROWS,
        is_ordered=is_ordered,
    )

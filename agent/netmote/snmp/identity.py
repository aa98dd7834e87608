"""Which row of ifTable is which port: a stable name across renumbering, reboots and rows that agents leave behind. Pure.

A port is named by ifName, else ifDescr, else its ifIndex; ifIndex may change at every restart (RFC 2863 section 3.1.5).
Rows of one ifName are told apart by ifDescr. Where that is the same too, agents have kept a dead row beside its successor
(net-snmp does): the row that moves wins and the other is stale, unless both move: then they are two ports after all.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class PortRow(NamedTuple):
    """What names a row of ifTable."""

    if_index: int
    if_name: str
    if_descr: str
    last_change: int  # ifLastChange, TimeTicks; 0 when absent
    is_up: bool


class Renumbering(NamedTuple):
    """One port that moved to another ifIndex."""

    name: str
    earlier: int
    later: int


@dataclass(frozen=True, slots=True)
class PortNames:
    """The ports of one poll. Differences to the poll before are empty at the first one."""

    index_of: dict[str, int]  # port name -> ifIndex
    stale: tuple[int, ...] = ()  # ifIndex of rows that another row replaced
    renumbered: tuple[Renumbering, ...] = ()
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()


@dataclass(slots=True)
class PortIdentities:
    """The names a device's ports have had. Bounded by the rows of its ifTable."""

    _index_of: dict[str, int] | None = None
    _apart: set[str] = field(default_factory=set)  # names under which several rows moved at once

    def resolve(self, rows: Sequence[PortRow], moved: Collection[int]) -> PortNames:
        """Name every row. `moved` holds the ifIndex of rows whose counters changed since the poll before."""
        known = self._index_of or {}
        index_of: dict[str, int] = {}
        stale: list[int] = []
        for name, group in _by_name(rows).items():
            if len(group) == 1:
                index_of[name] = group[0].if_index
                continue
            if sum(row.if_index in moved for row in group) > 1:
                self._apart.add(name)
            holder = _holder(group, known.get(name), moved)
            index_of[name] = holder.if_index
            for row in group:
                if row is holder:
                    continue
                if name in self._apart:
                    index_of[f"{name}#{row.if_index}"] = row.if_index
                else:
                    stale.append(row.if_index)
        is_first, self._index_of = self._index_of is None, index_of
        if is_first:
            return PortNames(index_of, tuple(stale))
        return PortNames(
            index_of,
            tuple(stale),
            tuple(
                Renumbering(name, known[name], index)
                for name, index in sorted(index_of.items())
                if name in known and known[name] != index
            ),
            tuple(sorted(index_of.keys() - known.keys())),
            tuple(sorted(known.keys() - index_of.keys())),
        )


def _by_name(rows: Sequence[PortRow]) -> dict[str, list[PortRow]]:
    groups: defaultdict[str, list[PortRow]] = defaultdict(list)
    for row in rows:
        groups[row.if_name or row.if_descr or f"ifIndex.{row.if_index}"].append(row)
    named: dict[str, list[PortRow]] = {}
    for name, group in groups.items():
        descriptions = {row.if_descr for row in group} - {""}
        # Told apart by ifDescr, as long as no other port has that name.
        is_free = not (descriptions - {name}) & (groups.keys() | named.keys())
        if len(group) > 1 and len(descriptions) == len(group) and is_free:
            named |= {row.if_descr: [row] for row in group}
        else:
            named[name] = group
    return named


def _holder(group: Sequence[PortRow], known_index: int | None, moved: Collection[int]) -> PortRow:
    """The row that is the port: who moves, else who was it before, else who is up, changed last, or came last."""
    return max(
        group,
        key=lambda row: (row.if_index in moved, row.if_index == known_index, row.is_up, row.last_change, row.if_index),
    )

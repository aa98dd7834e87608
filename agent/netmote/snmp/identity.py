"""Which row of ifTable is which port: a stable name across renumbering, reboots and rows that agents leave behind. Pure.

A port is known by ifName, ifAlias, ifPhysAddress and ifType; never by ifIndex, which may change at every restart (RFC 2863 section
3.1.5). What it is called is the first of these that says anything and that no other port has:

    ifName, else ifDescr, else ifPhysAddress, else ifAlias, else its ifIndex

Rows of one ifName are told apart by ifDescr. Where that is the same too, agents have kept a dead row beside its successor (net-snmp
does): the row that moves wins and the other is stale, unless both move: then they are two ports after all, told apart by ifPhysAddress,
else by ifAlias.

Where the parts contradict each other, nothing is guessed: what is there now is a new port (`Ambiguity`), whose name ends in "~" and a
number, and what was known of the old name stays with the old name. That is so for rows that only their ifIndex tells apart when those
indexes change, for a port of ifIndex alone whose address or type is another, and for ports that exchanged addresses with each other
under their names. A new address alone is a new card in the same place: the port stays.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple


class PortRow(NamedTuple):
    """What names a row of ifTable."""

    if_index: int
    if_name: str
    if_descr: str
    last_change: int  # ifLastChange, TimeTicks; 0 when absent
    is_up: bool
    if_alias: str = ""
    phys_address: str = ""  # "" when absent
    if_type: int = 0

    @property
    def parts(self) -> tuple[str, str, int]:
        """What tells it from others of its name."""
        return self.phys_address, self.if_alias, self.if_type


class Renumbering(NamedTuple):
    """One port that moved to another ifIndex."""

    name: str
    earlier: int
    later: int


class Ambiguity(NamedTuple):
    """A port of which it cannot be told that it is the earlier one."""

    name: str
    earlier: str


@dataclass(frozen=True, slots=True)
class PortNames:
    """The ports of one poll. Differences to the poll before are empty at the first one."""

    index_of: dict[str, int]  # port name -> ifIndex
    stale: tuple[int, ...] = ()  # ifIndex of rows that another row replaced
    renumbered: tuple[Renumbering, ...] = ()
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    ambiguous: tuple[Ambiguity, ...] = ()  # among those that appeared


class PortMarks(NamedTuple):
    """What of the names of ports cannot be told from the rows of today."""

    apart: frozenset[str] = frozenset()  # names under which several rows moved at once
    generations: Mapping[str, int] = MappingProxyType({})  # of names that became ambiguous, how often


@dataclass(slots=True)
class PortIdentities:
    """The names a device's ports have had. Bounded by the rows of its ifTable."""

    _known: dict[str, PortRow] | None = None  # by name without generation
    _index_of: dict[str, int] = field(default_factory=dict)
    _apart: set[str] = field(default_factory=set)  # names under which several rows moved at once
    _generation: dict[str, int] = field(default_factory=dict)  # of names that became ambiguous, how often

    @classmethod
    def remembering(cls, marks: PortMarks) -> "PortIdentities":
        """Those of a device that was known before: its ambiguous ports keep the names that they had."""
        return cls(_apart=set(marks.apart), _generation=dict(marks.generations))

    @property
    def marks(self) -> PortMarks:
        """What another start has to know."""
        return PortMarks(frozenset(self._apart), dict(self._generation))

    @property
    def tells_rows_apart(self) -> bool:
        """Whether some rows share a name: then which is which depends on more than names."""
        return bool(self._apart)

    def resolve(self, rows: Sequence[PortRow], moved: Collection[int]) -> PortNames:
        """Name every row. `moved` holds the ifIndex of rows whose counters changed since the poll before."""
        known = self._known or {}
        named: dict[str, PortRow] = {}
        stale: list[int] = []
        doubtful: set[str] = set()
        for name, group in _by_name(rows).items():
            if len(group) == 1:
                named[name] = group[0]
                continue
            if sum(row.if_index in moved for row in group) > 1:
                self._apart.add(name)
            holder = _holder(group, known.get(name), moved, is_apart=name in self._apart)
            named[name] = holder
            if name not in self._apart:
                stale += [row.if_index for row in group if row is not holder]
                continue
            others = _told_apart(name, holder, group)
            named |= others
            mine = {name: holder, **others}
            if known.keys() & mine.keys() and _is_doubtful(mine, known, name):
                doubtful |= mine.keys()
        doubtful |= _contradicted(named, known)
        return self._settled(named, stale, doubtful)

    def _settled(self, named: Mapping[str, PortRow], stale: Sequence[int], doubtful: set[str]) -> PortNames:
        """Generations, and what changed since the poll before."""
        before = {name: self._final(name) for name in doubtful}
        for name in doubtful:
            self._generation[name] = self._generation.get(name, 0) + 1
        self._generation = {name: number for name, number in self._generation.items() if name in named}
        index_of = {self._final(name): row.if_index for name, row in named.items()}
        is_first, earlier = self._known is None, self._index_of
        self._known, self._index_of = dict(named), index_of
        if is_first:
            return PortNames(index_of, tuple(stale))
        return PortNames(
            index_of,
            tuple(stale),
            tuple(
                Renumbering(name, earlier[name], index)
                for name, index in sorted(index_of.items())
                if name in earlier and earlier[name] != index
            ),
            tuple(sorted(index_of.keys() - earlier.keys())),
            tuple(sorted(earlier.keys() - index_of.keys())),
            tuple(Ambiguity(self._final(name), before[name]) for name in sorted(doubtful)),
        )

    def _final(self, name: str) -> str:
        number = self._generation.get(name, 0)
        return f"{name}~{number}" if number else name


def _by_name(rows: Sequence[PortRow]) -> dict[str, list[PortRow]]:
    nameless = [row for row in rows if not row.if_name and not row.if_descr]
    addresses, aliases = Counter(row.phys_address for row in nameless), Counter(row.if_alias for row in nameless)
    groups: defaultdict[str, list[PortRow]] = defaultdict(list)
    for row in rows:
        if row.if_name or row.if_descr:
            groups[row.if_name or row.if_descr].append(row)
        elif row.phys_address and addresses[row.phys_address] == 1:
            groups[f"ifPhysAddress.{row.phys_address}"].append(row)
        elif row.if_alias and aliases[row.if_alias] == 1:
            groups[f"ifAlias.{row.if_alias}"].append(row)
        else:
            groups[f"ifIndex.{row.if_index}"].append(row)
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


def _holder(group: Sequence[PortRow], known: PortRow | None, moved: Collection[int], *, is_apart: bool) -> PortRow:
    """The row that is the port: who moves, else who was it before, else who is up, changed last, or came last.

    Of rows that are ports each, it is the one with the address, alias and type it had, if they say so.
    """
    if is_apart and known is not None:
        alike = [row for row in group if row.parts == known.parts] or [
            row for row in group if row.phys_address and row.phys_address == known.phys_address
        ]
        if alike:
            return max(alike, key=lambda row: (row.if_index == known.if_index, -row.if_index))
    known_index = None if known is None else known.if_index
    return max(
        group,
        key=lambda row: (row.if_index in moved, row.if_index == known_index, row.is_up, row.last_change, row.if_index),
    )


def _told_apart(name: str, holder: PortRow, group: Sequence[PortRow]) -> dict[str, PortRow]:
    """Names of the rows beside the one that has the plain name."""
    addresses, aliases = Counter(row.phys_address for row in group), Counter(row.if_alias for row in group)
    told = {}
    for row in group:
        if row is holder:
            continue
        mark = str(row.if_index)
        if row.phys_address and addresses[row.phys_address] == 1:
            mark = row.phys_address
        elif row.if_alias and aliases[row.if_alias] == 1:
            mark = row.if_alias
        told[f"{name}#{mark}"] = row
    return told


def _is_doubtful(group: Mapping[str, PortRow], known: Mapping[str, PortRow], name: str) -> bool:
    """Whether rows that only their ifIndex tells apart have other indexes than before."""
    before = {row.if_index: row.parts for each, row in known.items() if each == name or each.startswith(f"{name}#")}
    if len(before) < 2:  # they were not apart yet
        return False
    alike = Counter(row.parts for row in group.values())
    return any(alike[row.parts] > 1 and before.get(row.if_index) != row.parts for row in group.values())


def _contradicted(named: Mapping[str, PortRow], known: Mapping[str, PortRow]) -> set[str]:
    """Names under which another port answers than before, as far as the address says so."""
    doubtful = {
        name
        for name, row in named.items()
        if name == f"ifIndex.{row.if_index}" and name in known and (row.phys_address, row.if_type) != _lasting(known[name])
    }
    changed = {name for name, row in named.items() if name in known and known[name].phys_address != row.phys_address}
    if len(changed) < 2:
        return doubtful
    now, before = _holders_of_addresses(named), _holders_of_addresses(known)
    exchanged = {
        name
        for name in changed
        if before.get(named[name].phys_address) not in (None, name) and now.get(known[name].phys_address) not in (None, name)
    }
    return doubtful | exchanged


def _lasting(row: PortRow) -> tuple[str, int]:
    return row.phys_address, row.if_type


def _holders_of_addresses(named: Mapping[str, PortRow]) -> dict[str, str]:
    """The name of the one port with each address; several ports of a device often share one, which then says nothing."""
    shared = Counter(row.phys_address for row in named.values())
    return {row.phys_address: name for name, row in named.items() if row.phys_address and shared[row.phys_address] == 1}

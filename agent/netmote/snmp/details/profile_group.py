"""The objects of a profile, read: each gives gauges, or the reason why it gives none."""

from collections.abc import Callable, Mapping

from netmote.errors import NetmoteError
from netmote.snmp.details.found import Found, Gauge, ObjectOutcome, row_names
from netmote.snmp.details.tables import NamedTable
from netmote.snmp.details.values import number, shown
from netmote.snmp.oid import parse_oid
from netmote.snmp.profiles.document import Profile, ProfileObject, Where
from netmote.snmp.session import AgentError, SnmpSession, UnreadableAnswer, WalkLooped
from netmote.snmp.walk import Cell, Walk, get_cells

_SCALARS_A_REQUEST = 20
# What a device may do wrong in one table without harm to the next.
_OWN_FAILURES = (AgentError, WalkLooped, UnreadableAnswer)


class ProfileGroup:
    """One device's objects of a profile. Columns of one table, with one label, are walked together."""

    def __init__(self, profile: Profile, *, monotonic: Callable[[], float]) -> None:
        self.name = f"profile {profile.profile}"
        self.profile = profile
        self._tables: list[tuple[list[ProfileObject], NamedTable]] = []
        by_table: dict[tuple[str, str | None], list[ProfileObject]] = {}
        for each in profile.objects:
            if each.column is not None:
                by_table.setdefault((each.column.rpartition(".")[0], each.label), []).append(each)
        for (_, label), objects in by_table.items():
            columns = [each.column for each in objects if each.column] + [each.where.column for each in objects if each.where]
            unique = [parse_oid(column) for column in dict.fromkeys(columns)]
            self._tables.append((objects, NamedTable(unique, parse_oid(label) if label else None, monotonic=monotonic)))

    async def read(self, session: SnmpSession, ports: Mapping[int, str]) -> Found:
        del ports
        outcomes: dict[int, ObjectOutcome] = {}
        scalars = [each for each in self.profile.objects if each.scalar is not None]
        for begin in range(0, len(scalars), _SCALARS_A_REQUEST):
            await self._scalars(session, scalars[begin : begin + _SCALARS_A_REQUEST], outcomes)
        for objects, named in self._tables:
            try:
                walk = await named.read(session)
            except _OWN_FAILURES as error:
                for each in objects:
                    outcomes[id(each)] = _nothing(each, _reason(error))
                continue
            for each in objects:
                outcomes[id(each)] = _rows(each, walk, named)
        ordered = tuple(outcomes[id(each)] for each in self.profile.objects)
        doubts = [f"{each.name}: {each.nothing}" for each in ordered if not each.gauges and each.nothing != _ABSENT]
        return Found(
            gauges=[gauge for each in ordered for gauge in each.gauges],
            doubts=doubts,
            outcomes=ordered,
            is_there=any(each.nothing != _ABSENT for each in ordered),
        )

    async def _scalars(self, session: SnmpSession, scalars: list[ProfileObject], outcomes: dict[int, ObjectOutcome]) -> None:
        try:
            cells, _ = await get_cells(session, [parse_oid(each.oid) for each in scalars])
        except _OWN_FAILURES as error:
            for each in scalars:
                outcomes[id(each)] = _nothing(each, _reason(error))
            return
        for each in scalars:
            cell = cells.get(parse_oid(each.oid))
            value = _ABSENT if cell is None else _value(each, cell)
            gauges = () if isinstance(value, str) else (_gauge(each, each.name, value),)
            outcomes[id(each)] = ObjectOutcome(each.name, each.oid, gauges, value if isinstance(value, str) else "")


_ABSENT = "the device does not have it"


def _rows(each: ProfileObject, walk: Walk, named: NamedTable) -> ObjectOutcome:
    column = parse_oid(each.oid)
    cells = walk.cells[column]
    if column in walk.failed:
        return _nothing(each, f"the device answers {walk.failed[column]}")
    if not cells:
        return _nothing(each, _ABSENT)
    gauges, reasons = [], []
    meant = [index for index in sorted(cells) if each.where is None or _is_meant(each.where, walk, index)]
    for index, name in row_names(meant, named.labels).items():
        value = _value(each, cells[index])
        if isinstance(value, str):
            reasons.append(value)
        else:
            gauges.append(_gauge(each, f"{each.name}/{name}", value))
    nothing = "" if gauges else reasons[0] if reasons else f"none of {len(cells)} rows is meant by where"
    return ObjectOutcome(each.name, each.oid, tuple(gauges), nothing)


def _is_meant(where: Where, walk: Walk, index: tuple[int, ...]) -> bool:
    cell = walk.cells[parse_oid(where.column)].get(index)
    if cell is None:
        return False
    value = shown(cell)
    return value in map(str, where.any_of) if where.any_of else value not in map(str, where.none_of)


def _value(each: ProfileObject, cell: Cell) -> float | str:
    """The number, scaled, or why there is none."""
    raw = number(cell)
    if raw is None:
        return f"{shown(cell)!r} is not a number"
    if raw in each.unavailable:
        return f"{raw:g}: not available"
    value = raw * each.scale
    if (each.minimum is not None and value < each.minimum) or (each.maximum is not None and value > each.maximum):
        return f"{value:g} {each.unit} is not between {_limit(each.minimum)} and {_limit(each.maximum)}"
    return value


def _limit(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def _gauge(each: ProfileObject, name: str, value: float) -> Gauge:
    return Gauge(name, value, each.unit, each.states.get(int(value), "") if each.states else "")


def _nothing(each: ProfileObject, why: str) -> ObjectOutcome:
    return ObjectOutcome(each.name, each.oid, (), why)


def _reason(error: NetmoteError) -> str:
    return f"{type(error).__name__}: {error}"

"""One poll of one device: scalars, then the counters of every port, as columns.

Owns the learnt layout: which columns the device needs (64-bit, or 32-bit where it lacks them), its rows, how many repetitions
it bears, and when names and types are read again. Refuses differences, facts, schedules.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from netmote.clock import NANOSECONDS_PER_SECOND, Clock
from netmote.records.interface import INTERFACE_COUNTERS
from netmote.snmp import mib
from netmote.snmp.counters import MALFORMED_BITS, NARROW, WIDE, WRAP, CounterSample, Epoch, Instant, classify, high_speed
from netmote.snmp.session import AgentError, SnmpSession
from netmote.snmp.steady_walk import SteadyWalk, SteadyWalker
from netmote.snmp.walk import REQUESTS_IN_FLIGHT, SHARED_ROWS, Cell, Rows, Walk, get_cells, walk_columns

# Names, types and speeds change seldom; every change of ifNumber, ifTableLastChange or of a row is noticed at once.
REFRESH_SECONDS = 300.0

# Turning a walk into columns, and columns into differences, takes 11 us a port each: a chassis does so in a thread.
LOOP_PORTS = 300

_CYCLE_SCALARS = (mib.SYS_UP_TIME, mib.HR_SYSTEM_UPTIME, mib.IF_NUMBER, mib.IF_TABLE_LAST_CHANGE)
_SYSTEM_SCALARS = (mib.SYS_DESCR, mib.SYS_OBJECT_ID, mib.SYS_NAME, mib.SYS_CONTACT, mib.SYS_LOCATION)
_IDENTITY_SCALARS = (mib.SNMP_ENGINE_ID, mib.ENT_PHYSICAL_CLASS_1, mib.ENT_PHYSICAL_SERIAL_NUM_1)
_NAME_COLUMNS = ("ifName", "ifDescr", "ifAlias", "ifType", "ifSpeed", "ifHighSpeed", "ifLastChange", "ifPhysAddress")
_STATE_COLUMNS = ("ifAdminStatus", "ifOperStatus", "ifCounterDiscontinuityTime")
_UP_TIME_COLUMN = mib.SYS_UP_TIME[:-1]  # GETBULK non-repeaters are GETNEXT: without the instance
_WIDE_COLUMNS = tuple(source.wide for source in mib.COUNTER_SOURCES if source.wide)
_ONLY_NARROW = tuple(source.narrow for source in mib.COUNTER_SOURCES if source.narrow and not source.wide)
_TWINS = tuple(source.narrow for source in mib.COUNTER_SOURCES if source.narrow and source.wide)
_BITS = {mib.COUNTER32: NARROW, mib.COUNTER64: WIDE}
# Where no port needs a 32-bit twin: all columns that are read, those that are states, and which counter each of the others is.
STEADY_COLUMNS = tuple(mib.COLUMN[name] for name in (*_WIDE_COLUMNS, *_ONLY_NARROW, *_STATE_COLUMNS))
STEADY_STATES = slice(len(_WIDE_COLUMNS) + len(_ONLY_NARROW), None)
STEADY_COUNTERS = [
    place
    for kind in (_WIDE_COLUMNS, _ONLY_NARROW)
    for name in kind
    for place, source in enumerate(mib.COUNTER_SOURCES)
    if name == (source.wide or source.narrow)
]
BITS_OF_TAG = np.full(256, MALFORMED_BITS, np.uint8)
BITS_OF_TAG[list(_BITS)] = list(_BITS.values())
# Requests that are in flight together may be answered in another order; a restart sets sysUpTime back by more.
OVERTAKING_TICKS = 100
_NO_CELL: Mapping[tuple[int, ...], Cell] = {}


@dataclass(frozen=True, slots=True)
class SystemGroup:
    """The system group of SNMPv2-MIB as text; "" where the device has none."""

    sys_descr: str
    sys_object_id: bytes  # OID content bytes
    sys_name: str
    sys_contact: str
    sys_location: str
    engine_id: bytes = b""  # snmpEngineID; of v1 and v2c agents too
    serial: str = ""  # entPhysicalSerialNum of the chassis


@dataclass(frozen=True, slots=True, eq=False)
class PortTable:
    """Names and states of all rows of ifTable, in the order of ifIndex."""

    if_index: NDArray[np.int64]
    if_name: tuple[str, ...]
    if_descr: tuple[str, ...]
    if_alias: tuple[str, ...]
    if_admin_status: NDArray[np.uint8]
    if_oper_status: NDArray[np.uint8]
    if_last_change: tuple[int, ...]
    if_phys_address: tuple[str, ...]  # in hexadecimal digits; "" for none, and for one of zeros only


@dataclass(frozen=True, slots=True, eq=False)
class DeviceReading:
    """One answered poll. Rows of `counters` are those of `ports`."""

    wall_ns: int  # UTC, when the counters were read
    instant: Instant
    round_trip_seconds: float  # of the first answer of the cycle
    system: SystemGroup
    ports: PortTable
    counters: CounterSample
    refused_columns: Mapping[str, str] = field(default_factory=dict)  # object name -> error-status


@dataclass(frozen=True, slots=True, eq=False)
class SteadyRows:
    """What asking a device for the same rows again takes, and what its answers are held against."""

    rows: Sequence[bytes]  # octets of each index
    scalars: tuple[bytes, ...]  # that it has of those read each cycle, sysUpTime first; as GETBULK asks, without the instance
    signature: tuple[int | None, int | None]  # ifNumber, ifTableLastChange
    max_repetitions: int
    names_until: float  # monotonic: when names are to be read again


@dataclass(frozen=True, slots=True, eq=False)
class _Names:
    """Names, types and speeds of rows, as columns: read out once, since they stay until rows change or they are learnt again."""

    if_index: NDArray[np.int64]
    if_name: tuple[str, ...]
    if_descr: tuple[str, ...]
    if_alias: tuple[str, ...]
    if_last_change: tuple[int, ...]
    if_phys_address: tuple[str, ...]
    if_type: NDArray[np.int64]
    if_high_speed: NDArray[np.int64]


@dataclass(slots=True)
class _Layout:
    """What was learnt of a device at its last whole walk."""

    learnt_at: float
    signature: tuple[int | None, int | None]  # ifNumber, ifTableLastChange
    indexes: list[tuple[int, ...]]
    names: Walk | None  # until it is read out
    twins: tuple[str, ...]  # 32-bit columns that at least one port needs
    system: SystemGroup
    read_out: _Names | None = None
    rows: Rows | None = None


class DeviceReader:
    """Reads one device, remembering its layout. Not safe for two reads at once."""

    def __init__(self, *, clock: Clock, max_repetitions: int) -> None:
        self._clock, self._max_repetitions, self._most_repetitions = clock, max_repetitions, max_repetitions
        self._requests_in_flight = REQUESTS_IN_FLIGHT
        self.is_ordered = True  # whether OIDs of the device's tables increase
        self._layout: _Layout | None = None
        self._last: Instant | None = None
        self._scalars: tuple[bytes, ...] = ()  # that the last answer held
        self._steady_walker = SteadyWalker()

    async def read(self, session: SnmpSession) -> DeviceReading:
        """One cycle. Raises the errors of `session`, WalkLooped, AgentError (restarted during the walk)."""
        scalars, round_trip = await get_cells(session, _CYCLE_SCALARS)
        self._scalars = tuple(oid for oid in _CYCLE_SCALARS if oid in scalars)
        up_time = _number(scalars.get(mib.SYS_UP_TIME))
        signature = (_number(scalars.get(mib.IF_NUMBER)), _number(scalars.get(mib.IF_TABLE_LAST_CHANGE)))
        layout = self._layout
        if layout is None or layout.signature != signature or self._is_stale(layout, up_time, round_trip):
            layout = await self._learn(session, signature)
        steady = None
        if layout is self._layout:
            walk, steady = await self._walk_known(session, layout)
        else:
            walk = await self._walk_counters(session, layout, is_whole=True)
        indexes = walk.indexes if steady is None else layout.indexes
        if layout is self._layout and indexes != layout.indexes:  # a row came or went without the scalars saying so
            layout = await self._learn(session, signature)
            walk = await self._walk_counters(session, layout, is_whole=True)
            indexes = walk.indexes
        instant = Instant(
            monotonic=walk.first_at,
            round_trip=walk.round_trip_seconds,
            sys_up_time=_number(walk.scalars.get(_UP_TIME_COLUMN), default=up_time),
            hr_system_uptime=_number(scalars.get(mib.HR_SYSTEM_UPTIME)),
        )
        self._check_same_life(instant, walk)
        if layout is not self._layout:
            layout.rows = Rows.of(indexes)
            layout.indexes, layout.twins = layout.rows.indexes, _needed_twins(walk)
            self._layout = layout
        self._last = instant
        if steady is not None:
            ports, counters = _steady_columns(steady, layout)
        elif len(indexes) > LOOP_PORTS:
            ports, counters = await asyncio.to_thread(_columns, walk, layout, indexes)
        else:
            ports, counters = _columns(walk, layout, indexes)
        return DeviceReading(
            wall_ns=self._clock.now_ns() - round((self._clock.monotonic() - walk.first_at) * NANOSECONDS_PER_SECOND),
            instant=instant,
            round_trip_seconds=round_trip,
            system=layout.system,
            ports=ports,
            counters=counters,
            refused_columns={name: walk.failed[column] for name, column in mib.COLUMN.items() if column in walk.failed},
        )

    def steady_rows(self) -> SteadyRows | None:
        """The rows of the last reading, when STEADY_COLUMNS of each are all that there is to ask, and others may read them."""
        layout = self._layout
        if layout is None or layout.rows is None or layout.read_out is None or layout.twins or not self.is_ordered:
            return None
        if not 0 < len(layout.indexes) <= LOOP_PORTS or len(layout.read_out.if_index) != len(layout.indexes):
            return None
        if self._requests_in_flight == 1 or self._scalars[:1] != (mib.SYS_UP_TIME,):
            return None
        return SteadyRows(
            rows=layout.rows.octets,
            scalars=tuple(oid[:-1] for oid in self._scalars),
            signature=layout.signature,
            max_repetitions=self._max_repetitions,
            names_until=layout.learnt_at + REFRESH_SECONDS,
        )

    def was_read_at(self, instant: Instant) -> None:
        """The rows were read by others, and were as `steady_rows` says."""
        self._last = instant

    def _is_stale(self, layout: _Layout, up_time: int | None, round_trip: float) -> bool:
        now = Instant(self._clock.monotonic(), round_trip, up_time)
        has_restarted = classify(self._last, now)[0] not in (Epoch.SAME, Epoch.UNTIMED)
        return has_restarted or now.monotonic - layout.learnt_at >= REFRESH_SECONDS

    async def _learn(self, session: SnmpSession, signature: tuple[int | None, int | None]) -> _Layout:
        self._requests_in_flight = REQUESTS_IN_FLIGHT  # what it lost may have been lost on the way: tried again now and then
        self._max_repetitions = min(self._max_repetitions + max(1, self._max_repetitions // 8), self._most_repetitions)  # slowly
        system, _ = await get_cells(session, _SYSTEM_SCALARS)
        identity, _ = await get_cells(session, _IDENTITY_SCALARS)
        names = await self._walk(session, _NAME_COLUMNS)
        return _Layout(
            learnt_at=self._clock.monotonic(),
            signature=signature,
            indexes=names.indexes,
            names=names,
            twins=_TWINS,
            system=SystemGroup(
                sys_descr=_text(system.get(mib.SYS_DESCR)),
                sys_object_id=system[mib.SYS_OBJECT_ID].value if mib.SYS_OBJECT_ID in system else b"",
                sys_name=_text(system.get(mib.SYS_NAME)),
                sys_contact=_text(system.get(mib.SYS_CONTACT)),
                sys_location=_text(system.get(mib.SYS_LOCATION)),
                engine_id=_octets(identity.get(mib.SNMP_ENGINE_ID)),
                serial=_serial(identity),
            ),
        )

    async def _walk_known(self, session: SnmpSession, layout: _Layout) -> tuple[Walk, SteadyWalk | None]:
        """The counters of rows that were learnt: at once where all is as it was, else as they come."""
        is_plain = layout.read_out is not None and len(layout.read_out.if_index) == len(layout.indexes) and not layout.twins
        if layout.rows is None or not layout.indexes or not is_plain or not self.is_ordered:
            return await self._walk_counters(session, layout, is_whole=False), None
        outcome = await self._steady_walker.ask(
            session,
            STEADY_COLUMNS,
            rows=layout.rows,
            scalars=(_UP_TIME_COLUMN,),
            max_repetitions=self._max_repetitions,
            requests_in_flight=self._requests_in_flight,
            monotonic=self._clock.monotonic,
        )
        if isinstance(outcome, SteadyWalk):
            if not (outcome.tags[:, STEADY_STATES] == mib.COUNTER64).any():
                return outcome.walk, outcome
            outcome = None
        if outcome is None:
            return await self._walk_counters(session, layout, is_whole=False), None
        walk = await self._walk_counters(outcome, layout, is_whole=False, monotonic=outcome.monotonic)
        if walk.indexes == layout.indexes:
            self._steady_walker.walked()
        return walk, None

    async def _walk_counters(
        self, session: SnmpSession, layout: _Layout, *, is_whole: bool, monotonic: Callable[[], float] | None = None
    ) -> Walk:
        columns = (*_WIDE_COLUMNS, *_ONLY_NARROW, *layout.twins, *_STATE_COLUMNS)
        return await self._walk(session, columns, None if is_whole else layout, monotonic)

    async def _walk(
        self,
        session: SnmpSession,
        names: tuple[str, ...],
        layout: _Layout | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> Walk:
        walk = await walk_columns(
            session,
            [mib.COLUMN[name] for name in names],
            monotonic=monotonic or self._clock.monotonic,
            scalars=(_UP_TIME_COLUMN,),
            max_repetitions=self._max_repetitions,
            requests_in_flight=self._requests_in_flight,
            rows=layout.rows if layout and layout.indexes and self.is_ordered else None,
            is_ordered=self.is_ordered,
        )
        self._max_repetitions, self._requests_in_flight = walk.max_repetitions, walk.requests_in_flight
        return walk

    def _check_same_life(self, first: Instant, walk: Walk) -> None:
        """Refuse counters of two lives: sysUpTime that went back during the walk, other than by its wrap after 497 days."""
        last = _number(walk.last_scalars.get(_UP_TIME_COLUMN))
        if first.sys_up_time is None or last is None:
            return
        if OVERTAKING_TICKS < (first.sys_up_time - last) % WRAP < WRAP // 2:
            raise AgentError("the agent restarted during the walk; its counters are of two lives")


def _needed_twins(walk: Walk) -> tuple[str, ...]:
    """The 32-bit columns without which some port would lack a counter."""
    needed = []
    for source in mib.COUNTER_SOURCES:
        if not source.wide or not source.narrow:
            continue
        wide, narrow = walk.cells[mib.COLUMN[source.wide]], walk.cells.get(mib.COLUMN[source.narrow], _NO_CELL)
        if any(not _is_usable(wide.get(index), cell) for index, cell in narrow.items()):
            needed.append(source.narrow)
    return tuple(needed)


def _is_usable(wide: Cell | None, narrow: Cell | None) -> bool:
    """Whether the 64-bit cell is the one to read: agents also leave it at 0 while its 32-bit twin counts."""
    if wide is None or wide.tag not in _BITS:
        return False
    return narrow is None or narrow.tag not in _BITS or any(wide.value) or not any(narrow.value)


def _columns(walk: Walk, layout: _Layout, all_indexes: list[tuple[int, ...]]) -> tuple[PortTable, CounterSample]:
    # A row is a port when a counter or state has it; a name alone (left over in ifXTable) is none. ifIndex is one arc.
    indexes = [index for index in all_indexes if len(index) == 1]
    if layout.names is not None:
        layout.read_out, layout.names = _read_out(layout.names, indexes), None
    names = layout.read_out
    assert names is not None
    values = np.zeros((len(indexes), len(INTERFACE_COUNTERS)), np.uint64)
    bits = np.zeros(values.shape, np.uint8)
    for column, source in enumerate(mib.COUNTER_SOURCES):
        wide = walk.cells.get(mib.COLUMN[source.wide], _NO_CELL) if source.wide else _NO_CELL
        narrow = walk.cells.get(mib.COLUMN[source.narrow], _NO_CELL) if source.narrow else _NO_CELL
        if wide or narrow:
            values[:, column], bits[:, column] = _counters(wide, narrow, indexes)
    ports = PortTable(
        if_index=names.if_index,
        if_name=names.if_name,
        if_descr=names.if_descr,
        if_alias=names.if_alias,
        if_admin_status=_enumeration(_numbers(walk, "ifAdminStatus", indexes), highest=3),
        if_oper_status=_enumeration(_numbers(walk, "ifOperStatus", indexes), highest=7),
        if_last_change=names.if_last_change,
        if_phys_address=names.if_phys_address,
    )
    counters = CounterSample(
        values=values,
        bits=bits,
        discontinuity=np.array(_numbers(walk, "ifCounterDiscontinuityTime", indexes, default=-1), np.int64),
        if_type=names.if_type,
        if_high_speed=names.if_high_speed,
    )
    return ports, counters


def _steady_columns(steady: SteadyWalk, layout: _Layout) -> tuple[PortTable, CounterSample]:
    """`_columns` of a walk without twins whose every cell is there."""
    names = layout.read_out
    assert names is not None
    numbers = steady.numbers
    bits = np.zeros((len(numbers), len(INTERFACE_COUNTERS)), np.uint8)
    bits[:, STEADY_COUNTERS] = BITS_OF_TAG[steady.tags[:, : STEADY_STATES.start]]
    values = np.zeros(bits.shape, np.uint64)
    values[:, STEADY_COUNTERS] = numbers[:, : STEADY_STATES.start]
    values[bits == MALFORMED_BITS] = 0
    admin, oper, discontinuity = numbers[:, STEADY_STATES].T
    ports = PortTable(
        if_index=names.if_index,
        if_name=names.if_name,
        if_descr=names.if_descr,
        if_alias=names.if_alias,
        if_admin_status=np.where(admin <= 3, admin, 0).astype(np.uint8),
        if_oper_status=np.where(oper <= 7, oper, 0).astype(np.uint8),
        if_last_change=names.if_last_change,
        if_phys_address=names.if_phys_address,
    )
    counters = CounterSample(values, bits, discontinuity.astype(np.int64), names.if_type, names.if_high_speed)
    return ports, counters


def _counters(
    wide: Mapping[tuple[int, ...], Cell], narrow: Mapping[tuple[int, ...], Cell], indexes: Sequence[tuple[int, ...]]
) -> tuple[NDArray[np.uint64], list[int]]:
    """One counter of every row: values, and how many bits each has (0: absent)."""
    numbers, widths = [], []
    for index in indexes:
        cell = wide.get(index)
        if narrow:
            twin = narrow.get(index)
            if twin is not None and not _is_usable(cell, twin):
                cell = twin
        width = number = 0
        if cell is not None:
            _, tag, value = cell
            width = _BITS.get(tag, MALFORMED_BITS) if value else MALFORMED_BITS
            if width != MALFORMED_BITS:
                number = int.from_bytes(value, "big") & ((1 << width) - 1)
        numbers.append(number)
        widths.append(width)
    return np.array(numbers, np.uint64), widths


def _read_out(walk: Walk, indexes: Sequence[tuple[int, ...]]) -> _Names:
    def texts(name: str) -> tuple[str, ...]:
        # Interned: switches of one kind call their ports the same, ifName often repeats ifDescr, and thousands are held.
        return _shared(tuple(sys.intern(_text(walk.cells[mib.COLUMN[name]].get(index))) for index in indexes))

    speed, in_millions = walk.cells[mib.COLUMN["ifSpeed"]], walk.cells[mib.COLUMN["ifHighSpeed"]]
    addresses = walk.cells[mib.COLUMN["ifPhysAddress"]]
    speeds = [high_speed(_number(speed.get(index)), _number(in_millions.get(index))) for index in indexes]
    return _Names(
        if_index=np.array([index[0] for index in indexes], np.int64),
        if_name=texts("ifName"),
        if_descr=texts("ifDescr"),
        if_alias=texts("ifAlias"),
        if_last_change=tuple(_numbers(walk, "ifLastChange", indexes)),
        if_phys_address=tuple(_address(addresses.get(index)) for index in indexes),
        if_type=np.array(_numbers(walk, "ifType", indexes), np.int64),
        if_high_speed=np.array(speeds, np.int64),
    )


@lru_cache(SHARED_ROWS)
def _shared(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The same for devices whose ports are called alike."""
    return texts


def _numbers(walk: Walk, name: str, indexes: Sequence[tuple[int, ...]], default: int = 0) -> list[int]:
    cells = walk.cells[mib.COLUMN[name]]
    return [value if (value := _number(cells.get(index))) is not None else default for index in indexes]


def _enumeration(numbers: list[int], *, highest: int) -> NDArray[np.uint8]:
    """Values of an enumeration; what the MIB does not name is 0, not known."""
    return np.array([number if 0 < number <= highest else 0 for number in numbers], np.uint8)


def _number(cell: Cell | None, *, default: int | None = None) -> int | None:
    """The value of a 32-bit number, read as unsigned: agents encode the top bit both ways. `default` when it is none."""
    if cell is None or not cell.value or cell.tag not in (mib.INTEGER, mib.GAUGE32, mib.TIME_TICKS, mib.COUNTER32):
        return default
    return int.from_bytes(cell.value, "big") & 0xFFFF_FFFF


def _octets(cell: Cell | None) -> bytes:
    return cell.value if cell is not None and cell.tag == mib.OCTET_STRING else b""


def _address(cell: Cell | None) -> str:
    octets = _octets(cell)
    return octets.hex() if any(octets) else ""


def _serial(cells: Mapping[bytes, Cell]) -> str:
    """The serial number of the first physical entity, when that is the whole device."""
    is_whole = _number(cells.get(mib.ENT_PHYSICAL_CLASS_1)) in (mib.CHASSIS, mib.STACK)
    return _text(cells.get(mib.ENT_PHYSICAL_SERIAL_NUM_1)) if is_whole else ""


def _text(cell: Cell | None) -> str:
    """A DisplayString as people read it: UTF-8, or Latin-1 where it is not; without padding and control characters."""
    if cell is None or cell.tag != mib.OCTET_STRING:
        return ""
    try:
        text = cell.value.decode()
    except UnicodeDecodeError:
        text = cell.value.decode("latin-1")
    return "".join(character for character in text if character.isprintable()).strip()

"""HOST-RESOURCES-MIB (RFC 2790): the load of processors and the filling of storage; laTable of UCD-SNMP-MIB."""

from collections.abc import Callable, Mapping

from netmote.snmp.details.found import Found, Gauge, row_names
from netmote.snmp.details.tables import NamedTable
from netmote.snmp.details.values import number, unsigned
from netmote.snmp.oid import parse_oid
from netmote.snmp.session import SnmpSession

_PROCESSOR_LOAD = parse_oid("1.3.6.1.2.1.25.3.3.1.2")
_STORAGE_DESCR, _STORAGE_UNITS, _STORAGE_SIZE, _STORAGE_USED = (parse_oid(f"1.3.6.1.2.1.25.2.3.1.{arc}") for arc in (3, 4, 5, 6))
_LA_NAMES, _LA_LOAD_INT = (parse_oid(f"1.3.6.1.4.1.2021.10.1.{arc}") for arc in (2, 5))


class Processors:
    """hrProcessorLoad: the mean over processors, the highest, and how many there are."""

    name = "processors"

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._table = NamedTable((_PROCESSOR_LOAD,), None, monotonic=monotonic)

    async def read(self, session: SnmpSession, ports: Mapping[int, str]) -> Found:
        del ports
        walk = await self._table.read(session)
        cells = walk.cells[_PROCESSOR_LOAD]
        loads = [load for cell in cells.values() if (load := number(cell)) is not None and 0 <= load <= 100]
        found = Found(is_there=bool(cells))
        if len(loads) < len(cells):
            found.doubts.append(f"hrProcessorLoad: {len(cells) - len(loads)} of {len(cells)} are not 0 to 100 percent")
        if loads:
            found.gauges = [
                Gauge("hrProcessorLoad", sum(loads) / len(loads), "percent"),
                Gauge("hrProcessorLoad/max", max(loads), "percent"),
                Gauge("hrProcessorLoad/count", float(len(loads)), "processor"),
            ]
        return found


class Storage:
    """hrStorageSize and hrStorageUsed in bytes.

    Both are Integer32 of allocation units: more than 8 TiB in units of 4 KiB come out negative, and are read as what they stand
    for. More used than there is says that the size has wrapped once more (or that the agent counts in two ways): neither is given.
    """

    name = "storage"

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        columns = (_STORAGE_UNITS, _STORAGE_SIZE, _STORAGE_USED)
        self._table = NamedTable(columns, _STORAGE_DESCR, monotonic=monotonic)

    async def read(self, session: SnmpSession, ports: Mapping[int, str]) -> Found:
        del ports
        walk = await self._table.read(session)
        found = Found(is_there=bool(walk.indexes))
        for index, name in row_names(walk.indexes, self._table.labels).items():
            units, size, used = (
                unsigned(walk.cells[column].get(index)) for column in (_STORAGE_UNITS, _STORAGE_SIZE, _STORAGE_USED)
            )
            if not units or not size or used is None:
                continue  # an empty drive has a size of 0, or none
            if used > size:
                found.doubts.append(f"hrStorageUsed/{name}: {used} units of {size}")
                continue
            found.gauges.append(Gauge(f"hrStorageSize/{name}", float(size * units), "byte"))
            found.gauges.append(Gauge(f"hrStorageUsed/{name}", float(used * units), "byte"))
        return found


class LoadAverages:
    """laLoad of UCD-SNMP-MIB, from laLoadInt, which is 100 times it."""

    name = "ucd load"

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._table = NamedTable((_LA_LOAD_INT,), _LA_NAMES, monotonic=monotonic)

    async def read(self, session: SnmpSession, ports: Mapping[int, str]) -> Found:
        del ports
        walk = await self._table.read(session)
        found = Found(is_there=bool(walk.indexes))
        for index, name in row_names(walk.indexes, self._table.labels).items():
            load = number(walk.cells[_LA_LOAD_INT].get(index))
            if load is not None and load >= 0:
                found.gauges.append(Gauge(f"laLoad/{name}", load / 100, "process"))
        return found

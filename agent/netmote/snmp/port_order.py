"""The order of a device's ports in its batches, kept for as long as rows and names stay: most polls change neither. Pure.

A DeviceReader that reads no names hands out the very tuples and arrays of the poll before, so that identity of objects tells, without a
look at the ports.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from netmote.records.entity import Entity
from netmote.records.interface import InvalidReason
from netmote.snmp.identity import PortIdentities, PortNames
from netmote.snmp.reading import DeviceReading, PortTable

T = TypeVar("T", bound=np.generic)


def has_same_rows(before: DeviceReading, now: DeviceReading) -> bool:
    """Whether the names, types and rows of `now` are those of `before`; False also where that is only not known."""
    one, other = before.ports, now.ports
    return (
        one.if_index is other.if_index
        and one.if_name is other.if_name
        and one.if_descr is other.if_descr
        and one.if_alias is other.if_alias
        and one.if_phys_address is other.if_phys_address
        and before.counters.if_type is now.counters.if_type
    )


def names_again(names: PortNames, identities: PortIdentities, ports: int) -> PortNames | None:
    """What `identities` would say of the same rows once more; None where that depends on which rows move."""
    if names.stale or identities.tells_rows_apart or len(names.index_of) != ports:
        return None
    return PortNames(names.index_of)


@dataclass(frozen=True, slots=True, eq=False)
class OrderedPorts:
    """What a batch says of ports besides their differences, in its order; read only, shared by all batches of polls in which it stays."""

    ports: PortTable  # it was made of these
    bits: NDArray[np.uint8]
    absent: NDArray[np.uint8]  # (ports, counters): InvalidReason, ABSENT where the device has no such counter
    if_index: NDArray[np.int64]
    if_type: NDArray[np.int64]
    if_high_speed: NDArray[np.int64]
    if_admin_status: NDArray[np.uint8]
    if_oper_status: NDArray[np.uint8]
    if_alias: tuple[str, ...]


@dataclass(slots=True, eq=False)
class PortOrder:
    """Ports by name."""

    index_of: Mapping[str, int]  # port name -> ifIndex: what it was made of, with the rows of a reading
    if_index: NDArray[np.int64]
    names: tuple[str, ...]
    interfaces: tuple[Entity, ...]
    rows: NDArray[np.intp]  # (ports,): the row of each in the reading
    is_as_read: bool  # the order is that of the reading
    _ordered: OrderedPorts | None = None

    @classmethod
    def of(cls, index_of: Mapping[str, int], reading: DeviceReading, entity: Callable[[str], Entity]) -> "PortOrder":
        row_of = {index: row for row, index in enumerate(reading.ports.if_index.tolist())}
        names = tuple(sorted(index_of))
        rows = np.array([row_of[index_of[name]] for name in names], np.intp)
        return cls(
            index_of=index_of,
            if_index=reading.ports.if_index,
            names=names,
            interfaces=tuple(map(entity, names)),
            rows=rows,
            is_as_read=len(rows) == len(row_of) and bool((rows == np.arange(len(rows))).all()),
        )

    def is_of(self, index_of: Mapping[str, int], reading: DeviceReading) -> bool:
        """Whether it would be made of these again."""
        return self.index_of is index_of and self.if_index is reading.ports.if_index

    def ports_of(self, reading: DeviceReading) -> OrderedPorts:
        """The ports of a reading of these rows."""
        ports, counters, ordered = reading.ports, reading.counters, self._ordered
        if ordered is None or ordered.ports is not ports or ordered.bits is not counters.bits:
            absent = np.where(counters.bits == 0, InvalidReason.ABSENT, InvalidReason.VALID).astype(np.uint8)
            ordered = self._ordered = OrderedPorts(
                ports=ports,
                bits=counters.bits,
                absent=self._in_order(absent),
                if_index=self._in_order(ports.if_index),
                if_type=self._in_order(counters.if_type),
                if_high_speed=self._in_order(counters.if_high_speed),
                if_admin_status=self._in_order(ports.if_admin_status),
                if_oper_status=self._in_order(ports.if_oper_status),
                if_alias=tuple(map(ports.if_alias.__getitem__, self.rows.tolist())),
            )
        return ordered

    def _in_order(self, rows: NDArray[T]) -> NDArray[T]:
        ordered = rows if self.is_as_read else rows[self.rows]
        ordered.flags.writeable = False
        return ordered

    def rows_in(self, reading: DeviceReading, index_of: Mapping[str, int]) -> NDArray[np.intp]:
        """The rows of these ports in another reading, in which they had the given ifIndexes; -1 where it lacks one."""
        if self.is_of(index_of, reading):
            return self.rows
        row_of = {index: row for row, index in enumerate(reading.ports.if_index.tolist())}
        return np.array([row_of.get(index_of.get(name, -1), -1) for name in self.names], np.intp)

"""The order of a device's ports in its batches, kept for as long as rows and names stay: most polls change neither. Pure.

A DeviceReader that reads no names hands out the very tuples and arrays of the poll before, so that identity of objects tells, without a
look at the ports.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netmote.records.entity import Entity
from netmote.snmp.identity import PortIdentities, PortNames
from netmote.snmp.reading import DeviceReading


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
class PortOrder:
    """Ports by name."""

    index_of: Mapping[str, int]  # port name -> ifIndex: what it was made of, with the rows of a reading
    if_index: NDArray[np.int64]
    names: tuple[str, ...]
    interfaces: tuple[Entity, ...]
    rows: NDArray[np.intp]  # (ports,): the row of each in the reading

    @classmethod
    def of(cls, index_of: Mapping[str, int], reading: DeviceReading, entity: Callable[[str], Entity]) -> "PortOrder":
        row_of = {index: row for row, index in enumerate(reading.ports.if_index.tolist())}
        names = tuple(sorted(index_of))
        return cls(
            index_of=index_of,
            if_index=reading.ports.if_index,
            names=names,
            interfaces=tuple(map(entity, names)),
            rows=np.array([row_of[index_of[name]] for name in names], np.intp),
        )

    def is_of(self, index_of: Mapping[str, int], reading: DeviceReading) -> bool:
        """Whether it would be made of these again."""
        return self.index_of is index_of and self.if_index is reading.ports.if_index

    def rows_in(self, reading: DeviceReading, index_of: Mapping[str, int]) -> NDArray[np.intp]:
        """The rows of these ports in another reading, in which they had the given ifIndexes; -1 where it lacks one."""
        if self.is_of(index_of, reading):
            return self.rows
        row_of = {index: row for row, index in enumerate(reading.ports.if_index.tolist())}
        return np.array([row_of.get(index_of.get(name, -1), -1) for name in self.names], np.intp)

"""What one group of objects gave: gauges with their units, what is not believed and why, neighbours, port hints."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from netmote.snmp.session import SnmpSession


class Gauge(NamedTuple):
    """One number. `name` is the object's name in its MIB, of a row `<object>/<row>`."""

    name: str
    value: float
    unit: str
    state: str = ""  # the MIB's word for an enumerated value


class Neighbour(NamedTuple):
    """What LLDP heard on one port (LLDP-MIB lldpRemTable)."""

    local_port: str
    chassis_id: str
    port_id: str
    port_descr: str
    sys_name: str


class Station(NamedTuple):
    """A hardware address that a switch forwards to a port (BRIDGE-MIB, Q-BRIDGE-MIB)."""

    port: str
    address: str
    filtering_database: int | None  # dot1qFdbId, which most devices number as their VLANs; None where the table knows none


class BgpPeer(NamedTuple):
    """One row of bgpPeerTable (BGP4-MIB)."""

    address: str
    remote_as: int
    state: str  # in the MIB's word
    is_wanted: bool  # bgpPeerAdminStatus is start
    transitions: int | None  # how often it became established
    seconds: int | None  # since it did, or since it no longer is
    last_error: str  # "" for none

    @property
    def is_established(self) -> bool:
        return self.state == "established"

    @property
    def is_lost(self) -> bool:
        """Whether it is wanted, was established before, and is not now."""
        return self.is_wanted and not self.is_established and bool(self.transitions)


class ObjectOutcome(NamedTuple):
    """One object of a profile: what it gave, or why nothing."""

    name: str
    oid: str
    gauges: tuple[Gauge, ...]
    nothing: str  # "" where it gave something


@dataclass(slots=True)
class Found:
    """One reading of one group. Empty: the device has nothing of it."""

    gauges: list[Gauge] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    neighbours: tuple[Neighbour, ...] | None = None
    port_hints: Mapping[str, str] = field(default_factory=dict)  # port -> why it looks like a duplex mismatch
    outcomes: tuple[ObjectOutcome, ...] = ()
    stations: tuple[Station, ...] = ()
    peers: tuple[BgpPeer, ...] | None = None
    next_after: float | None = None  # seconds until it is worth reading again; None: the interval of details
    is_there: bool = False  # the device has the group, though perhaps nothing to give just now

    @property
    def is_empty(self) -> bool:
        return not (self.is_there or self.gauges or self.doubts or self.neighbours)


class Group(Protocol):
    """Objects that are read together; a failure costs these and no others."""

    @property
    def name(self) -> str: ...

    async def read(self, session: SnmpSession, ports: Mapping[int, str]) -> Found:
        """Read it. `ports` are names by ifIndex. Raises the session's errors, WalkLooped, AgentError."""
        ...


def row_names(indexes: Iterable[tuple[int, ...]], labels: Mapping[tuple[int, ...], str]) -> dict[tuple[int, ...], str]:
    """A name for each row: its label, with its index where two rows share a label, else its index. No name holds a slash twice."""
    rows = list(indexes)
    seen: dict[str, int] = {}
    for row in rows:
        seen[labels.get(row, "")] = seen.get(labels.get(row, ""), 0) + 1
    names = {}
    for row in rows:
        label, index = labels.get(row, ""), dotted(row)
        names[row] = index if not label else label if seen[label] == 1 else f"{label} #{index}"
    return names


def dotted(index: Sequence[int]) -> str:
    """Arcs as people read them."""
    return ".".join(map(str, index))

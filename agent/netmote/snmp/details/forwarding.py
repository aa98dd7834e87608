"""BRIDGE-MIB (RFC 4188) and Q-BRIDGE-MIB (RFC 4363): which hardware address a switch forwards to which of its ports.

Such a table has tens of rows or tens of thousands, so it is read a page at a time: a few requests at each reading, from where the last
one ended, until all of it was seen; then it rests, since what it holds ages over minutes. What is known meanwhile is the last whole
table. Beyond `MOST_STATIONS` the rest is left out, and that is said. Agents give it in the order of their hash tables, whatever RFC 3416
says of GETNEXT: rows come in any order, each once.

Nothing that comes and goes here is a fact by itself: entries age out whenever a host is silent, and come back with its next frame.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from netmote.snmp.details.found import Found, Gauge, Station, dotted
from netmote.snmp.details.tables import table
from netmote.snmp.details.values import integer
from netmote.snmp.mib import END_OF_MIB_VIEW, EXCEPTIONS, NO_SUCH_NAME
from netmote.snmp.oid import decode_arcs, parse_oid
from netmote.snmp.session import AgentError, SnmpSession, UnreadableAnswer, Varbind, WalkLooped

MOST_STATIONS: Final = 20_000
REQUESTS_A_READING: Final = 20  # of 20 rows
_VARBINDS: Final = 40  # names of these tables are up to 27 octets long: 1,400 octets an answer
REST_SECONDS: Final = 300.0  # dot1dTpAgingTime as a rule
_PORT_NAMES_SECONDS: Final = 3600.0
_IF_INDEX_OF_PORT: Final = parse_oid("1.3.6.1.2.1.17.1.4.1.2")  # dot1dBasePortIfIndex
_ADDRESS_OCTETS = 6
_SELF, _INVALID = 4, 2  # dot1dTpFdbStatus, dot1qTpFdbStatus


@dataclass(slots=True)
class _Column:
    oid: bytes
    at: bytes = b""  # index octets from where it goes on
    rows: int = 0
    is_done: bool = False


class _Pass:
    """One way through one of the two tables. Rows are known by their index octets, and kept no longer than the pass lasts."""

    def __init__(self, name: str, entry: str, port: int, status: int, index_arcs: int) -> None:
        self.name, self._index_arcs = name, index_arcs
        self._port, self._status = _Column(parse_oid(f"{entry}.{port}")), _Column(parse_oid(f"{entry}.{status}"))
        self._numbers: dict[bytes, int] = {}  # of bridge ports, by index
        self._not_hosts: set[bytes] = set()  # indexes of the switch's own addresses, and of rows that are being removed

    @property
    def is_done(self) -> bool:
        return self._port.is_done and self._status.is_done

    @property
    def has_vlans(self) -> bool:
        return self._index_arcs > _ADDRESS_OCTETS

    @property
    def rows(self) -> int:
        return max(self._port.rows, self._status.rows)

    async def page(self, session: SnmpSession) -> None:
        """One request. Raises what the session does, WalkLooped, AgentError, UnreadableAnswer."""
        live = [column for column in (self._port, self._status) if not column.is_done]
        reply = await session.bulk([], [column.oid + column.at for column in live], _VARBINDS // len(live))
        if reply.error_status == NO_SUCH_NAME:  # how agents of v1 descent say "nothing more"
            for column in live:
                column.is_done = True
            return
        if reply.error_status:
            raise AgentError(f"the device answers error-status {reply.error_status} to {self.name}")
        if not reply.varbinds:
            raise UnreadableAnswer("the device answers a table walk without any variable")
        for place, column in enumerate(live):
            self._take(column, reply.varbinds[place :: len(live)])

    def _take(self, column: _Column, varbinds: list[Varbind]) -> None:
        for varbind in varbinds:
            if varbind.tag == END_OF_MIB_VIEW or not varbind.oid.startswith(column.oid):
                column.is_done = True
                return
            octets = varbind.oid[len(column.oid) :]
            value = 0 if varbind.tag in EXCEPTIONS else integer(varbind) or 0
            if column is self._status:
                if value in (_SELF, _INVALID):
                    self._not_hosts.add(octets)
            elif octets in self._numbers:
                raise WalkLooped(f"the device's {self.name} comes back to .{dotted(_arcs(octets))}")
            else:
                self._numbers[octets] = value
            column.at = octets
            column.rows += 1

    def stations(self, ports: Mapping[int, str]) -> Iterator[Station]:
        """Hosts beyond a port: neither the switch's own addresses nor entries without a port."""
        for octets, number in self._numbers.items():
            index = () if number <= 0 or octets in self._not_hosts else _arcs(octets)
            if len(index) != self._index_arcs or max(index[-_ADDRESS_OCTETS:]) > 0xFF:
                continue
            address = bytes(index[-_ADDRESS_OCTETS:]).hex(":")
            yield Station(ports.get(number, str(number)), address, index[0] if self.has_vlans else None)


def _arcs(octets: bytes) -> tuple[int, ...]:
    try:
        return decode_arcs(octets)
    except ValueError as error:
        raise UnreadableAnswer(f"the device answers with a broken OID: {error}") from error


def _q_bridge() -> _Pass:
    return _Pass("dot1qTpFdbTable", "1.3.6.1.2.1.17.7.1.2.2.1", 2, 3, 1 + _ADDRESS_OCTETS)


def _bridge() -> _Pass:
    return _Pass("dot1dTpFdbTable", "1.3.6.1.2.1.17.4.3.1", 2, 3, _ADDRESS_OCTETS)


class Forwarding:
    """Reads the table that knows VLANs, and where that is empty the other one."""

    name = "forwarding"

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        requests: int = REQUESTS_A_READING,
        most_stations: int = MOST_STATIONS,
        keeps_stations: bool = True,
    ) -> None:
        """`requests` at each reading. Without `keeps_stations` they are counted and forgotten: 200 octets each, times devices."""
        self._monotonic, self._requests, self._most_stations = monotonic, requests, most_stations
        self._keeps_stations = keeps_stations
        self._pass: _Pass | None = None
        self._ports: dict[int, int] = {}  # dot1dBasePort -> ifIndex
        self._ports_at: float | None = None
        self._known = Found()

    async def read(self, session: SnmpSession, ports: Mapping[int, str]) -> Found:
        """One page; the last whole table, until this one is whole too."""
        try:
            return await self._read(session, ports)
        except BaseException:
            self._pass = None  # from the beginning, next time
            raise

    async def _read(self, session: SnmpSession, ports: Mapping[int, str]) -> Found:
        running = self._pass = self._pass or _q_bridge()
        for _ in range(self._requests):
            await running.page(session)
            if running.is_done and not running.rows and running.has_vlans:
                running = self._pass = _bridge()
            elif running.is_done or running.rows >= self._most_stations:
                break
        else:
            return self._so_far()
        if running.rows:
            await self._learn_ports(session)
        self._pass = None
        self._known = self._whole(running, ports)
        return self._known

    async def _learn_ports(self, session: SnmpSession) -> None:
        """Bridge ports have numbers of their own."""
        if self._ports_at is None or self._monotonic() - self._ports_at >= _PORT_NAMES_SECONDS:
            walk = await table(session, (_IF_INDEX_OF_PORT,), self._monotonic)
            cells = walk.cells[_IF_INDEX_OF_PORT]
            self._ports = {index[0]: value for index, cell in cells.items() if (value := integer(cell)) is not None}
            self._ports_at = self._monotonic()

    def _so_far(self) -> Found:
        """What is known while a pass runs: it goes on at once."""
        known = self._known
        return Found(gauges=known.gauges, doubts=known.doubts, stations=known.stations, is_there=True, next_after=0.0)

    def _whole(self, whole: _Pass, ports: Mapping[int, str]) -> Found:
        names = {number: ports[index] for number, index in self._ports.items() if index in ports}
        if not whole.rows:
            return Found()
        of_ports: Counter[str] = Counter()
        kept = []
        for station in whole.stations(names):
            of_ports[station.port] += 1
            if self._keeps_stations:
                kept.append(station)
        kept.sort(key=lambda station: (station.port, station.address, station.filtering_database or 0))
        address = whole.name.replace("Table", "Address")
        return Found(
            gauges=[
                Gauge(f"{address}/count", float(of_ports.total()), "station"),
                Gauge(f"{address}/max", float(max(of_ports.values(), default=0)), "station"),  # behind one port
            ],
            doubts=[] if whole.is_done else [f"{whole.name}: has more than {self._most_stations} rows; the rest is not kept"],
            stations=tuple(kept),
            is_there=True,
            next_after=REST_SECONDS,
        )

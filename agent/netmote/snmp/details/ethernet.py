"""EtherLike-MIB (RFC 3635): errors of the medium, and the two marks of a duplex mismatch."""

from collections.abc import Callable, Mapping

from netmote.snmp import mib
from netmote.snmp.counters import Instant
from netmote.snmp.details.found import Found, Gauge
from netmote.snmp.details.rates import CounterRates
from netmote.snmp.details.tables import NamedTable
from netmote.snmp.details.values import counter, integer, number
from netmote.snmp.oid import parse_oid
from netmote.snmp.session import SnmpSession
from netmote.snmp.walk import get_cells

_COUNTERS = {
    name: parse_oid(f"1.3.6.1.2.1.10.7.2.1.{arc}")
    for name, arc in {"dot3StatsAlignmentErrors": 2, "dot3StatsFCSErrors": 3, "dot3StatsLateCollisions": 8}.items()
}
_DUPLEX = parse_oid("1.3.6.1.2.1.10.7.2.1.19")
_HALF, _FULL = 2, 3


class Ethernet:
    """Sums over all ports, per second; ports that look like one end of a duplex mismatch are named.

    The half-duplex end of one sees late collisions, which a sound segment never has; the full-duplex end sees frames that break off.
    """

    name = "ethernet"

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._table = NamedTable((*_COUNTERS.values(), _DUPLEX), None, monotonic=monotonic)
        self._rates = CounterRates()

    async def read(self, session: SnmpSession, ports: Mapping[int, str]) -> Found:
        walk = await self._table.read(session)
        if not walk.indexes:
            return Found()
        clock, round_trip = await get_cells(session, [mib.SYS_UP_TIME])
        duplex = {index[0]: integer(cell) for index, cell in walk.cells[_DUPLEX].items()}
        counts: dict[str, tuple[int, int]] = {}
        for name, column in _COUNTERS.items():
            for index, cell in walk.cells[column].items():
                if (value := counter(cell)) is not None:
                    counts[f"{name}/{index[0]}"] = value
        up_time = number(clock.get(mib.SYS_UP_TIME))
        at = Instant(self._monotonic(), round_trip, None if up_time is None else int(up_time))
        rates = self._rates.observe(counts, at)
        found = Found(is_there=True)
        for name in _COUNTERS:
            of_ports = [rate for port, rate in rates.items() if port.partition("/")[0] == name]
            if of_ports:
                found.gauges.append(Gauge(name, sum(of_ports), "1/s"))
        known = [value for value in duplex.values() if value in (_HALF, _FULL)]
        if known:
            found.gauges.append(Gauge("dot3StatsDuplexStatus/halfDuplex", float(known.count(_HALF)), "port"))
        found.port_hints = {
            ports.get(index, str(index)): hint for index, value in duplex.items() if (hint := _hint(rates, index, value))
        }
        return found


def _hint(rates: Mapping[str, float], index: int, duplex: int | None) -> str:
    broken = rates.get(f"dot3StatsFCSErrors/{index}", 0.0) + rates.get(f"dot3StatsAlignmentErrors/{index}", 0.0)
    if duplex == _HALF and rates.get(f"dot3StatsLateCollisions/{index}", 0.0) > 0:
        return "half duplex with late collisions: the other end may be full duplex"
    if duplex == _FULL and rates.get(f"dot3StatsAlignmentErrors/{index}", 0.0) > 0 and broken > 0:
        return "full duplex with frames that break off: the other end may be half duplex"
    return ""

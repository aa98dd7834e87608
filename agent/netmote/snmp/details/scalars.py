"""The scalars that are read of every device: IP-MIB, TCP-MIB, UDP-MIB, BRIDGE-MIB, HOST-RESOURCES-MIB and UCD-SNMP-MIB."""

from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple

from netmote.snmp import mib
from netmote.snmp.counters import Instant
from netmote.snmp.details.found import Found, Gauge
from netmote.snmp.details.rates import CounterRates
from netmote.snmp.details.values import counter, number, unsigned
from netmote.snmp.oid import parse_oid
from netmote.snmp.session import SnmpSession
from netmote.snmp.walk import get_cells


class Scalar(NamedTuple):
    """One scalar. A counter is given as its rate per second."""

    name: str
    oid: bytes
    kind: Literal["gauge", "counter"]
    unit: str
    scale: float = 1.0


def _gauges(unit: str, group: str, objects: Mapping[str, str], scale: float = 1.0) -> list[Scalar]:
    return [Scalar(name, parse_oid(f"{group}.{arcs}.0"), "gauge", unit, scale) for name, arcs in objects.items()]


def _counters(unit: str, group: str, objects: Mapping[str, str]) -> list[Scalar]:
    return [Scalar(name, parse_oid(f"{group}.{arcs}.0"), "counter", unit) for name, arcs in objects.items()]


_IP, _TCP, _UDP = "1.3.6.1.2.1.4", "1.3.6.1.2.1.6", "1.3.6.1.2.1.7"
_HOST, _UCD = "1.3.6.1.2.1.25", "1.3.6.1.4.1.2021"
_KIBIBYTE = 1024.0

# RFC 4293, RFC 4022, RFC 4113, RFC 4188, RFC 2790, UCD-SNMP-MIB.
SCALARS: Final[Mapping[str, tuple[Scalar, ...]]] = {
    "ip": (
        *_counters("datagram/s", _IP, {"ipInReceives": "3", "ipInHdrErrors": "4", "ipInAddrErrors": "5", "ipForwDatagrams": "6"}),
        *_counters("datagram/s", _IP, {"ipInUnknownProtos": "7", "ipInDiscards": "8", "ipOutRequests": "10"}),
        *_counters("datagram/s", _IP, {"ipOutDiscards": "11", "ipOutNoRoutes": "12", "ipReasmFails": "16", "ipFragFails": "18"}),
    ),
    "tcp": (
        *_gauges("connection", _TCP, {"tcpCurrEstab": "9"}),
        *_counters("connection/s", _TCP, {"tcpActiveOpens": "5", "tcpPassiveOpens": "6", "tcpAttemptFails": "7"}),
        *_counters("connection/s", _TCP, {"tcpEstabResets": "8"}),
        *_counters("segment/s", _TCP, {"tcpInSegs": "10", "tcpOutSegs": "11", "tcpRetransSegs": "12", "tcpInErrs": "14"}),
        *_counters("segment/s", _TCP, {"tcpOutRsts": "15"}),
    ),
    "udp": tuple(
        _counters("datagram/s", _UDP, {"udpInDatagrams": "1", "udpNoPorts": "2", "udpInErrors": "3", "udpOutDatagrams": "4"})
    ),
    "bridge": (  # BRIDGE-MIB
        *_counters("entry/s", "1.3.6.1.2.1.17.4", {"dot1dTpLearnedEntryDiscards": "1"}),
        *_counters("change/s", "1.3.6.1.2.1.17.2", {"dot1dStpTopChanges": "4"}),
    ),
    "host": (
        *_gauges("user", _HOST, {"hrSystemNumUsers": "1.5"}),
        *_gauges("process", _HOST, {"hrSystemProcesses": "1.6"}),
        *_gauges("byte", _HOST, {"hrMemorySize": "2.2"}, _KIBIBYTE),
    ),
    "ucd memory": tuple(
        _gauges(
            "byte",
            f"{_UCD}.4",
            {
                "memTotalSwap": "3",
                "memAvailSwap": "4",
                "memTotalReal": "5",
                "memAvailReal": "6",
                "memBuffer": "14",
                "memCached": "15",
            },
            _KIBIBYTE,
        )
    ),
    "ucd cpu": (
        *_counters("tick/s", f"{_UCD}.11", {"ssCpuRawUser": "50", "ssCpuRawNice": "51", "ssCpuRawSystem": "52"}),
        *_counters("tick/s", f"{_UCD}.11", {"ssCpuRawIdle": "53", "ssCpuRawWait": "54", "ssCpuRawInterrupt": "56"}),
        *_counters("tick/s", f"{_UCD}.11", {"ssCpuRawSoftIRQ": "61", "ssCpuRawSteal": "64"}),
        *_counters("block/s", f"{_UCD}.11", {"ssIORawSent": "57", "ssIORawReceived": "58"}),
        *_counters("interrupt/s", f"{_UCD}.11", {"ssRawInterrupts": "59"}),
        *_counters("switch/s", f"{_UCD}.11", {"ssRawContexts": "60"}),
    ),
}
# Integer32 that outgrow it: kibibytes beyond 2 TiB come out negative.
_UNSIGNED = frozenset(("hrMemorySize", *(scalar.name for scalar in SCALARS["ucd memory"])))


class ScalarGroup:
    """One row of SCALARS, in one GET with sysUpTime."""

    def __init__(self, name: str, *, monotonic: Callable[[], float]) -> None:
        self.name = name
        self._monotonic = monotonic
        self._rates = CounterRates()

    async def read(self, session: SnmpSession, ports: Mapping[int, str]) -> Found:
        del ports
        scalars = SCALARS[self.name]
        cells, round_trip = await get_cells(session, [mib.SYS_UP_TIME, *(scalar.oid for scalar in scalars)])
        found = Found(is_there=any(scalar.oid in cells for scalar in scalars))
        counters: dict[str, tuple[int, int]] = {}
        for scalar in scalars:
            cell = cells.get(scalar.oid)
            if cell is None:
                continue
            if scalar.kind == "counter":
                count = counter(cell)
                if count is None:
                    found.doubts.append(f"{scalar.name}: not a counter (tag {cell.tag:#04x})")
                else:
                    counters[scalar.name] = count
                continue
            value = unsigned(cell) if scalar.name in _UNSIGNED else number(cell)
            if value is None:
                found.doubts.append(f"{scalar.name}: not a number (tag {cell.tag:#04x})")
            else:
                found.gauges.append(Gauge(scalar.name, value * scalar.scale, scalar.unit))
        up_time = number(cells.get(mib.SYS_UP_TIME))
        at = Instant(self._monotonic(), round_trip, None if up_time is None else int(up_time))
        rates = self._rates.observe(counters, at)
        found.gauges += [Gauge(each.name, rates[each.name], each.unit) for each in scalars if each.name in rates]
        return found

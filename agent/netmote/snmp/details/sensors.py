"""ENTITY-SENSOR-MIB (RFC 3433) under the names of ENTITY-MIB (RFC 6933)."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from netmote.snmp.details.found import Found, Gauge, row_names
from netmote.snmp.details.tables import NamedTable
from netmote.snmp.details.values import integer, number
from netmote.snmp.oid import parse_oid
from netmote.snmp.session import SnmpSession

_PHYSICAL_NAME = parse_oid("1.3.6.1.2.1.47.1.1.1.1.7")
_TYPE, _SCALE, _PRECISION, _VALUE, _STATUS = (parse_oid(f"1.3.6.1.2.1.99.1.1.1.{arc}") for arc in range(1, 6))

# EntitySensorDataType.
UNITS: Final = {
    1: "other", 2: "unknown", 3: "voltsAC", 4: "voltsDC", 5: "amperes", 6: "watts", 7: "hertz", 8: "celsius", 9: "percentRH",
    10: "rpm", 11: "cmm", 12: "truthvalue",
}  # fmt: skip
_UNITS_SCALE = 9  # EntitySensorDataScale units(9): each step is a factor of 1000, from yocto(1) to yotta(17)
_STATUS_OK, _STATUS_WORDS = 1, {2: "unavailable", 3: "nonoperational"}
_OUT_OF_RANGE = 1_000_000_000  # EntitySensorValue: beyond it the sensor overflows


def sensor_value(value: float, scale: int, precision: int) -> float:
    """The reading in its unit. Exponents are added first, so that milli with one decimal place loses nothing."""
    exponent = 3 * (scale - _UNITS_SCALE) - precision
    return value * 10.0**exponent if exponent >= 0 else value / 10.0**-exponent


class Sensors:
    """entPhySensorValue of sensors that work; how many do not."""

    name = "sensors"

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._table = NamedTable((_TYPE, _SCALE, _PRECISION, _VALUE, _STATUS), _PHYSICAL_NAME, monotonic=monotonic)

    async def read(self, session: SnmpSession, ports: Mapping[int, str]) -> Found:
        del ports
        walk = await self._table.read(session)
        found = Found(is_there=bool(walk.indexes))
        failed: Counter[str] = Counter()
        for index, name in row_names(walk.indexes, self._table.labels).items():
            kind, scale, precision, status = (
                integer(walk.cells[column].get(index)) for column in (_TYPE, _SCALE, _PRECISION, _STATUS)
            )
            if status is not None and status != _STATUS_OK:
                failed[_STATUS_WORDS.get(status, "unknown")] += 1
                continue
            value = number(walk.cells[_VALUE].get(index))
            if value is None or kind is None:
                continue
            precision, scale = precision or 0, scale or _UNITS_SCALE  # agents leave both 0 for "as it is"
            if abs(value) >= _OUT_OF_RANGE or not 1 <= scale <= 17 or not -8 <= precision <= 9:
                found.doubts.append(f"entPhySensorValue/{name}: {value:g} at scale {scale}, precision {precision}")
                continue
            unit = UNITS.get(kind, "unknown")
            found.gauges.append(Gauge(f"entPhySensorValue/{name}", sensor_value(value, scale, precision), unit))
        found.gauges += [
            Gauge(f"entPhySensorOperStatus/{word}", float(count), "sensor") for word, count in sorted(failed.items())
        ]
        return found

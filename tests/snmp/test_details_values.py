"""Numbers and texts of odd cells, and rates of counters."""

import struct

import pytest

from netmote.snmp import mib
from netmote.snmp.counters import Instant
from netmote.snmp.details.rates import CounterRates
from netmote.snmp.details.sensors import sensor_value
from netmote.snmp.details.values import OPAQUE, counter, number, text, unsigned
from netmote.snmp.session import Varbind


def cell(tag: int, value: bytes) -> Varbind:
    return Varbind(b"+", tag, value)


@pytest.mark.parametrize(
    ("tag", "value", "expected"),
    [
        (mib.INTEGER, b"\xec", -20.0),
        (mib.INTEGER, b"\0\xff\xff", 65535.0),
        (mib.GAUGE32, b"\xff\xff\xff\xff", 2.0**32 - 1),
        (mib.GAUGE32, b"\x00\xff\xff\xff\xff", 2.0**32 - 1),
        (mib.COUNTER64, b"\xff" * 8, 2.0**64),
        (mib.OCTET_STRING, b"22.00 degrees C", 22.0),
        (mib.OCTET_STRING, b"-64.000000", -64.0),
        (mib.OCTET_STRING, b"24C (75F) ambient", 24.0),
        (mib.OCTET_STRING, b"n/a", None),
        (OPAQUE, b"\x9f\x78\x04" + struct.pack(">f", 0.5), 0.5),
        (OPAQUE, b"\x9f\x79\x08" + struct.pack(">d", -2.25), -2.25),
        (OPAQUE, b"\x9f\x78\x04" + struct.pack(">f", float("nan")), None),
        (OPAQUE, b"\x9f\x78\x04\0", None),
        (mib.INTEGER, b"", None),
        (mib.OBJECT_IDENTIFIER, b"\x2b", None),
    ],
)
def test_numbers(tag: int, value: bytes, expected: float | None) -> None:
    """Each type in each form agents give it; what is no number is none."""
    assert number(cell(tag, value)) == expected


def test_integer32_that_outgrew_itself_is_read_as_what_it_stands_for() -> None:
    """A negative hrStorageSize is the count above 2^31."""
    assert unsigned(cell(mib.INTEGER, (-(2**31)).to_bytes(4, "big", signed=True))) == 2**31
    assert unsigned(cell(mib.INTEGER, b"\xff")) == 2**32 - 1
    assert unsigned(cell(mib.GAUGE32, b"\xff")) == 255


def test_names_are_one_line() -> None:
    """Control characters and padding go; bytes that are not UTF-8 are Latin-1; a sentence is cut."""
    assert text(cell(mib.OCTET_STRING, b" FAN\0\r\n 1 ")) == "FAN 1"
    assert text(cell(mib.OCTET_STRING, b"K\xfchler")) == "Kühler"
    assert len(text(cell(mib.OCTET_STRING, b"x" * 500))) == 64


@pytest.mark.parametrize(
    ("value", "scale", "precision", "expected"),
    [(235, 9, 1, 23.5), (3312, 8, 0, 3.312), (12, 10, 0, 12000.0), (1, 9, 0, 1.0), (-105, 9, 1, -10.5), (5, 9, -2, 500.0)],
)
def test_sensor_scales(value: int, scale: int, precision: int, expected: float) -> None:
    """EntitySensorDataScale and EntitySensorPrecision of RFC 3433."""
    assert sensor_value(value, scale, precision) == pytest.approx(expected, rel=1e-12)


def test_rates_run_by_the_agents_clock_and_through_a_wrap() -> None:
    """10 s by sysUpTime; a Counter32 through the top; the first time there is none."""
    rates = CounterRates()
    assert rates.observe({"a": (2**32 - 50, 32)}, Instant(0.0, 0.01, 1000)) == {}
    assert rates.observe({"a": (50, 32)}, Instant(10.02, 0.01, 2000)) == {"a": pytest.approx(10.0)}


@pytest.mark.parametrize(
    ("later", "at"),
    [
        ((90, 32), Instant(10.0, 0.01, 2000)),  # went back: most of the way round is no wrap
        ((110, 64), Instant(10.0, 0.01, 2000)),  # another counter
        ((110, 32), Instant(10.0, 0.01, 50)),  # the agent restarted
        ((110, 32), Instant(10_000.0, 0.01, 1_001_000)),  # too long ago for 32 bits
    ],
)
def test_doubtful_differences_are_none(later: tuple[int, int], at: Instant) -> None:
    """No number is better than a wrong one."""
    rates = CounterRates()
    rates.observe({"a": (100, 32)}, Instant(0.0, 0.01, 1000))
    assert rates.observe({"a": later}, at) == {}


def test_only_counters_are_counters() -> None:
    """A gauge under a counter's name gives no rate."""
    assert counter(cell(mib.GAUGE32, b"\x05")) is None
    assert counter(cell(mib.COUNTER32, b"\xff\xff\xff\xff")) == (2**32 - 1, 32)

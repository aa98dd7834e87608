"""Numbers as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmote.web import quantity

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "\N{EN DASH}"), (math.nan, "\N{EN DASH}"), (math.inf, "\N{EN DASH}"), (0, "0"), (0.0042, "0.0042"), (3.14159, "3.14"), (412.4, "412"), (12_345.6, "12,346"),
     (-7.5, "-7.5"), (1e-9, "0"), (0.000012, "0.000012"), (5_812_345_112, "5,812,345,112")],
)  # fmt: skip
def test_figure(value: float | None, text: str) -> None:
    """Three digits that matter, no exponents."""
    assert quantity.figure(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(4_213_000, "bit/s", "4.21 Mbit/s"), (999.6, "B", "1 kB"), (0, "B", "0 B"), (None, "B", "\N{EN DASH}"), (1.2e9, "B", "1.2 GB"), (412, "B", "412 B")],
)  # fmt: skip
def test_scaled(value: float | None, unit: str, text: str) -> None:
    """Decimal prefixes, as network equipment counts."""
    assert quantity.scaled(value, unit) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(412.0, "1", "412"), (20.5, "1/s", "20.5 /s"), (1_500_000.0, "By/s", "1.5 MB/s"), (3.2, "bit", "3.2 bit"), (None, "s", "\N{EN DASH}"), (0.93, "", "0.93")],
)  # fmt: skip
def test_quantity(value: float | None, unit: str, text: str) -> None:
    """A feature's own unit; a pure number has none."""
    assert quantity.quantity(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "\N{EN DASH}"), (0, "0 s"), (0.32, "320 ms"), (4.2, "4.2 s"), (59.0, "59 s"), (60, "1 min"), (310, "5 min 10 s"), (3_600, "1 h"),
     (3_601, "1 h"), (273_840, "3 d 4 h"), (-90, "\N{MINUS SIGN}1 min 30 s")],
)  # fmt: skip
def test_duration(seconds: float | None, text: str) -> None:
    """The two largest parts that follow each other."""
    assert quantity.duration(seconds) == text


@pytest.mark.parametrize(
    ("offset", "text"), [(0, "now"), (12, "12 s ago"), (95, "1 min 35 s ago"), (-30, "in 30 s"), (0.9, "now")]
)
def test_age(offset: float, text: str) -> None:
    """Past, present, and a clock that was set back."""
    now = 1_700_000_000 * SECOND
    assert quantity.age(now - round(offset * SECOND), now) == text


def test_instants() -> None:
    """UTC to the second, for people and for the datetime attribute."""
    assert quantity.instant(1_700_000_000 * SECOND) == "2023-11-14 22:13:20 UTC"
    assert quantity.machine_instant(0) == "1970-01-01T00:00:00Z"
    assert quantity.instant(None) == quantity.age(None, 0) == "\N{EN DASH}"
    assert quantity.percent(0.125) == "12.5 %"
    assert quantity.rate(12_400.0, "packets/s") == "12,400 packets/s"
    assert quantity.rate(12_400.0, "bit/s") == "12.4 kbit/s"


@given(st.floats())
def test_any_number_has_a_text(value: float) -> None:
    """Nothing a sensor computes breaks the page."""
    for text in (quantity.figure(value), quantity.scaled(value, "B"), quantity.duration(value)):
        assert text
        assert "e+" not in text
        assert "nan" not in text


def test_counted_things_are_named_without_braces() -> None:
    """UCUM's `{packet}/s` reads `packet/s`."""
    assert quantity.quantity(16.7, "{packet}/s") == "16.7 packet/s"
    assert quantity.quantity(1000, "{port}") == "1,000 port"

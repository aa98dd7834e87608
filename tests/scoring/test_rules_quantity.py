"""Thresholds with units."""

import pytest

from netmote.scoring.rules.quantity import parse_quantity, percent_text, quantity_text, written_units
from netmote.windows.schemas import ALL


@pytest.mark.parametrize(
    ("written", "unit", "number"),
    [
        (20, "By/s", 20.0),
        ("20", "By/s", 20.0),
        ("20 kB/s", "By/s", 20_000.0),
        ("1KiB/s", "By/s", 1024.0),
        ("16 Mbit/s", "By/s", 2e6),
        ("1.5 MB", "By", 1.5e6),
        ("90 %", "1", 0.9),
        ("-2 s", "s", -2.0),
        ("250ms", "s", 0.25),
        ("2 min", "s", 120.0),
        ("20 packets/min", "{packet}/s", 20 / 60),
        ("50 /s", "{packet}/s", 50.0),
        ("1 query/s", "{query}/s", 1.0),
        ("30 queries/min", "{query}/s", 0.5),
        ("30 addresses", "{address}", 30.0),
        ("1e3 ports", "{port}", 1000.0),
        ("3.6 bit", "bit", 3.6),
    ],
)
def test_a_quantity_becomes_a_number_in_the_unit_of_the_feature(written, unit, number):
    """What people write is converted exactly."""
    assert parse_quantity(written, unit) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("20 kB", "By/s"),
        ("90 %", "By"),
        ("5 s", "1"),
        ("20 MB/s", "{packet}/s"),
        ("ports", "{port}"),
        ("", "1"),
        ("20 Mbit", "By"),
    ],
)
def test_a_unit_of_another_kind_is_refused_with_those_that_are_allowed(written, unit):
    """A rate is not a size: the message names what may be written."""
    with pytest.raises(ValueError, match="one of " + next(iter(written_units(unit)), "").replace("/", "/")):
        parse_quantity(written, unit)


def test_every_unit_of_the_schemas_can_be_written():
    """Each feature that ships takes a bare number and each of its units."""
    for schema in ALL:
        for feature in schema.features:
            assert parse_quantity("1", feature.unit) == 1.0
            for unit, factor in written_units(feature.unit).items():
                assert parse_quantity(f"2 {unit}", feature.unit) == pytest.approx(2 * factor)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2_880_000.0, "By/s", "2.88 MB/s"),
        (999.0, "By", "999 B"),
        (0.0, "By/s", "0 B/s"),
        (1000.0, "{port}", "1000"),
        (67.123, "{packet}/s", "67.1/s"),
        (0.5, "{packet}/s", "30/min"),
        (0.02, "s", "20 ms"),
        (-3600.0, "s", "-3600 s"),
        (3.456, "bit", "3.46 bit"),
        (0.12345, "1", "0.123"),
        (float("inf"), "1", "inf"),
        (float("nan"), "1", "nan"),
    ],
)
def test_a_value_is_written_for_people(value, unit, text):
    """Three significant digits and the unit."""
    assert quantity_text(value, unit) == text


def test_a_ratio_is_written_as_percent():
    """Ratios of titles read as percent."""
    assert percent_text(0.9731) == "97.3 %"

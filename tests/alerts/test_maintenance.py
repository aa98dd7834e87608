"""Recurring maintenance: silenced within its hours, forwarded outside them, by the wall clock of its zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from netmote.alerts.alert import AlertState
from netmote.alerts.book import AlertBook
from netmote.alerts.config import AlertsConfig
from netmote.alerts.maintenance import MaintenanceWindow
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Contributor, Finding, Severity

PORT, OTHER = Entity(EntityKind.INTERFACE, "sw1/1"), Entity(EntityKind.INTERFACE, "sw10/1")


def at(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).timestamp()) * 10**9


def window(**changes: object) -> MaintenanceWindow:
    return MaintenanceWindow.model_validate({"name": "patching", "begins": "22:30", "ends": "02:00", **changes})


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        ("2026-11-28 22:29:59", False),
        ("2026-11-28 22:30", True),  # a Saturday
        ("2026-11-29 01:59:59", True),
        ("2026-11-29 02:00", False),
        ("2026-11-29 22:30", False),
        ("2026-11-28 01:00", False),  # of Friday's, which is none
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_it_begins(when: str, *, is_open: bool) -> None:
    """Saturday 22:30 to Sunday 02:00, both ends as written."""
    assert window(days=["sat"]).covers("x", PORT, at(when)) is is_open


def test_a_window_within_a_day() -> None:
    """Closed before and after, on other days, and empty never: the same begin and end is a whole day."""
    short = window(days=["mon"], begins="09:00", ends="10:00")
    assert [short.covers("x", PORT, at(f"2026-11-30 {clock}")) for clock in ("08:59", "09:00", "10:00")] == [False, True, False]
    assert not short.covers("x", PORT, at("2026-12-01 09:30"))
    whole = window(days=["mon"], begins="00:00", ends="00:00")
    assert [whole.covers("x", PORT, at(f"2026-11-30 {clock}")) for clock in ("00:00", "23:59")] == [True, True]


def test_hours_are_those_of_the_zone_summer_and_winter() -> None:
    """23:00 in Berlin is 22:00 UTC in winter and 21:00 UTC in summer; the window follows the wall clock."""
    berlin = window(begins="23:00", ends="23:30", zone="Europe/Berlin")
    assert berlin.covers("x", PORT, at("2026-01-15 22:10"))
    assert berlin.covers("x", PORT, at("2026-07-15 21:10"))
    assert not berlin.covers("x", PORT, at("2026-07-15 22:10"))


def test_rule_and_entity_narrow_it() -> None:
    """One rule, one entity, or every port of one device and of no other that begins alike."""
    now = at("2026-11-28 23:00")
    assert not window(rule="interface_down").covers("vertical_scan", PORT, now)
    assert window(rule="interface_down", entity="interface:sw1/1").covers("interface_down", PORT, now)
    assert [window(entity="interface:sw1/*").covers("x", each, now) for each in (PORT, OTHER)] == [True, False]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"zone": "Mars/Olympus"}, "no time zone"),
        ({"entity": "sw1"}, "kind one of"),
        ({"days": []}, "at least 1"),
        ({"days": ["monday"]}, "'mon'"),
        ({"begins": "25:00"}, "begins"),
        ({"begins": "22:30+02:00"}, "write it as zone"),
    ],
)
def test_mistakes_are_named(changes: dict[str, object], said: str) -> None:
    """What is wrong and what is allowed."""
    with pytest.raises(ValidationError, match=said):
        window(**changes)


def test_yaml_reads_an_unquoted_time_as_a_number() -> None:
    """22:30 without quotes is 1350 in YAML 1.1, and means 22:30 all the same."""
    assert window(begins=1350) == window(begins="22:30")


def test_the_book_holds_back_and_says_it_when_the_window_ends() -> None:
    """An alert of the window is stored as silenced; still firing at its end, it is announced; one that ended within it stays held back."""
    book = AlertBook(AlertsConfig(maintenance=(window(),)), sensor="probe")

    def finding(text: str, group: str) -> Finding:
        return Finding(
            group=group, detector="rule", entity=PORT, start_ns=at(text), end_ns=at(text), surprise=6.0, severity=Severity.ERROR,
            title="down", contributors=(Contributor("x", "1", 1.0),), is_until_cleared=True,
        )  # fmt: skip

    (held,) = book.update(at("2026-11-28 23:00"), [finding("2026-11-28 23:00", "interface_down")])
    assert (held.state, held.is_silenced) == (AlertState.FIRING, True)
    assert book.advance(at("2026-11-29 01:59")) == ()
    (told,) = book.advance(at("2026-11-29 02:00"))
    assert (told.alert_id, told.is_silenced) == (held.alert_id, False)

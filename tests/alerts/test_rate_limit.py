"""A storm of alerts: so many are forwarded, the others are stored and counted in one digest, and none is lost."""

import pytest

from netmote.alerts.alert import Alert, AlertState
from netmote.alerts.book import AlertBook
from netmote.alerts.config import AlertsConfig
from netmote.alerts.rate_limit import DIGEST, RateLimit
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Cleared, Contributor, Finding, Severity

S = 1_000_000_000
MOST = 3


def port(number: int) -> Entity:
    return Entity(EntityKind.INTERFACE, f"sw1/{number}")


def down(number: int, at: int, *, severity: Severity = Severity.ERROR, group: str = "interface_errors") -> Finding:
    return Finding(
        group=group,
        detector="rule",
        entity=port(number),
        start_ns=at * S,
        end_ns=at * S,
        surprise=6.0,
        severity=severity,
        title="errors",
        contributors=(Contributor("x", "1", 1.0),),
        is_until_cleared=True,
    )


def cleared(number: int, at: int) -> Cleared:
    return Cleared("interface_errors", port(number), at * S)


def book() -> AlertBook:
    return AlertBook(AlertsConfig(forwarded_per_hour=MOST, update_interval=300.0, cool_down=0.0), sensor="probe")


def storm(alerts: AlertBook, count: int, *, at: int = 1_000) -> list[Alert]:
    return [alert for number in range(count) for alert in alerts.update((at + number) * S, [down(number, at + number)])]


def forwarded(said: list[Alert], group: str = "interface_errors") -> list[str]:
    return [alert.entity.name for alert in said if alert.group == group and not alert.is_silenced]


def test_so_many_are_forwarded_and_one_digest_tells_of_the_rest() -> None:
    """Ten ports, room for three: ten are stored, three forwarded, and the digest begins with the first held back."""
    alerts = book()
    said = storm(alerts, 10)
    assert len([alert for alert in said if alert.group == "interface_errors"]) == 10
    assert forwarded(said) == ["sw1/0", "sw1/1", "sw1/2"]
    (digest,) = [alert for alert in said if alert.group == DIGEST]
    assert (digest.entity, digest.severity, digest.is_silenced) == (Entity(EntityKind.SENSOR, "probe"), Severity.WARNING, False)
    assert digest.title == "1 alerts are held back, more than 3 within an hour: 1 interface_errors"
    assert alerts.counters.held_back == 7


def test_the_digest_is_told_anew_at_most_every_update_interval() -> None:
    """After five minutes it says how many there are by now; unchanged it says nothing."""
    alerts = book()
    storm(alerts, 10)
    (digest,) = [alert for alert in alerts.advance(1_400 * S) if alert.group == DIGEST]
    assert digest.title.startswith("7 alerts are held back")
    assert [contributor.value for contributor in digest.contributors] == [7.0]
    assert not [alert for alert in alerts.advance(1_800 * S) if alert.group == DIGEST]


def test_what_still_fires_is_forwarded_when_there_is_room() -> None:
    """An hour after the first, the next ones go out in turn; what ended meanwhile never does, and its end is not told either."""
    alerts = book()
    storm(alerts, 6)
    said = list(alerts.update(2_000 * S, [], [cleared(3, 2_000)]))
    assert [(alert.state, alert.is_silenced) for alert in said if alert.entity == port(3)] == [(AlertState.RESOLVED, True)]
    assert forwarded(list(alerts.advance((1_000 + 3_599) * S))) == []
    assert forwarded(list(alerts.advance((1_000 + 3_600) * S))) == ["sw1/4"]
    assert forwarded(list(alerts.advance((1_000 + 3_601) * S))) == ["sw1/5"]


def test_the_digest_ends_when_nothing_is_held_back() -> None:
    """Resolved once all is told or over and there is room; the next storm begins a new one that counts from one."""
    alerts = book()
    storm(alerts, 5)
    for number in range(5):
        alerts.update(2_000 * S, [], [cleared(number, 2_000)])
    ended = [alert for alert in alerts.advance(9_000 * S) if alert.group == DIGEST]
    assert [alert.state for alert in ended] == [AlertState.RESOLVED]
    again = [alert for alert in storm(alerts, 5, at=10_000) if alert.group == DIGEST]
    assert [alert.title[:2] for alert in again] == ["1 "]
    assert again[0].alert_id != ended[0].alert_id


def test_a_critical_alert_always_passes_and_takes_no_room() -> None:
    """Neither does one that is known upstream wait with its news."""
    alerts = book()
    storm(alerts, 5)
    said = list(alerts.update(1_100 * S, [down(9, 1_100, severity=Severity.CRITICAL)]))
    assert forwarded(said) == ["sw1/9"]
    graver = list(alerts.update(1_101 * S, [down(0, 1_101, severity=Severity.ALERT)]))
    assert forwarded(graver) == ["sw1/0"]
    # One that is held back and grows critical is told at once.
    assert forwarded(list(alerts.update(1_102 * S, [down(4, 1_102, severity=Severity.CRITICAL)]))) == ["sw1/4"]


def test_a_restart_changes_nothing() -> None:
    """The rest of the story is the same with a book restored in the middle of the storm, to the last revision."""
    first, second = book(), book()
    storm(first, 8)
    second.restore_state(first.state())
    for at in (1_400, 4_600, 4_601, 4_602, 9_000):
        assert first.advance(at * S) == second.advance(at * S)
    assert first.state() == second.state()


def test_groups_are_counted_up_to_a_bound() -> None:
    """A storm of ever new groups costs no more memory; what finds no name of its own is one number, and the sum is whole."""
    limit = RateLimit(1)
    for number in range(1_000):
        limit.hold_back(f"new_listener/{number}")
    assert (len(limit.held), sum(limit.held.values())) == (257, 1_000)
    title = limit.digest(Entity(EntityKind.SENSOR, "probe"), 0).title
    assert title.startswith("1000 alerts are held back")
    assert title.count("new_listener") == 4


@pytest.mark.parametrize("state", [{}, {"forwarded_ns": 1, "held": {}}, {"forwarded_ns": [], "held": []}])
def test_a_damaged_state_is_an_error(state: dict[str, object]) -> None:
    """Named as such, never taken for an empty one."""
    with pytest.raises((KeyError, TypeError)):
        RateLimit(1).restore(state)

"""A table that stands still although its agent runs on."""

from netmote.snmp.standstill import STUCK_PERIODS, Standstill


def moved(table: Standstill, times: int, *, pause: int = 1) -> list[float | None]:
    """Changes at every `pause`-th poll of 10 s."""
    return [
        table.observe(10.0, has_moved=number % pause == pause - 1, has_port_up=True, period=None)
        for number in range(times * pause)
    ]


def still(table: Standstill, seconds: float, *, has_port_up: bool = True, period: float | None = None) -> list[float | None]:
    return [table.observe(10.0, has_moved=False, has_port_up=has_port_up, period=period) for _ in range(round(seconds / 10))]


def test_ten_pauses_without_a_change_are_told_once_and_the_next_change_ends_it() -> None:
    """Begins after ten times what is usual, once; ends at the first movement."""
    table = Standstill()
    assert [value for value in moved(table, 20) if value is not None] == [0.0], "ends what an earlier process may have begun"
    assert not any(still(table, STUCK_PERIODS * 10))
    assert still(table, 20) == [1.0, None]
    assert table.is_stuck
    assert moved(table, 2) == [0.0, None]
    assert not table.is_stuck


def test_a_refresh_period_makes_it_patient() -> None:
    """Ten refreshes must have found nothing, however often it is asked."""
    table = Standstill()
    moved(table, 20)
    assert not any(still(table, 300, period=30.0))
    assert 1.0 in still(table, 20, period=30.0)


def test_a_device_that_pauses_by_habit_is_left_alone() -> None:
    """A quiet device that counts something every two minutes is not stuck after two."""
    table = Standstill()
    moved(table, 12, pause=12)
    assert not any(still(table, 1_100))
    assert 1.0 in still(table, 200)


def test_nothing_is_said_before_it_ever_moved_nor_without_a_port_that_is_up() -> None:
    """A switch without a cable counts nothing and is not broken; neither is one that nothing is known of."""
    assert not any(still(Standstill(), 10_000))
    table = Standstill()
    moved(table, 20)
    assert not any(still(table, 10_000, has_port_up=False))


def test_a_night_that_was_called_so_is_usual_afterwards() -> None:
    """The same pause does not alarm twice."""
    table = Standstill()
    moved(table, 20)
    assert 1.0 in still(table, 3_600)
    moved(table, 20)
    assert not any(still(table, 3_600))


def test_a_restart_counts_from_there() -> None:
    """Time before a restart is not held against the device."""
    table = Standstill()
    moved(table, 20)
    still(table, 90)
    table.restarted()
    assert not any(still(table, 90))

"""Which piece of work has had all its tries."""

from netmote.daemon.poison import Poison


def test_only_failures_in_a_row_at_one_place_count() -> None:
    """Another place in between begins the count anew; what was passed over is forgotten."""
    poison = Poison(tries=3)
    poison.failed("a")
    poison.failed("a")
    assert not poison.is_due("a")
    poison.failed("b")
    poison.failed("a")
    poison.failed("a")
    assert not poison.is_due("a")
    poison.failed("a")
    assert poison.is_due("a")
    assert not poison.is_due("b")
    poison.passed()
    assert not poison.is_due("a")

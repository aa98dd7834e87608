"""Bounds on what one sender may say, and the memory of what was said."""

from netmote.snmp.native.sender_limits import Remembered, SenderLimits


def test_a_sender_has_its_burst_and_then_its_rate() -> None:
    """Ten at once, two a second after; another sender is not touched."""
    limits = SenderLimits(rate=2.0, burst=10.0)
    assert [limits.admits("a", 0.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert limits.admits("b", 0.0)
    assert [limits.admits("a", 1.0) for _ in range(3)] == [True, True, False]
    assert sum(limits.admits("a", 1000.0) for _ in range(50)) == 10


def test_senders_are_bounded() -> None:
    """The one silent longest is forgotten first."""
    limits = SenderLimits(rate=1.0, burst=1.0, most_senders=2)
    assert limits.admits("a", 0.0)
    assert limits.admits("b", 0.1)
    assert not limits.admits("a", 0.2)
    assert limits.admits("c", 0.3)
    assert len(limits) == 2
    assert not limits.admits("a", 0.4), "b was silent longer"
    assert limits.admits("b", 0.5)


def test_what_was_said_is_remembered_for_its_time_and_within_its_bound() -> None:
    """By sender and octets."""
    seen = Remembered(seconds=300.0, most=2)
    seen.add("a", b"1", 0.0)
    assert seen.has("a", b"1", 300.0)
    assert not seen.has("a", b"1", 301.0)
    assert not seen.has("b", b"1", 1.0)
    seen.add("a", b"2", 1.0)
    seen.add("a", b"3", 2.0)
    assert (len(seen), seen.has("a", b"1", 2.0), seen.has("a", b"3", 2.0)) == (2, False, True)

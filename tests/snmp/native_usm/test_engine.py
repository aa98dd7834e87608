"""The clock of an authoritative engine: RFC 3414 section 3.2.7 as a table, and what may move it."""

import pytest

from netmote.snmp.native.usm.engine import AuthoritativeEngine, Resync, is_engine_id
from netmote.snmp.native.usm.keys import LocalKeys

LAST = 2**31 - 1


def engine(*, boots: int = 3, time: int = 1_000, verified: bool = True) -> AuthoritativeEngine:
    """An engine heard at second 100; verified by a message of that moment."""
    known = AuthoritativeEngine(b"\x80\0\0\0\x04x", LocalKeys(b"", None), boots=boots, time=time, now=100.0)
    if verified:
        assert known.admit(boots, time, 100.0) or boots == LAST
    return known


@pytest.mark.parametrize(
    ("boots", "time", "now", "admitted"),
    [
        (3, 1_000, 100.0, True),
        (3, 1_010, 110.0, True),
        (3, 990, 100.0, True),  # delayed, or sent before the last one
        (3, 850, 100.0, True),  # exactly 150 s
        (3, 849, 100.0, False),
        (3, 1_000, 250.9, True),  # our clock ran on by 150 whole seconds
        (3, 1_000, 251.0, False),
        (3, 90_000, 100.0, True),  # its clock runs ahead: taken over (3.2.7 b 1)
        (4, 0, 100.0, True),  # it has restarted
        (2, 1_000, 100.0, False),
        (2, 999_999, 100.0, False),
        (LAST, 1_000, 100.0, False),  # its boots are used up
    ],
)
def test_window(boots: int, time: int, now: float, admitted: bool) -> None:
    """Boots up, or time up, or not older than 150 s; nothing else."""
    assert engine().admit(boots, time, now) is admitted


def test_what_is_refused_moves_nothing() -> None:
    """An old message leaves boots and clock as they were."""
    known = engine()
    assert not known.admit(2, 5_000, 100.0)
    assert not known.admit(3, 1, 100.0)
    assert (known.boots, known.time_at(100.0), known.time_at(163.9)) == (3, 1_000, 1_063)


def test_older_messages_within_the_window_do_not_set_the_clock_back() -> None:
    """The latest received time only grows (RFC 3414 section 2.3), so replaying cannot stretch the window bit by bit."""
    known = engine()
    for _ in range(10):
        assert known.admit(3, 860, 100.0)
    assert known.time_at(100.0) == 1_000
    assert not known.admit(3, 849, 100.0)


def test_discovery_is_of_use_until_something_is_verified() -> None:
    """What an unauthenticated report told writes requests, and never overrides what a digest proved."""
    told = engine(verified=False)
    told.hear(9, 9_000, 100.0)
    assert (told.boots, told.time_at(101.0), told.is_verified) == (9, 9_001, False)
    assert told.admit(2, 50, 101.0), "the first verified message is taken as it is, however high the told one was"
    told.hear(9, 9_000, 101.0)
    assert (told.boots, told.time_at(101.0)) == (2, 50)


@pytest.mark.parametrize(
    ("boots", "time", "moved"),
    [
        (4, 0, Resync.FORWARD),
        (3, 9_000, Resync.FORWARD),
        (3, 900, Resync.FORWARD),  # within the window: the device just asks
        (3, 849, Resync.CLOCK_BACK),
        (2, 9_000, Resync.BOOTS_BACK),
        (0, 0, Resync.BOOTS_BACK),
    ],
)
def test_resynchronisation_goes_both_ways_and_says_which(boots: int, time: int, moved: Resync) -> None:
    """A verified report that answers us moves the clock anywhere; going back is told apart."""
    known = engine()
    assert known.resynchronise(boots, time, 100.0) is moved
    assert (known.boots, known.time_at(102.5)) == (boots, time + 2)
    assert known.admit(boots, time, 100.0)


def test_boots_at_their_maximum_are_the_end() -> None:
    """RFC 3414 section 2.2.2: such an engine is never in time; a report from it is refused, and moves nothing."""
    known = engine()
    assert known.resynchronise(LAST, 5, 100.0) is Resync.REFUSED
    assert known.boots == 3
    assert not known.admit(LAST, 5, 100.0)
    assert not known.admit(LAST, 6, 100.0)
    assert known.resynchronise(1, 5, 100.0) is Resync.BOOTS_BACK, "it was set up anew"
    assert known.admit(1, 5, 100.0)


def test_time_stays_within_its_type() -> None:
    """A clock near its end does not run out of the INTEGER it is written in."""
    assert engine(time=LAST - 1).time_at(1_000.0) == LAST


@pytest.mark.parametrize(
    ("octets", "valid"),
    [
        (b"", False),
        (b"abcd", False),
        (b"abcde", True),
        (b"a" * 32, True),
        (b"a" * 33, False),
        (bytes(8), False),
        (b"\xff" * 8, False),
    ],
)
def test_engine_ids(octets: bytes, valid: bool) -> None:
    """SnmpEngineID of RFC 3411 section 5."""
    assert is_engine_id(octets) is valid

"""Quirks are learnt at once, forgotten with the device, and limits rise slowly again."""

import itertools

from netmote.snmp.quirks import RAISE_AFTER, QuirkLearner, Quirks
from netmote.snmp.walk import MAX_VARBINDS


def test_a_limit_is_halved_at_once_and_raised_slowly() -> None:
    """From 56 to 28 to 14; then by an eighth after many full answers, until there is none any more."""
    learner = QuirkLearner()
    learner.was_too_much(MAX_VARBINDS)
    learner.was_too_much(28)
    assert learner.quirks.most_varbinds == 14
    for _ in range(RAISE_AFTER - 1):
        learner.was_answered(14)
    assert learner.quirks.most_varbinds == 14
    learner.was_answered(14)
    assert learner.quirks.most_varbinds == 15
    for _ in range(100 * RAISE_AFTER):
        learner.was_answered(MAX_VARBINDS)
    assert learner.quirks == Quirks()


def test_a_limit_that_was_raised_in_vain_is_raised_more_rarely() -> None:
    """A device that never bears more is tried with more ever less often."""
    learner, raised = QuirkLearner(), []
    learner.was_too_much(16)
    for number in range(16 * RAISE_AFTER):
        learner.was_answered(8)
        if learner.quirks.most_varbinds != 8:
            raised.append(number)
            learner.was_too_much(16)
    assert [later - earlier for earlier, later in itertools.pairwise(raised)] == [
        2 * RAISE_AFTER,
        4 * RAISE_AFTER,
        8 * RAISE_AFTER,
    ]


def test_small_answers_raise_nothing() -> None:
    """An answer below the limit says nothing of it."""
    learner = QuirkLearner()
    learner.was_too_much(40)
    for _ in range(10 * RAISE_AFTER):
        learner.was_answered(19)
    assert learner.quirks.most_varbinds == 20


def test_one_is_the_least() -> None:
    """A device that bears one varbind is asked one by one, and it is said so."""
    learner = QuirkLearner()
    learner.was_too_much(1)
    assert learner.quirks.described == ("one varbind a request",)
    assert learner.quirks.need_care


def test_quirks_belong_to_a_kind_of_device() -> None:
    """Another sysObjectID at the address: nothing of before holds. One that is not told changes nothing."""
    learner = QuirkLearner()
    learner.has_no_bulk()
    learner.belongs_to(b"\x2b\x06\x01\x09")
    learner.belongs_to(b"")
    assert learner.quirks.has_no_bulk
    learner.belongs_to(b"\x2b\x06\x01\x0a")
    assert learner.quirks == Quirks(b"\x2b\x06\x01\x0a")


def test_every_quirk_is_said() -> None:
    """One phrase each, in the words of the manual."""
    learner = QuirkLearner()
    learner.has_no_bulk()
    learner.is_unordered()
    learner.was_too_much(20)
    learner.refreshes_every(5.0)
    assert learner.quirks.described == (
        "no GETBULK",
        "at most 10 varbinds a request",
        "OIDs do not increase",
        "counters read anew every 5.0 s only; polling it more often gains nothing",
    )

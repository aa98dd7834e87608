"""The alert book as bytes."""

import json

import pytest

from netmote.alerts.book import AlertBook
from netmote.alerts.config import AlertsConfig
from netmote.records.entity import Entity, EntityKind
from netmote.scoring.finding import Cleared, Contributor, Finding, Severity

S = 1_000_000_000


def filled() -> AlertBook:
    """A book with a pending, a firing, a damped and a cooled-down alert, and everything odd in them."""
    book = AlertBook(AlertsConfig(), sensor="probe")
    odd = Entity(EntityKind.INTERFACE, "sw1/\udcff")
    numbers = (Contributor("x", "1", float("inf"), baseline=float("nan"), sigma=-2.0),)
    first = Finding("a", "rule", odd, 0, 10 * S, float("inf"), Severity.ERROR, "t \udcff", numbers, for_ns=90 * S, hop_ns=10 * S)
    second = Finding("b", "rule+ae", odd, 0, 10 * S, 6.0, Severity.ERROR, "t", (), keep_firing_for_ns=60 * S, hop_ns=10 * S)
    third = Finding(
        "c", "rule", odd, 10 * S, 10 * S, 6.0, Severity.ERROR, "t", (), keep_firing_for_ns=60 * S, is_until_cleared=True
    )
    fourth = Finding("d", "rule", odd, 0, 1 * S, 6.0, Severity.ERROR, "t", (), hop_ns=1)
    book.update(1 * S, [fourth])
    book.update(10 * S, [first, second, third], [])
    book.update(12 * S, [], [Cleared("c", odd, 12 * S)])
    return book


def test_a_state_comes_back_to_the_last_bit():
    """Restoring and writing again gives the same bytes: nothing is lost, whatever a device calls its ports."""
    state = filled().state()
    other = AlertBook(AlertsConfig(), sensor="probe")
    other.restore_state(state)
    assert other.state() == state
    assert other.now_ns == 12 * S
    document = json.loads(state)
    assert {episode["alert"]["state"] for episode in document["episodes"]} == {"pending", "firing"}
    assert len(document["cooling"]) == 1
    assert state.isascii()


def test_an_empty_book_has_a_state():
    """The first checkpoint is one as well."""
    book = AlertBook(AlertsConfig(), sensor="probe")
    book.restore_state(book.state())
    assert book.advance(S) == ()


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"state_version": 2}',
        b'{"state_version": 1}',
        filled().state().replace(b"severity", b"gravity"),
    ],
)
def test_what_is_no_state_is_refused_and_changes_nothing(state):
    """A damaged checkpoint raises ValueError; the book stays as it was, and the caller falls back to the ledger."""
    book = filled()
    before = book.state()
    with pytest.raises(ValueError):
        book.restore_state(state)
    assert book.state() == before

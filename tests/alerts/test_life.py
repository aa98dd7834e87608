"""The table of the alert life, exhaustively."""

from itertools import product

from netmote.alerts.alert import AlertState
from netmote.alerts.life import TRANSITIONS, Signal

INACTIVE, PENDING, FIRING, RESOLVED = AlertState
HOLDS, PERSISTS, STOPS, COOLS = Signal


def test_every_state_answers_every_signal():
    """The table is total: nothing that can happen is undefined."""
    assert set(TRANSITIONS) == set(product(AlertState, Signal))


def test_the_table_is_exactly_this():
    """The life as drawn; a changed arrow is a changed product."""
    moves = {(state, signal): after for (state, signal), after in TRANSITIONS.items() if after is not state}
    assert moves == {
        (INACTIVE, HOLDS): PENDING,
        (INACTIVE, PERSISTS): FIRING,
        (PENDING, PERSISTS): FIRING,
        (PENDING, STOPS): INACTIVE,
        (FIRING, STOPS): RESOLVED,
        (RESOLVED, COOLS): INACTIVE,
    }


def test_only_firing_resolves_and_only_the_cool_down_ends_resolved():
    """Upstream is told of an end only after a beginning, and of a new beginning only after the cool-down."""
    assert {state for (state, _), after in TRANSITIONS.items() if after is RESOLVED} == {FIRING, RESOLVED}
    assert {(signal, after) for (state, signal), after in TRANSITIONS.items() if state is RESOLVED and after is not RESOLVED} == {
        (COOLS, INACTIVE)
    }
